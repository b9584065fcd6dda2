"""Documents are checked: tables are generated, commands are run, names exist."""

import ast
import inspect
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

import pytest
from support import SERVICES, check_generated

from journey_mcp import __version__, registry
from journey_mcp.cli.install.clients import CLIENTS, Client, Machine
from journey_mcp.core.errors import all_errors
from journey_mcp.core.requests import OPTIONS
from journey_mcp.providers.clients import ADAPTERS
from journey_mcp.registry.facts import Action, ImageInput, Model, Offer, OtherModels, Parameter, ProviderFacts, Switch
from journey_mcp.sandbox.faults import KINDS
from journey_mcp.server.preview_hosts import HOSTS
from journey_mcp.settings import Settings, read_settings, variables
from journey_mcp.tools.tool_set import read_tool_set

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = [README, ROOT / "CONTRIBUTING.md", ROOT / "RELEASING.md"]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def documented(kind: type[Any]) -> str:
    """Return the fields of a dataclass with their docstrings."""
    (definition,) = ast.parse(inspect.getsource(kind).replace("@dataclass(frozen=True, kw_only=True)\n", "")).body
    assert isinstance(definition, ast.ClassDef)
    words: dict[str, str] = {}
    for node, after in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            words[node.target.id] = str(after.value.value) if is_documented else ""  # type: ignore[union-attr]
    rows = []
    for field in fields(kind):
        is_required = field.default is MISSING and field.default_factory is MISSING
        rows.append([f"`{field.name}`", f"`{type_of(field)}`", "yes" if is_required else "", words[field.name]])
    return table(["key", "type", "required", ""], [[" ".join(cell.split()) for cell in row] for row in rows])


def listed(names: Iterable[str]) -> str:
    """Return names in lines of at most 120 characters."""
    return fill(", ".join(f"`{name}`" for name in names), 120)


def type_of(field: Any) -> str:
    """Return a type as people write it."""
    text = field.type.__name__ if isinstance(field.type, type) else str(field.type)
    return re.sub(r"\b(typing|decimal|datetime|collections\.abc|journey_mcp\.registry\.facts)\.", "", text)


def tools_table() -> str:
    """Return the table of tools and their arguments."""
    rows = []
    for tool in read_tool_set(read_settings({key: "k" for key, _ in SERVICES.values()})).tools:
        required = tool["inputSchema"].get("required", [])
        names = [f"**{n}**" if n in required else n for n in tool["inputSchema"]["properties"]]
        rows.append([f"`{tool['name']}`", tool["description"].split(". ")[0].removesuffix(".") + ".", ", ".join(names)])
    return table(["tool", "", "arguments (required in bold)"], rows)


def models_table() -> str:
    """Return all models with their providers."""
    facts = registry.load()
    catalog = facts.catalog(list(facts.providers))
    imagine, edit = catalog.offers_for("imagine"), catalog.offers_for("edit_image")
    rows = []
    for model in catalog.models.values():
        offers = catalog.offers[model.id]
        tools = ", ".join(name for name, there in (("imagine", imagine), ("edit_image", edit)) if model.id in there)
        takes = list(dict.fromkeys(name for offer in offers for name in offer.parameters))
        rows.append([f"`{model.id}`", tools, ", ".join(map(offered, offers)), model.best_at, ", ".join(takes)])
    return table(["model", "tool", "offered by, price", "best at", "takes"], rows)


def offered(offer: Offer) -> str:
    """Return the provider of an offer, and its price."""
    english = " (English only)" if offer.english_only else ""
    return f"{offer.provider}{cost(offer)}{english}"


def cost(offer: Offer) -> str:
    """Return a price, if it is stated."""
    unit, amount = ("credits", offer.credits) if offer.credits is not None else ("USD", offer.usd)
    more = f" + {offer.further_megapixel} per further megapixel" if offer.further_megapixel is not None else ""
    return "" if amount is None else f" {amount} {unit}{more}"


def providers_table() -> str:
    """Return the providers that can be configured."""
    facts = registry.load()
    rows = []
    for provider in facts.providers.values():
        offers = [offer for offer in facts.offers if offer.provider == provider.id]
        forms = {encoding for offer in offers for encoding in offer.images.encodings if offer.images.is_taken}
        lives = {offer.expires_after_s for offer in offers if offer.expires_after_s}
        rows.append(
            [
                f"`{provider.id}`",
                f"[`{provider.key_variable}`]({provider.console_url})"
                if provider.console_url
                else f"`{provider.key_variable}`",
                str(len(offers)),
                "none" if not forms else "URLs only" if forms == {"url"} else "URLs and files",
                str(max(offer.images.maximum if offer.images.is_taken else 0 for offer in offers)),
                ", ".join(lifetime(seconds) for seconds in sorted(lives)) or "not stated",
                "yes" if "webhook" in provider.features else "no",
            ]
        )
    return table(
        ["provider", "key, and where to get it", "models", "images as", "at most", "lifetime of links", "webhooks"],
        rows,
    )


def arguments_table() -> str:
    """Return how many offers of each provider take an argument, and each form of an image."""
    facts = registry.load()
    offers = {name: [offer for offer in facts.offers if offer.provider == name] for name in facts.providers}
    takes: dict[str, Callable[[Offer], bool]] = {
        f"`{name}`": partial(lambda name, offer: name in offer.parameters, name) for name in OPTIONS
    }
    takes["an image (`image` or `reference_images`)"] = lambda offer: offer.images.is_taken
    for count in (2, 5):
        takes[f"{count} images"] = partial(lambda n, offer: offer.images.is_taken and offer.images.maximum >= n, count)
    takes["an image as a file or base64"] = lambda offer: offer.images.is_taken and offer.images.encodings != ("url",)
    takes["`mask`"] = lambda offer: offer.images.mask_field is not None
    takes["a prompt that is [not English](prompt-language.md)"] = lambda offer: not offer.english_only
    rows = [
        [name, *(share(list(map(is_taken, of_one))) for of_one in offers.values())] for name, is_taken in takes.items()
    ]
    return table(["argument", *(f"`{name}`" for name in offers)], rows)


def share(taken: list[bool]) -> str:
    """Return how many are taken: all, no, or a number."""
    return "no" if not any(taken) else "all" if all(taken) else f"{sum(taken)} of {len(taken)}"


def lifetime(seconds: int) -> str:
    """Return a lifetime in the largest whole unit."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def actions_table() -> str:
    """Return all actions of all providers."""
    facts = registry.load()
    ids = {action.id for action in facts.actions}
    rows = []
    for action in facts.actions:
        models = [parent for parent in action.parents if parent not in ids]
        others = [parent for parent in action.parents if parent in ids]
        takes = ", ".join(f"`{name}`" for name in (*models, *others)) + ("; any URL" if action.images.is_taken else "")
        result = "four images" if action.result == "grid" else "one image"
        prompt = "may be given" if action.prompt == "optional" else ""
        rows.append([f"`{action.id}`", takes, prompt, result, f"{action.provider} {action.price}"])
    return table(["action", "takes images made by", "prompt", "result", "offered by, price"], rows)


def settings_table() -> str:
    """Return all variables."""
    rows = [[f"`{name}`", str(Settings.model_fields[field].description)] for name, field in variables().items()]
    return table(["variable", ""], rows)


def errors_table() -> str:
    """Return all error codes."""
    rows = [
        [f"`{e.code}`", " ".join((e.__doc__ or "").split()), "yes" if e.retryable else "no", str(e.next_step or "")]
        for e in all_errors()
    ]
    return table(["code", "what happened", "retryable", "usual next step"], rows)


def faults_table() -> str:
    """Return all faults of the sandbox."""
    rows = [[f"`{name}{f'={kind.value}' if kind.value else ''}`", ", ".join(kind.on)] for name, kind in KINDS.items()]
    return table(["kind", "affects"], rows)


def preview_hosts_table() -> str:
    """Return the hosts that get previews."""
    rows = [
        [host.title, ", ".join(f"`{name}`" for name in host.names), host.shows, host.source, str(host.checked)]
        for host in HOSTS
    ]
    return table(["host", "name in `clientInfo`", "who sees the image", "source", "checked"], rows)


def clients_table() -> str:
    """Return the clients of `install` with their files."""
    rows = [
        [
            client.title,
            f"`{client.id}`",
            *(f"`{path_on(system, client)}`" for system in ("darwin", "win32", "linux")),
            ", ".join(f"`{name}`" for name in client.variables),
        ]
        for client in CLIENTS.values()
    ]
    return table(["client", "`CLIENT`", "file on macOS", "on Windows", "on Linux", "variables"], rows)


def path_on(system: str, client: Client) -> str:
    """Return the file of a client as people of the system write it."""
    path = str(client.file(Machine(system=system, home=Path("~"), environment={})))
    if system != "win32":
        return path
    return path.replace("~/AppData/Roaming", "%APPDATA%").replace("~", "%USERPROFILE%").replace("/", "\\")


@pytest.mark.generated
@pytest.mark.parametrize(
    ("path", "name", "content"),
    [
        (README, "tools", tools_table),
        (README, "models", models_table),
        (README, "providers", providers_table),
        (ROOT / "docs" / "providers.md", "providers", providers_table),
        (ROOT / "docs" / "providers.md", "arguments", arguments_table),
        (README, "settings", settings_table),
        (ROOT / "docs" / "refine.md", "actions", actions_table),
        (ROOT / "docs" / "install.md", "clients", clients_table),
        (ROOT / "docs" / "errors.md", "errors", errors_table),
        (ROOT / "docs" / "sandbox.md", "faults", faults_table),
        (ROOT / "docs" / "viewing.md", "preview hosts", preview_hosts_table),
        (ROOT / "docs" / "models.md", "model keys", lambda: documented(Model)),
        (ROOT / "docs" / "models.md", "offer keys", lambda: documented(Offer)),
        (ROOT / "docs" / "models.md", "action keys", lambda: documented(Action)),
        (ROOT / "docs" / "models.md", "provider keys", lambda: documented(ProviderFacts)),
        (ROOT / "docs" / "models.md", "parameter keys", lambda: documented(Parameter)),
        (ROOT / "docs" / "models.md", "parameter names", lambda: listed(OPTIONS)),
        (ROOT / "docs" / "models.md", "protocols", lambda: listed(ADAPTERS)),
        (ROOT / "docs" / "models.md", "switch keys", lambda: documented(Switch)),
        (ROOT / "docs" / "models.md", "other keys", lambda: documented(OtherModels)),
        (ROOT / "docs" / "models.md", "image keys", lambda: documented(ImageInput)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_generated_parts_are_up_to_date(path: Path, name: str, content: Any) -> None:
    """UPDATE_DOCS=1 rewrites them."""
    check_generated(path, name, content())


def blocks(path: Path, language: str) -> Iterator[str]:
    """Return the fenced blocks of a language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_configuration_blocks_start_the_command() -> None:
    """For each client."""
    configurations = [json.loads(block) for block in blocks(README, "json")]
    configurations += [tomllib.loads(block) for block in blocks(README, "toml")]
    servers = [config[key]["journey"] for config in configurations for key in config if key != "inputs"]
    assert [key for config in configurations for key in config] == ["mcpServers", "inputs", "servers", "mcp_servers"]
    for server in servers:
        assert server["command"] == "journey-mcp"
        assert set(server.get("env", {})) <= {"JOURNEYAPI_API_KEY"}


def test_the_readme_and_the_help_name_every_client_of_install() -> None:
    """In the words that the command takes."""
    first = README.read_text(encoding="utf-8").partition("## The first image\n")[2].partition("```")[0]
    assert re.findall(r"`([a-z-]+)`", first) == list(CLIENTS)
    text = (ROOT / "journey_mcp" / "cli" / "__init__.py").read_text(encoding="utf-8")
    assert f"{', '.join(list(CLIENTS)[:-1])} or {list(CLIENTS)[-1]}." in text


def test_commands_of_clients_name_the_server_before_their_options() -> None:
    """`--env` of Claude Code takes every word up to the next option, also the name; its default is one folder."""
    added = [line for block in blocks(README, "sh") for line in block.splitlines() if " mcp add " in line]
    assert {line.split()[0] for line in added} == {"claude", "codex", "copilot"}
    for line in added:
        user = "--scope user " if line.startswith("claude ") else ""
        assert line.split(" mcp add ")[1] == f"journey {user}--env JOURNEYAPI_API_KEY=your-key -- journey-mcp"


def test_links_inside_the_readme_have_a_heading() -> None:
    """By GitHub's anchors."""
    text = README.read_text(encoding="utf-8")
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]), ids=lambda path: path.name
)
def test_lines_are_at_most_120_characters(path: Path) -> None:
    """Except in tables and program output."""
    text = re.sub(r"^```text\n.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > 120 and not line.lstrip().startswith("|")] == []


def test_the_example_of_a_model_loads(tmp_path: Path) -> None:
    """Exactly as in the document."""
    (example,) = blocks(ROOT / "docs" / "models.md", "toml")
    (tmp_path / "mine.toml").write_text(example, encoding="utf-8")
    assert "flux-kontext-pro-hd" in registry.load((tmp_path / "mine.toml",)).models


def test_links_between_documents_have_a_target() -> None:
    """Inside the repository."""
    for path in [*GUIDES, *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_files_that_documents_name_exist() -> None:
    """By their path in the repository or in the package; a word in capitals in one stands for a name."""
    for path in [*GUIDES, *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(r"`([\w*][\w./*-]*/[\w*.-]+\.(?:py|toml|md))`", path.read_text(encoding="utf-8")):
            pattern = re.sub(r"[A-Z]{4,}", "*", name)
            assert [*ROOT.glob(pattern), *(ROOT / "journey_mcp").glob(pattern)], f"{path.name}: {name}"


def test_promises_name_tests_and_attacks_that_exist() -> None:
    """Those of a service in SECURITY.md: each has a test, or a row of the table of attacks."""
    section = (
        (ROOT / "SECURITY.md").read_text("utf-8").partition("## Guarantees of a service\n")[2].partition("\n## ")[0]
    )
    promises = [line for line in section.splitlines() if line.startswith("|")][2:]
    attacks = (ROOT / "tests" / "attack" / "all_attacks.py").read_text("utf-8")
    for promise in promises:
        tests = re.findall(r"`([\w/.]+\.py)::(\w+)`", promise)
        rows = re.findall(r"\*([a-z ]+)\*", promise)
        assert tests or rows, promise
        for file, name in tests:
            path = ROOT / (file if "/" in file else f"tests/server/auth/{file}")
            assert f"def {name}(" in path.read_text("utf-8"), name
        for row in rows:
            assert f'"{row}": ' in attacks, row


def test_make_targets_that_documents_name_exist() -> None:
    """And every target is documented."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    reported = set()
    for path in GUIDES:
        reported |= set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    names = {name for pair in reported for name in pair if name}
    assert names <= targets
    assert targets - {"help", "clean"} <= names


def test_the_changelog_begins_with_this_version() -> None:
    """Every release has an entry."""
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == __version__
