"""Principals: whose tasks a call may see and make."""

from hashlib import sha256
from typing import NewType

Principal = NewType("Principal", str)
"""Whom a call belongs to, as the transport states; every use case gets one."""
LOCAL = Principal("local")
"""The person at this machine: on stdio, on the command line, and over HTTP as long as callers do not sign in."""

_DIGEST_LENGTH = 32


def principal_of_token(name: str) -> Principal:
    """Return the principal of a token in the tokens file."""
    return Principal(f"token:{name}")


def principal_of_subject(issuer: str, subject: str) -> Principal:
    """Return the principal of an OAuth token: 32 hexadecimal characters, because a subject may have any length.

    A subject is unique at its issuer only.
    """
    return Principal(sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:_DIGEST_LENGTH])


def is_named(principal: Principal, name: str) -> bool:
    """Return whether a setting means this principal: by its id, or by the name of its token."""
    return principal in (name, principal_of_token(name))
