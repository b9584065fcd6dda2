"""The package of docs/new-provider.md, from its files to a finished image, and what can be wrong with a plugin."""

import re
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support import client_of, make_request, serving

from journey_mcp.core.errors import SetupError, UnknownModel
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.handshake.answers import recorded_tools
from journey_mcp.registry import load
from journey_mcp.registry.plugins import installed_plugins
from journey_mcp.registry.selection import catalog_of
from journey_mcp.routing.validation import offers_of
from journey_mcp.settings import Settings, read_settings
from journey_mcp.startup import check
from journey_mcp.studio import open_studio

DOCUMENT = Path(__file__).parents[2] / "docs" / "new-provider.md"
PLUGIN = dict(re.findall(r"<!-- plugin: (\S+) -->\n```\w+\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL))
"""The files of the package in the document, by path."""
FACTS = PLUGIN["journey_acme/acme.toml"]
IMAGES = '{ support = "optional", fields = ["picture"], encodings = ["url"] }'


@asynccontextmanager
async def acme() -> AsyncIterator[tuple[str, list[Any]]]:
    """Acme's server, with the requests that it received."""
    seen: list[Any] = []

    async def create(request: Request) -> JSONResponse:
        seen.append((request.headers["authorization"], await request.json()))
        return JSONResponse({"job": "j1"})

    async def tell(_request: Request) -> JSONResponse:
        return JSONResponse({"job": "j1", "url": "https://cdn.acme.test/1.png"})

    routes = [Route("/jobs", create, methods=["POST"]), Route("/jobs/j1", tell)]
    async with serving(Starlette(routes=routes)) as address:
        yield address, seen


@pytest.mark.parametrize(
    ("images", "tools", "left_out"),
    [
        ('{ support = "none" }', ["imagine", "fetch_task", "cancel_task", "view_image", "keep_image"], "edit_image"),
        (
            IMAGES.replace("optional", "required"),
            ["edit_image", "fetch_task", "cancel_task", "view_image", "keep_image"],
            "imagine",
        ),
    ],
)
async def test_a_tool_without_a_model_is_left_out(tmp_path: Path, images: str, tools: list[str], left_out: str) -> None:
    """A provider may only make images, or only edit them; a call of the other tool is an error that says so."""
    (tmp_path / "acme.toml").write_text(
        FACTS.replace(IMAGES, images).replace("flux-kontext-pro", "z-image"), encoding="utf-8"
    )
    settings = read_settings(
        {
            "ACME_API_KEY": "acme-secret",
            "JOURNEY_MCP_REGISTRY": str(tmp_path / "acme.toml"),
            "JOURNEY_MCP_DATA_DIR": str(tmp_path),
        }
    )
    async with client_of(settings) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == tools
    request = make_request(
        tool=left_out, model="", image="https://example.test/a.png" if left_out == "edit_image" else None
    )
    with pytest.raises(UnknownModel, match=f"No configured provider has a model for {left_out}"):
        offers_of(request, catalog_of(settings, load(settings.registry)))


@dataclass(kw_only=True)
class Installer:
    """Packages in a folder of their own, as an installer leaves them."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def install(self, name: str, files: Mapping[str, str], entry_points: Mapping[str, str]) -> None:
        """Install a package."""
        described = self.folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n", encoding="utf-8")
        points = "".join(f"{wire} = {value}\n" for wire, value in entry_points.items())
        (described / "entry_points.txt").write_text(f"[journey_mcp.providers]\n{points}", encoding="utf-8")
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text, encoding="utf-8")
        self.monkeypatch.syspath_prepend(self.folder)

    def install_acme(self) -> None:
        """Install the package of the document."""
        project = tomllib.loads(PLUGIN["pyproject.toml"])["project"]
        files = {path: text for path, text in PLUGIN.items() if path != "pyproject.toml"}
        self.install(project["name"], files, project["entry-points"]["journey_mcp.providers"])


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    """Return what installs packages, whose modules are forgotten afterwards."""
    yield Installer(folder=tmp_path / "installed", monkeypatch=monkeypatch)
    for name in [name for name in sys.modules if name.startswith("journey_acme")]:
        del sys.modules[name]


def settings_of(folder: Path, **environment: str) -> Settings:
    """Return the settings with Acme's key."""
    return read_settings({"ACME_API_KEY": "acme-secret", "JOURNEY_MCP_DATA_DIR": str(folder), **environment})


async def test_an_installed_package_is_a_provider(tmp_path: Path, installer: Installer) -> None:
    """Its models are offered, its key is read, and its images are returned."""
    installer.install_acme()
    async with acme() as (address, seen), open_studio(settings_of(tmp_path, ACME_BASE_URL=address), ManualClock()) as s:
        task = (await s.create(make_request(model="flux-kontext-pro", prompt="a kite", seed=7), LOCAL)).task
        task = await s.wait_for_new(task, 600)
        assert (task.status, task.provider, task.images[0].url) == (
            Status.SUCCEEDED,
            "acme",
            "https://cdn.acme.test/1.png",
        )
    assert seen == [("Bearer acme-secret", {"model": "kontext", "prompt": "a kite", "random_seed": 7})]


def test_the_facts_of_a_package_are_read_without_its_code(tmp_path: Path, installer: Installer) -> None:
    """Lists of models and prices need no adapter."""
    installer.install_acme()
    catalog = catalog_of(settings_of(tmp_path), load())
    assert list(catalog.offers) == ["flux-kontext-pro"]
    assert "journey_acme" not in sys.modules


def test_the_recorded_tools_are_not_for_a_process_with_plugins(installer: Installer) -> None:
    """They lack its models."""
    assert recorded_tools({}) is not None
    installer.install_acme()
    assert recorded_tools({}) is None


def test_a_package_may_be_without_facts(tmp_path: Path, installer: Installer) -> None:
    """A file of the user has them."""
    installer.install("acme", {"journey_acme.py": "class Acme: ..."}, {"acme": "journey_acme:Acme"})
    assert installed_plugins()["acme"].registry_file is None
    assert "acme" not in load().providers
    (tmp_path / "own.toml").write_text(FACTS, encoding="utf-8")
    assert "acme" in load((tmp_path / "own.toml",)).providers


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import journey_nothing", "ModuleNotFoundError: No module named 'journey_nothing'"),
        ("class Other: ...", "AttributeError: .* has no attribute 'Acme'"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
async def test_a_package_that_cannot_be_loaded_is_named(
    tmp_path: Path, installer: Installer, code: str, reason: str
) -> None:
    """At the start, with the version and the reason."""
    files = {"journey_acme/__init__.py": code, "journey_acme/acme.toml": FACTS}
    installer.install("journey-acme", files, {"acme": "journey_acme:Acme"})
    with pytest.raises(SetupError, match=f"The plugin journey-acme 0.1.0 cannot be loaded .*{reason}"):
        async with open_studio(settings_of(tmp_path), ManualClock()):
            pass
    with pytest.raises(SetupError, match=r"The plugin journey-acme 0\.1\.0 cannot be loaded"):
        check(settings_of(tmp_path))


def test_two_packages_with_one_protocol_are_refused(installer: Installer) -> None:
    """Which one gets the key would be chance."""
    installer.install_acme()
    installer.install("acme-too", {}, {"acme": "acme_too:Acme"})
    with pytest.raises(SetupError, match=r"journey-acme 0\.1\.0 .*acme-too 0\.1\.0|acme-too .*journey-acme"):
        load()


@pytest.mark.parametrize(
    ("old", "new"), [('id = "acme"', 'id = "bfl"'), ('key_variable = "ACME_API_KEY"', 'key_variable = "BFL_API_KEY"')]
)
def test_a_package_cannot_take_the_place_of_a_shipped_provider(installer: Installer, old: str, new: str) -> None:
    """It would get the key of that provider."""
    files = {"journey_acme/__init__.py": "", "journey_acme/acme.toml": FACTS.replace(old, new, 1)}
    installer.install("journey-acme", files, {"acme": "journey_acme:Acme"})
    with pytest.raises(SetupError, match="the name or the key variable of Black Forest Labs"):
        load()


@pytest.mark.parametrize(
    ("old", "new"), [('id = "acme"', 'id = "other"'), ('key_variable = "ACME_API_KEY"', 'key_variable = "X_API_KEY"')]
)
def test_a_package_cannot_take_the_place_of_another_one(installer: Installer, old: str, new: str) -> None:
    """Which one gets the key would be chance."""
    installer.install_acme()
    other = FACTS.replace('wire = "acme"', 'wire = "other"').replace(old, new, 1)
    files = {"journey_other/__init__.py": "", "journey_other/other.toml": other}
    installer.install("journey-other", files, {"other": "journey_other:Other"})
    with pytest.raises(
        SetupError, match=r"the name or the key variable of Acme Pictures, which is in .*acme\.toml already"
    ):
        load()


@pytest.mark.parametrize(
    ("name", "words"),
    [("sandbox", "is the name of the built-in sandbox"), ("Acme", "is not a name"), ("acme.ai", "is not a name")],
)
def test_an_id_is_the_name_of_one_provider_everywhere(tmp_path: Path, name: str, words: str) -> None:
    """Images of the sandbox count as free; settings, headers and the tokens file name providers in lower case."""
    (tmp_path / "own.toml").write_text(FACTS.replace('id = "acme"', f'id = "{name}"', 1), encoding="utf-8")
    with pytest.raises(SetupError, match=f"own.toml: provider.id='{name}' {words}"):
        load((tmp_path / "own.toml",))


@pytest.mark.parametrize("value", [":Acme", "journey acme", "__main__:Acme"])
def test_an_entry_point_that_leads_nowhere_is_named(installer: Installer, value: str) -> None:
    """With its package."""
    installer.install("journey-acme", {}, {"acme": value})
    with pytest.raises(SetupError, match=f"The plugin journey-acme 0.1.0 cannot be found .acme = {value}.: ") as raised:
        load()
    assert raised.value.failure.next_step == "Upgrade or uninstall this package."


def test_a_registry_file_of_a_package_that_cannot_be_read_is_named(installer: Installer) -> None:
    """With its package: no setting names the file."""
    files = {"journey_acme/__init__.py": "", "journey_acme/acme.toml": "[provider"}
    installer.install("journey-acme", files, {"acme": "journey_acme:Acme"})
    with pytest.raises(SetupError, match=r"The plugin journey-acme 0\.1\.0: .*acme\.toml is not TOML") as raised:
        load()
    assert raised.value.failure.next_step == "Upgrade or uninstall this package."


async def test_a_package_cannot_replace_a_shipped_protocol(tmp_path: Path, installer: Installer) -> None:
    """It would get the keys of the providers that speak it."""
    installer.install("journey-acme", {"journey_acme.py": ""}, {"bfl": "journey_acme:Acme"})
    with pytest.raises(SetupError, match=r"journey-acme 0\.1\.0 has the protocol 'bfl', which journey-mcp has already"):
        async with open_studio(settings_of(tmp_path, BFL_API_KEY="bfl-secret"), ManualClock()):
            pass


async def test_an_unknown_protocol_is_an_error(tmp_path: Path) -> None:
    """It names those that are known."""
    (tmp_path / "own.toml").write_text(FACTS, encoding="utf-8")
    with pytest.raises(SetupError, match=r"wire='acme' is not a known protocol \(allowed: journeyapi, vtrix"):
        async with open_studio(settings_of(tmp_path, JOURNEY_MCP_REGISTRY=str(tmp_path / "own.toml")), ManualClock()):
            pass
