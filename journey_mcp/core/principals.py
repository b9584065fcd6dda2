"""Principals: whose tasks a call may see and make."""

from typing import NewType

Principal = NewType("Principal", str)
"""Whom a call belongs to, as the transport states; every use case gets one."""
LOCAL = Principal("local")
"""The person at this machine: on stdio, on the command line, and over HTTP as long as callers do not sign in."""
