"""The packages: their manifests agree with the project, and say what registries and clients accept."""

import base64
import io
import json
import os
import re
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import pytest
from PIL import Image, ImageChops, ImageStat
from support import SERVICES, check_generated

from journey_mcp import __version__
from journey_mcp.settings import read_settings
from packages import bundle, links, manifests
from packages.project import NAME, ROOT, Project, keys, read_project

PROJECT = read_project()
NOT_OWNED = replace(PROJECT, repository="https://github.com/OWNER/journey-mcp")
OWNED = replace(PROJECT, repository="https://github.com/Ada/journey-mcp")
README = ROOT / "README.md"


@pytest.mark.generated
@pytest.mark.parametrize("path", manifests.written(PROJECT), ids=str)
def test_manifests_say_what_the_project_says(path: Path) -> None:
    """Name, description, version and keys have one place each; UPDATE_DOCS=1 rewrites the files."""
    text = manifests.written(PROJECT)[path]
    if os.environ.get("UPDATE_DOCS"):
        (ROOT / path).write_text(text, encoding="utf-8")
    assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path} is stale: make fix rewrites it"


@pytest.mark.generated
def test_the_readme_says_how_to_install_a_release() -> None:
    """With the name that the MCP registry looks for at PyPI."""
    check_generated(README, "install", links.part_of_readme(PROJECT))


def versions(plain: Any) -> Iterator[str]:
    """Yield everything in a manifest that looks like a version of ours."""
    text = json.dumps(plain)
    yield from re.findall(r'"version": "([^"]+)"', text)
    yield from re.findall(r"journey-mcp[@:-]v?(\d+\.\d+\.\d+)", text)


@pytest.mark.parametrize("path", [path for path in manifests.written(PROJECT) if path.suffix == ".json"], ids=str)
def test_every_version_is_the_one_of_the_package(path: Path) -> None:
    """Also the one in addresses and commands."""
    found = list(versions(json.loads((ROOT / path).read_text(encoding="utf-8"))))
    assert set(found) == {__version__}


def test_the_owner_comes_from_one_place() -> None:
    """Every manifest that names the repository follows it, also in lower case, as registries of images want it."""
    mine = manifests.written(OWNED)
    assert all("OWNER" not in text for text in mine.values())
    assert "io.github.Ada/journey-mcp" in mine[Path("server.json")]
    assert "ghcr.io/ada/journey-mcp:" in mine[Path("server.json")]
    assert 'io.modelcontextprotocol.server.name="io.github.Ada/journey-mcp"' in mine[Path("deploy/Dockerfile")]
    assert "<!-- mcp-name: io.github.Ada/journey-mcp -->" in links.part_of_readme(OWNED)
    assert "No release is published yet" in links.part_of_readme(NOT_OWNED)
    assert "No release" not in links.part_of_readme(OWNED)


def test_stale_manifests_are_found() -> None:
    """A build of them is refused."""
    assert manifests.stale(PROJECT) == []
    assert Path("server.json") in manifests.stale(OWNED)


def test_each_provider_has_a_key_everywhere() -> None:
    """Sensitive, not required; and an empty one counts as none."""
    variables = [variable for variable, _ in SERVICES.values()]
    assert [key.variable for key in keys()] == variables
    settings = bundle.manifest(PROJECT)["user_config"].values()
    assert all(one["sensitive"] and not one["required"] and one["default"] == "" for one in settings)
    assert len(settings) == len(variables)
    assert set(bundle.manifest(PROJECT)["server"]["mcp_config"]["env"]) == set(variables)
    assert set(manifests.plugin(PROJECT)["mcpServers"][NAME]["env"]) == set(variables)
    assert all(one["sensitive"] for one in manifests.plugin(PROJECT)["userConfig"].values())
    assert [one["envVar"] for one in manifests.gemini_extension(PROJECT)["settings"]] == variables
    assert read_settings(dict.fromkeys(variables, "")).sandbox == "auto"


_STRING = {"type": "string", "minLength": 1}
_VERSION = {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"}
_STDIO = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"const": "stdio"}},
    "additionalProperties": False,
}
_VARIABLE = {
    "type": "object",
    "required": ["name", "description", "isSecret", "isRequired"],
    "properties": {
        "name": _STRING,
        "description": _STRING,
        "isSecret": {"const": True},
        "isRequired": {"const": False},
    },
    "additionalProperties": False,
}


def package(kind: str, required: list[str], **more: Any) -> dict[str, Any]:
    """Return the schema of one package."""
    properties = {
        "registryType": {"const": kind},
        "transport": _STDIO,
        "runtimeHint": {"enum": ["uvx", "docker"]},
        "environmentVariables": {"type": "array", "items": _VARIABLE, "minItems": 1},
        **more,
    }
    names = ["registryType", "identifier", "transport", *required]
    return {"type": "object", "required": names, "properties": properties, "additionalProperties": False}


REGISTRY_RULES = {
    "type": "object",
    "required": ["$schema", "name", "title", "description", "version", "repository", "packages"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"},
        "name": {"type": "string", "pattern": r"^io\.github\.[a-zA-Z0-9-]+/[a-zA-Z0-9._-]+$", "maxLength": 200},
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": _VERSION,
        "repository": {
            "type": "object",
            "required": ["url", "source"],
            "properties": {"url": {"type": "string", "format": "uri"}, "source": {"const": "github"}},
            "additionalProperties": False,
        },
        "packages": {
            "type": "array",
            "prefixItems": [
                package("pypi", ["version"], identifier=_STRING, version=_VERSION),
                package(
                    "oci",
                    [],
                    identifier={"type": "string", "pattern": r"^ghcr\.io/[a-z0-9-]+/[a-z0-9-]+:\d+\.\d+\.\d+$"},
                    runtimeArguments={
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["type", "name", "value"],
                            "properties": {"type": {"const": "named"}, "name": _STRING, "value": _STRING},
                            "additionalProperties": False,
                        },
                    },
                ),
                package(
                    "mcpb",
                    ["fileSha256"],
                    identifier={"type": "string", "pattern": r"^https://github\.com/.+\.mcpb$"},
                    fileSha256={"type": "string", "pattern": "^[a-f0-9]{64}$"},
                ),
            ],
            "items": False,
        },
    },
}
"""What the registry demands of the fields that we use.

Read from the schema of 2025-12-11 at static.modelcontextprotocol.io, and from docs/reference/server-json/
official-registry-requirements.md of github.com/modelcontextprotocol/registry, 2026-11-29. An image has no version
beside its tag; a bundle lies at a release of GitHub. The schema lets unknown fields pass; here they are refused.
"""


@pytest.mark.parametrize("project", [NOT_OWNED, OWNED], ids=["without an owner", "with an owner"])
def test_server_json_follows_the_rules_of_the_registry(project: Project) -> None:
    """Of those fields that it has."""
    jsonschema_rs.validator_for(REGISTRY_RULES).validate(manifests.server(project))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"description": "x" * 101}, "longer than 100"),
        ({"name": "journey-mcp"}, "does not match"),
        ({"version": "^0.1.0"}, "does not match"),
        ({"homepage": "https://example.com"}, "homepage"),
    ],
)
def test_the_rules_refuse_what_the_registry_refuses(change: dict[str, str], named: str) -> None:
    """Else the test above shows nothing."""
    with pytest.raises(jsonschema_rs.ValidationError, match=named):
        jsonschema_rs.validator_for(REGISTRY_RULES).validate(manifests.server(PROJECT) | change)


def test_the_bundle_has_its_files_and_the_hash_of_the_registry() -> None:
    """It requires the server of the same version, and its bytes depend on nothing but its sources."""
    packed = bundle.packed(PROJECT)
    assert packed == bundle.packed(PROJECT)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["manifest.json", "pyproject.toml", "icon.png", "server/main.py"]
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("manifest.json")) == bundle.manifest(PROJECT)
        required = tomllib.loads(archive.read("pyproject.toml").decode())["project"]
    assert required["dependencies"] == [f"journey-mcp=={__version__}"]
    assert required["requires-python"] == PROJECT.requires_python
    assert len(packed) < 20_000


def test_the_icon_of_the_bundle_is_the_one_of_the_server() -> None:
    """In the size that Claude Desktop wants."""
    with Image.open(bundle.FOLDER / "icon.png") as large, Image.open(ROOT / "journey_mcp/server/icon.png") as small:
        assert large.size == (512, 512)
        shrunk = large.convert("RGBA").resize(small.size, Image.Resampling.BOX)
        differing = ImageStat.Stat(ImageChops.difference(shrunk, small.convert("RGBA"))).mean
    assert max(differing) < 4


def query(link: str) -> dict[str, str]:
    """Return the parameters of a link in the README."""
    return {name: value for name, (value,) in parse_qs(urlsplit(link).query, strict_parsing=True).items()}


def test_the_links_of_the_readme_say_what_a_client_adds() -> None:
    """Decoded again, as the clients do."""
    text = README.read_text(encoding="utf-8")
    (cursor,) = re.findall(r"\[Add to Cursor\]\(([^)]+)\)", text)
    (vscode,) = re.findall(r"\[Add to VS Code\]\(([^)]+)\)", text)
    assert cursor.startswith("https://cursor.com/en/install-mcp?")
    assert query(cursor)["name"] == NAME
    assert json.loads(base64.b64decode(query(cursor)["config"], validate=True)) == {
        "command": "uvx",
        "args": ["journey-mcp"],
    }
    assert vscode.startswith("https://insiders.vscode.dev/redirect/mcp/install?")
    assert query(vscode)["name"] == NAME
    (asked,) = json.loads(query(vscode)["inputs"])
    assert (asked["type"], asked["password"]) == ("promptString", True)
    assert json.loads(query(vscode)["config"]) == {
        "command": "uvx",
        "args": ["journey-mcp"],
        "env": {"JOURNEYAPI_API_KEY": f"${{input:{asked['id']}}}"},
    }
