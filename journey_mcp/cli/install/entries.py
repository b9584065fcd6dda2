"""The entry of this server in the text of a configuration file: added, brought up to date, and removed."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from journey_mcp.cli.install.clients import Client
from journey_mcp.cli.install.editing import NotEditable, Path, editor_of
from journey_mcp.cli.install.launch import Launch
from journey_mcp.core.redaction import is_reference, secrets_in

_INPUTS = "inputs"
_SECRET = re.compile(r"key|token|secret|pass|auth|credential|cookie|dsn|\bpat\b|_pat\b", re.IGNORECASE)
_VARIABLE = re.compile(rf"{_SECRET.pattern}|url", re.IGNORECASE)
_ASSIGNED = re.compile(rf"(?:{_SECRET.pattern})[^\s:=]*\s*[:=]\s*(.+)", re.IGNORECASE)
"""An argument or a URL with a value, as in `--api-key=…`, `Authorization: Bearer …`, `?token=…`."""
_INPUT = re.compile(r"\$\{input:([^{}]+)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An entry, and the inputs that it refers to."""

    fields: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]] = ()


def new_entry(client: Client, launch: Launch, variables: Mapping[str, str], titles: Mapping[str, str]) -> Entry:
    """Return the entry with these variables. `titles` names the secrets for people.

    Where the client asks for secrets, they become inputs, and the entry only refers to them.
    """
    secret = [name for name, value in variables.items() if client.has_inputs and secrets_in({name: value})]
    fields = {
        **{name: value for name, value in client.fixed.items() if name == "type"},
        "command": launch.command,
        **({"args": list(launch.args)} if launch.args else {}),
        **({"env": {**variables, **{name: f"${{input:{_input_id(name)}}}" for name in secret}}} if variables else {}),
        **{name: value for name, value in client.fixed.items() if name != "type"},
    }
    return Entry(fields=fields, inputs=[_input(name, titles.get(name, name)) for name in secret])


def _input_id(variable: str) -> str:
    return f"journey-{variable.lower().replace('_', '-')}"


def _input(variable: str, title: str) -> dict[str, Any]:
    return {"type": "promptString", "id": _input_id(variable), "description": title, "password": True}


def current_entry(client: Client, text: str) -> Any:
    """Return what is in the place of the entry; `None` if nothing is.

    Raises:
        NotEditable: the text is not of the client's format, or its list of servers is none.
    """
    servers = editor_of(client.form).parse(text).get(client.servers, {})
    if not isinstance(servers, dict):
        raise NotEditable(f"{client.servers} is not a list of servers by name")
    return servers.get(client.path[1])


def variables_of(entry: Any) -> dict[str, str]:
    """Return the variables of an entry; none if it is not that of a command."""
    variables = entry.get("env") if _is_command(entry) else None
    return variables if isinstance(variables, dict) else {}


def with_entry(client: Client, text: str, entry: Entry) -> str:
    """Return the text with the entry.

    An entry with a command keeps what the new one does not name: variables, and fields that the client or the person
    added. A reference to a variable or an input is not replaced by a value.

    Raises:
        NotEditable: as `current_entry`.
    """
    editor = editor_of(client.form)
    current = current_entry(client, text)
    if not _is_command(current):
        text = editor.put(text, client.path, dict(entry.fields))
    else:
        for path, value in _differences(client, current, entry):
            text = editor.put(text, (*client.path, *path), value)
    referenced = _INPUT.findall(json.dumps(current_entry(client, text)))
    for added in entry.inputs:
        inputs = _inputs_in(client, text)
        if added["id"] in referenced and added["id"] not in _ids(inputs):
            text = editor.put(text, (_INPUTS, len(inputs)), added)
    return text


def _differences(client: Client, current: dict[str, Any], entry: Entry) -> Iterator[tuple[Path, Any]]:
    """Yield what must change in an entry of a command."""
    wanted = {"args": [], **entry.fields} if current.get("args") else entry.fields
    variables = current.get("env")
    for name, value in wanted.items():
        if name == "env" and isinstance(variables, dict):
            for variable, text in value.items():
                old = variables.get(variable)
                if old != text and not (isinstance(old, str) and is_reference(old)):
                    yield (name, variable), text
        elif current.get(name) != value and not (name in client.fixed and name in current):
            yield (name,), value


def without_entry(client: Client, text: str) -> str:
    """Return the text without the entry, and without the inputs that only it used."""
    editor = editor_of(client.form)
    entry = current_entry(client, text)
    text = editor.remove(text, client.path)
    for id_ in _own_inputs(entry):
        inputs = _inputs_in(client, text)
        if id_ in _ids(inputs) and f"${{input:{id_}}}" not in text:
            text = editor.remove(text, (_INPUTS, _ids(inputs).index(id_)))
    return text


def entry_in(client: Client, text: str) -> Entry:
    """Return the entry of a text with the inputs that it uses, to add it to another text."""
    fields = current_entry(client, text)
    inputs, own = _inputs_in(client, text), _own_inputs(fields)
    return Entry(fields=fields, inputs=[one for one, id_ in zip(inputs, _ids(inputs), strict=True) if id_ in own])


def _own_inputs(entry: Any) -> list[str]:
    return [id_ for id_ in _INPUT.findall(json.dumps(entry)) if id_.startswith("journey-")]


def _inputs_in(client: Client, text: str) -> list[Any]:
    """Return the inputs of a text; none if something else is in their place."""
    inputs = editor_of(client.form).parse(text).get(_INPUTS)
    return inputs if isinstance(inputs, list) else []


def _ids(inputs: Sequence[Any]) -> list[Any]:
    return [one.get("id") if isinstance(one, dict) else None for one in inputs]


def _is_command(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("command"), str)


def secrets_of(client: Client, text: str) -> Iterator[str]:
    """Yield what may be secret in a text, for redaction.

    By the names of members, of all servers also by those of variables, headers, and options in arguments.
    """
    content = editor_of(client.form).parse(text)
    found = [value for name, value in _texts("", content) if _SECRET.search(name)]
    for server in content.get(client.servers, {}).values():
        for field, values in server.items() if isinstance(server, dict) else ():
            is_named = isinstance(values, dict) and ("env" in field or "header" in field)
            for name, value in _texts(field, values):
                found += [value] if is_named and _VARIABLE.search(name) else _ASSIGNED.findall(value)
    yield from (value for value in found if not is_reference(value))


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text with its name: of its member, or the text before it in a list, which may be an option."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key, inner)
    elif isinstance(value, list):
        for before, inner in zip((name, *value), value, strict=False):
            yield from _texts(before if isinstance(before, str) else name, inner)
