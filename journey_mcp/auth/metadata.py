"""What a client needs to get a token: the metadata of this resource (RFC 9728), and challenges (RFC 6750)."""

import json
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from journey_mcp.auth.identity import GENERATE, READ, Scope

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
SUPPORTED: tuple[Scope, ...] = (GENERATE, READ)
"""What people may grant to a client. `offline_access` is no scope of a resource, and `admin` is not for clients."""


class ProtectedResource:
    """This server as a resource of an OAuth issuer."""

    def __init__(self, url: str, issuer: str) -> None:
        """Prepare. `url` is the address of MCP that clients are given, which is the resource."""
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        self.metadata_url = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{path}"
        # behind a proxy the path may be shorter here; and some clients ask without any
        self._paths = {WELL_KNOWN, f"{WELL_KNOWN}/mcp", f"{WELL_KNOWN}{path}"}
        # not by a model of the SDK, which rewrites URLs: clients compare the issuer to the letter
        self._document = json.dumps(
            {
                "resource": url,
                "authorization_servers": [issuer],
                "scopes_supported": SUPPORTED,
                "bearer_methods_supported": ["header"],
                "resource_name": "journey-mcp",
            }
        )

    def metadata_at(self, path: str) -> str | None:
        """Return the metadata, as JSON, if this is one of its addresses."""
        return self._document if path in self._paths else None


def challenge(
    scopes: Iterable[Scope], resource: ProtectedResource | None, *, error: str | None = None, because: str | None = None
) -> str:
    """Return the header `WWW-Authenticate`; without an error if no token came (RFC 6750, section 3.1)."""
    parts = {
        "error": error,
        "error_description": because,
        "scope": " ".join(scopes),
        "resource_metadata": resource.metadata_url if resource else None,
    }
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)
