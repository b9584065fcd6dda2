"""Keys in requests: seen, never kept."""

from collections.abc import Mapping

HEADERS = ("authorization", "x-key", "x-api-key", "api-key", "proxy-authorization")
"""Headers that a client has no reason to send but to prove who it is."""


def carried(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that carry a credential, with the bare keys: `Bearer` and its like are cut off."""
    return {name: headers[name].rpartition(" ")[2] for name in HEADERS if headers.get(name)}
