"""Completion in the shell: of commands and options by Typer, and of models, providers, tasks, images and actions here.

A completion never prints an error, and makes neither a database nor a sandbox. What it does not know, it leaves out.
"""

# ruff: noqa: PLC0415  # --help imports this module, and no completion needs all

import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from journey_mcp.cli.terminal import console, output_style

if TYPE_CHECKING:
    from journey_mcp.registry import Catalog
    from journey_mcp.settings import Settings

PROGRAM = "journey-mcp"
VARIABLE = "_JOURNEY_MCP_COMPLETE"
"""Shells set it when they ask for completions."""
Shell = Literal["bash", "zsh", "fish", "powershell"]
Completions = list[tuple[str, str]]
"""Values, each with what helps to choose it; Typer selects those that continue what was typed."""

_MAX_HELP = 50
_NOT_PLAIN = re.compile(r"[^\w ,.!?-]+")
"""zsh evaluates what it gets, and prompts may come from anywhere."""
_SQLITE = re.compile(r"sqlite[^:]*:///(?P<file>[^?]+)")
_TIMEOUT_S = 0.2
_NEWEST = """
SELECT id, status, substr(json_extract(request, '$.prompt'), 1, 200),
       coalesce(json_array_length(outcome, '$.images'), 0)
FROM tasks WHERE principal = 'local' AND request <> '' ORDER BY created_at DESC LIMIT 50
"""


def script(shell: Shell) -> None:
    """Print the script that makes a shell ask for completions."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # it exports nothing

    console.result(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))


def prepare() -> None:
    """Get ready to answer a shell. Whatever goes wrong is not shown: it would appear in the line that is typed."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # it exports nothing

    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the process ends
    completion_init()


def _without_errors(complete: Callable[[], Iterable[tuple[str, str]]]) -> Callable[[], Completions]:
    """Return a completion that has nothing to offer if the settings, a registry or the database are invalid."""

    def completions() -> Completions:
        try:
            return [(value, _plain(hint)) for value, hint in complete()]
        except Exception:  # noqa: BLE001  # see above
            return []

    return completions


@_without_errors
def models() -> Iterable[tuple[str, str]]:
    """Offer the models of the configured providers."""
    return [(model.id, model.best_at) for model in _catalog().models.values()]


def several_models(incomplete: str) -> Completions:
    """Offer a further model behind those that are given already, comma-separated."""
    given = incomplete.rpartition(",")[0]
    before = given.split(",") if given else []
    return [(",".join([*before, model]), hint) for model, hint in models() if model not in before]


@_without_errors
def providers() -> Iterable[tuple[str, str]]:
    """Offer all providers: one without a key has an error that says which is missing."""
    from journey_mcp.registry import load

    return [(facts.id, facts.title) for facts in load(_settings().registry).providers.values()]


@_without_errors
def actions() -> Iterable[tuple[str, str]]:
    """Offer what `refine` can do."""
    return [(action, "") for action in _catalog().actions]


@_without_errors
def tasks() -> Iterable[tuple[str, str]]:
    """Offer the newest tasks."""
    return [(id_, f"{status}, {prompt}") for id_, status, prompt, _ in _newest()]


@_without_errors
def images() -> Iterable[tuple[str, str]]:
    """Offer the images of the newest tasks; without any, the shell offers files."""
    return [(f"{id_}.{number}", prompt) for id_, _, prompt, count in _newest() for number in range(1, count + 1)]


@_without_errors
def clients() -> Iterable[tuple[str, str]]:
    """Offer the clients that `install` knows."""
    from journey_mcp.cli.install.clients import CLIENTS

    return [(client, "") for client in CLIENTS]


@_without_errors
def formats() -> Iterable[tuple[str, str]]:
    """Offer the formats of results."""
    return [(form, "") for form in output_style.FORMATS]


def _settings() -> "Settings":
    from journey_mcp.settings import read_settings

    return read_settings(os.environ)


def _catalog() -> "Catalog":
    from journey_mcp.registry import load
    from journey_mcp.registry.selection import catalog_of

    settings = _settings()
    return catalog_of(settings, load(settings.registry))


def _newest() -> list[tuple[Any, ...]]:
    """Return the newest tasks, read without the store's imports, which take longer than a key press may."""
    import sqlite3
    from contextlib import closing
    from urllib.parse import quote

    match = _SQLITE.match(_settings().resolved_database_url())
    if match is None:
        return []
    address = f"file:{quote(match['file'])}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=_TIMEOUT_S)) as database:
        return database.execute(_NEWEST).fetchall()


def _plain(hint: str) -> str:
    """Return the start of a text, without what a shell or Rich would read as more than text."""
    return " ".join(_NOT_PLAIN.sub(" ", hint).split())[:_MAX_HELP].rstrip()
