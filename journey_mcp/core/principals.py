"""Principals: whose tasks a call may see and make."""

from typing import NewType

Principal = NewType("Principal", str)
"""Whom a call belongs to, as the transport states; every use case gets one."""
LOCAL = Principal("local")
"""The person at this machine: on stdio, on the command line, and over HTTP as long as callers do not sign in."""


def of_token(name: str) -> Principal:
    """Return the principal of the bearer token of this name."""
    return Principal(f"token:{name}")


def is_named(principal: Principal, name: str) -> bool:
    """Return whether a setting means this principal: by its id, or by the name of its token."""
    return principal in (name, of_token(name))
