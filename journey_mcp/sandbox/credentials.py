"""Credentials in requests; they are checked and never stored."""

from collections.abc import Mapping

HEADERS = ("authorization", "x-key", "x-api-key", "api-key", "proxy-authorization")
"""Headers that a client sends only to authenticate."""


def carried(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with a credential and their keys, without a scheme such as `Bearer`."""
    return {name: headers[name].rpartition(" ")[2] for name in HEADERS if headers.get(name)}
