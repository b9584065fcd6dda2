"""Configuration files as text: what an editor of one format does, and the error for a text that it cannot edit."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

Path = Sequence[str | int]
"""Names of members, and indices of elements, from the top level down."""
Format = Literal["json", "toml"]


class NotEditable(Exception):
    """The text is not of the format, or something else is where the edit belongs; says where."""


class Editor(Protocol):
    """A text of which one value is read and changed; every other byte stays."""

    def parse(self, text: str) -> dict[str, Any]:
        """Return the content; nothing at all is an empty object.

        Raises:
            NotEditable: it is not of the format, or no object.
        """

    def put(self, text: str, path: Path, value: Any) -> str:
        """Return the text with this value at the path: replaced, or added as the last one of its container.

        Raises:
            NotEditable: as `parse`, or a part of the path is no container.
        """

    def remove(self, text: str, path: Path) -> str:
        """Return the text without the value at the path, which exists."""


def editor_of(form: Format) -> Editor:
    """Return the editor of a format; that of TOML is imported for it only."""
    if form == "toml":
        from journey_mcp.cli.install import toml_text  # noqa: PLC0415  # one client needs it

        return toml_text
    from journey_mcp.cli.install import jsonc  # noqa: PLC0415  # the other one does not need it

    return jsonc
