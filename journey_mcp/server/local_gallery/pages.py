"""The page with the headers that keep it to itself, and the page that takes the browser there."""

import base64
import hashlib
import re

from starlette.responses import HTMLResponse

HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""The headers of every response."""
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Journey</title>'
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def gallery_page(page: str) -> HTMLResponse:
    """Return the gallery. Only its own scripts and styles run; it reaches this server and nothing else."""
    policy = (
        f"{_NOTHING}; script-src {_hashes(page, 'script')}; style-src {_hashes(page, 'style')}; "
        "img-src 'self' data: blob:; connect-src 'self'"
    )
    return HTMLResponse(page, headers={"content-security-policy": policy})


def entrance_page(path: str) -> HTMLResponse:
    """Return a page that goes on to the gallery at a path.

    Not a redirect: if a link of another site led here, browsers would withhold the new cookie from its target.
    """
    goes_on = f'<meta http-equiv="refresh" content="0;url={path}">'
    return HTMLResponse(f"{_HEAD}{goes_on}", headers={"content-security-policy": _NOTHING})


def message_page(status: int, sentence: str) -> HTMLResponse:
    """Return a page with one sentence and nothing of what was requested."""
    return HTMLResponse(f"{_HEAD}<p>{sentence}</p>", status, headers={"content-security-policy": _NOTHING})


def _hashes(page: str, element: str) -> str:
    """Return the sources of a policy that allow exactly the inline elements of the page."""
    bodies = [body for name, body in _INLINE.findall(page) if name == element]
    digests = (base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
