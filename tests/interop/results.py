"""The table of results in docs/frameworks.md."""

import re
from collections.abc import Mapping

from interop.clients import CLIENTS

_TABLE = re.compile(r"(?<=<!-- interop -->\n).*?(?=<!-- /interop -->)", re.DOTALL)
_HEAD = (
    "| client | versions | run on | holds | what the model gets of a `view_image` |\n| --- | --- | --- | --- | --- |\n"
)


def with_rows(document: str, rows: Mapping[str, str]) -> str:
    """Return the document with new rows, by title, in its table; other clients keep theirs."""
    return _TABLE.sub(lambda table: _HEAD + "".join(_in_order({**_rows(table[0]), **rows})), document)


def _rows(table: str) -> dict[str, str]:
    return {line.split("|")[1].strip(): line for line in table.splitlines(keepends=True) if line.startswith("|")}


def _in_order(rows: Mapping[str, str]) -> list[str]:
    return [rows[client.title] for client in CLIENTS if client.title in rows]
