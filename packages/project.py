"""What every package says about the project, from the one place where it is written."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from journey_mcp import __version__, registry
from journey_mcp.registry.facts import ProviderFacts
from journey_mcp.server.identity import TITLE as TITLE  # noqa: PLC0414  # a fact of the project as the others

ROOT = Path(__file__).parents[1]
NAME = "journey"
"""The name under which clients list the server."""
NO_OWNER = "OWNER"
"""Stands in the address of the repository until the maintainer of a release writes a name there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """The facts of `pyproject.toml` and the version."""

    name: str
    version: str
    description: str
    license: str
    requires_python: str
    author: str
    repository: str

    @property
    def owner(self) -> str:
        """The user or organisation at GitHub to which the repository belongs."""
        return self.repository.split("/")[3]

    @property
    def has_owner(self) -> bool:
        """Whether somebody publishes releases."""
        return self.owner != NO_OWNER

    @property
    def server_name(self) -> str:
        """The name in the MCP registry; the owner of the namespace is proved by a login at GitHub."""
        return f"io.github.{self.owner}/{self.name}"

    @property
    def image(self) -> str:
        """The container image of this version."""
        return f"ghcr.io/{self.owner.lower()}/{self.name}:{self.version}"

    @property
    def bundle(self) -> str:
        """The file name of the bundle."""
        return f"{self.name}-{self.version}.mcpb"

    @property
    def bundle_url(self) -> str:
        """The address of the bundle at the release of this version."""
        return f"{self.repository}/releases/download/v{self.version}/{self.bundle}"


def read_project(root: Path = ROOT) -> Project:
    """Return the facts of the `pyproject.toml` in this folder."""
    written = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (author,) = written["authors"]
    return Project(
        name=written["name"],
        version=__version__,
        description=written["description"],
        license=written["license"],
        requires_python=written["requires-python"],
        author=author["name"],
        repository=written["urls"]["Repository"],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """The setting of a client for the key of one provider."""

    variable: str
    title: str
    description: str

    @property
    def name(self) -> str:
        """The name of the setting in a manifest."""
        return self.variable.lower()


def keys() -> Iterator[Key]:
    """Yield the keys of all providers, the preferred provider first."""
    for provider in registry.load().providers.values():
        yield Key(
            variable=provider.key_variable,
            title=f"{provider.title} key",
            description=f"{_origin(provider)}Leave it empty if you have none: without any key, a sandbox draws images.",
        )


def _origin(provider: ProviderFacts) -> str:
    return f"From {provider.console_url}. " if provider.console_url else ""


def as_json(plain: dict[str, Any]) -> str:
    """Return the text of a manifest."""
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
