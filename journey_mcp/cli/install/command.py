"""`install` and `uninstall`: show the change of a client's configuration file, ask, and write it."""

import getpass
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path
from typing import NoReturn

from journey_mcp.cli.event_loop import run
from journey_mcp.cli.install import variables as shell
from journey_mcp.cli.install.clients import CLIENTS, Client, Machine
from journey_mcp.cli.install.config_file import ConfigFile
from journey_mcp.cli.install.editing import NotEditable
from journey_mcp.cli.install.entries import (
    Entry,
    current_entry,
    entry_in,
    new_entry,
    secrets_of,
    variables_of,
    with_entry,
    without_entry,
)
from journey_mcp.cli.install.launch import Launch, Process, installed_from, launch_of
from journey_mcp.cli.terminal import console
from journey_mcp.core.errors import InvalidArguments, SetupError
from journey_mcp.core.redaction import redactor_of, secrets_in

_FIRST = "Make an image of a lighthouse at dusk with journey."
_THIS_PROCESS = Process(argv0=sys.argv[0], executable=Path(sys.executable), prefix=Path(sys.prefix))
_PLACEHOLDER = "your-key"
"""The settings refuse it as a key, and say why."""


def this_machine() -> Machine:
    """Return the machine and the person of this process."""
    return Machine(system=sys.platform, home=Path.home(), environment=os.environ)


def install(name: str | None, machine: Machine, *, only_print: bool, is_agreed: bool) -> int:
    """Add this server to a client, or bring its entry up to date; return the exit code.

    Raises:
        InvalidArguments: no client is named or there is none of the name, or there is nobody to ask.
        SetupError: a setting is wrong, the client is not found, or its file cannot be edited.
    """
    client = _client(name) if name else _no_client(machine)
    given = shell.set_variables(machine.environment)
    launch = launch_of(_THIS_PROCESS, machine, installed_from())
    if only_print:
        return _print(client, client.file(machine), launch, given)
    file = ConfigFile.read(_found(client, machine))
    with _located(file.path):
        present = variables_of(current_entry(client, file.text))
        if not is_agreed and not shell.has_key({**present, **given}):
            given |= _asked_key(client, machine)
        after = with_entry(client, file.text, new_entry(client, launch, given, shell.titles(machine.environment)))
    if after == file.text:
        console.result(f"There is nothing to change: journey is in {file.path}.")
        return console.OK
    if not _agreed(client, file, after, given, is_agreed=is_agreed):
        return console.FAILED
    backup = file.replace(after)
    _report(client, file.path, backup, launch, {**present, **given})
    return console.OK


def uninstall(name: str, machine: Machine, *, is_agreed: bool) -> int:
    """Remove the entry of this server; return the exit code.

    If nothing else was changed since `install`, the file is byte for byte what it was before.

    Raises:
        InvalidArguments, SetupError: as `install`.
    """
    client = _client(name)
    file = ConfigFile.read(client.file(machine))
    with _located(file.path):
        if current_entry(client, file.text) is None:
            console.result(f"There is nothing to remove: journey is not in {file.path}.")
            return console.OK
        before = _before_install(client, file)
    if not _agreed(client, file, before or "", {}, is_agreed=is_agreed):
        return console.FAILED
    backup = file.replace(before)
    console.result(f"journey was removed from {file.path}. {client.restart}")
    console.info(f"The file as it was, with the keys in it: {backup}")
    return console.OK


def _before_install(client: Client, file: ConfigFile) -> str | None:
    """Return the text without the entry; `None` if the file was made for it.

    The entry alone does not say whether its container was there before, so the copies are asked: if the entry, added to
    one of them, gives the file, that copy is what the file was.
    """
    entry = entry_in(client, file.text)
    for backup in file.backups():
        if _gives(client, backup, entry, file):
            return backup.text
    if _gives(client, replace(file, text=""), entry, file):
        return None
    return without_entry(client, file.text)


def _gives(client: Client, backup: ConfigFile, entry: Entry, file: ConfigFile) -> bool:
    try:
        is_without = current_entry(client, backup.text) is None
        return is_without and with_entry(client, backup.text, entry) == file.text and backup.mark == file.mark
    except NotEditable:
        return False


def _client(name: str) -> Client:
    if name in CLIENTS:
        return CLIENTS[name]
    meant = [id_ for id_ in CLIENTS if name.lower() and (name.lower() in id_ or id_ in name.lower())]
    hint = f"Did you mean {' or '.join(meant)}?" if meant else f"Clients are {', '.join(CLIENTS)}."
    raise InvalidArguments(
        f"There is no client {name[:80]!r}.",
        next_step=f"{hint} The README says how to add another one by hand.",
    )


def _no_client(machine: Machine) -> NoReturn:
    found = [client.id for client in CLIENTS.values() if client.is_found(machine)]
    raise InvalidArguments(
        "No client was named.",
        next_step=f"Found on this machine: {', '.join(found) or 'none'}. Run `journey-mcp install` with one of "
        f"{', '.join(CLIENTS)}.",
    )


def _found(client: Client, machine: Machine) -> Path:
    file = client.file(machine)
    if not client.is_found(machine):
        raise SetupError(
            f"{client.title} was not found: there is no {file if file.parent == machine.home else file.parent}.",
            next_step=f"Start {client.title} once and run this again, or see what to write where with "
            f"`journey-mcp install {client.id} --print`.",
        )
    return file


@contextmanager
def _located(path: Path) -> Iterator[None]:
    """Report where a file cannot be edited."""
    try:
        yield
    except NotEditable as error:
        raise SetupError(
            f"{path} cannot be edited: {error}. Nothing was changed.",
            next_step="Correct it in an editor, then run this again.",
        ) from error


def _asked_key(client: Client, machine: Machine) -> dict[str, str]:
    """Ask for a key, if there is a terminal; no key means the sandbox.

    Raises:
        SetupError: it cannot be a key.
    """
    if not sys.stdin.isatty():
        return {}
    if client.has_inputs:
        question = f"No key is set. Shall {client.title} ask you for a JourneyAPI key? Without one, a sandbox runs."
        return {shell.DEFAULT_KEY: _PLACEHOLDER} if run(console.ask, question) else {}
    prompt = f"{shell.DEFAULT_KEY} (not shown; Enter alone for the free sandbox): "
    if not (key := getpass.getpass(prompt).strip()):
        return {}
    return {shell.DEFAULT_KEY: shell.set_variables({**machine.environment, shell.DEFAULT_KEY: key})[shell.DEFAULT_KEY]}


def _print(client: Client, file: Path, launch: Launch, given: Mapping[str, str]) -> int:
    """Print what would be in a file that has nothing else."""
    shown = {name: _PLACEHOLDER if secrets_in({name: value}) else value for name, value in given.items()}
    console.info(f"This belongs into {file}. Keys are not printed.")
    console.result(with_entry(client, "", new_entry(client, launch, shown, {})).rstrip())
    return console.OK


def _agreed(client: Client, file: ConfigFile, after: str, given: Mapping[str, str], *, is_agreed: bool) -> bool:
    """Show the change and ask; return whether it is agreed."""
    secrets = [*secrets_of(client, file.text), *secrets_in(given)]
    redactor = redactor_of(*secrets)
    for line in _diff(file, after):
        console.info(redactor.text(line))
    if is_agreed:
        return True
    if not sys.stdin.isatty():
        raise InvalidArguments(
            f"{file.path} was not changed: there is no terminal to ask at.",
            next_step="Add --yes to write it without a question, or --print to see what to write yourself.",
        )
    if run(console.ask, f"Change {file.path}?"):
        return True
    console.info("Nothing was changed.")
    return False


def _diff(file: ConfigFile, after: str) -> Iterable[str]:
    return unified_diff(file.text.splitlines(), after.splitlines(), str(file.path), str(file.path), lineterm="")


def _report(client: Client, path: Path, backup: Path | None, launch: Launch, variables: Mapping[str, str]) -> None:
    console.result(f'journey is in {path}. {client.restart} Then say: "{_FIRST}"')
    console.info(f"It starts {' '.join((launch.command, *launch.args))}{f'. {launch.note}' if launch.note else ''}")
    asked = [name for name, value in variables.items() if client.has_inputs and secrets_in({name: value})]
    if written := [name for name in variables if name not in asked]:
        console.info(f"The file, which only you can read, has these settings: {', '.join(written)}.")
    if asked:
        console.info(f"{client.title} asks for {', '.join(asked)} when it starts the server, and keeps what you enter.")
    if not shell.has_key(variables):
        console.info("It has no key: a free sandbox draws test images.")
    if backup is not None:
        console.info(f"The file as it was: {backup}")
