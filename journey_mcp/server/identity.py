"""What the server says about itself: its title, its web page and its icon."""

from base64 import b64encode
from pathlib import Path

import mcp_types as types

TITLE = "Journey"
WEBSITE_URL = "https://journeyapi.co"
_ICON = Path(__file__).with_name("icon.png")


def icon() -> types.Icon:
    """Return the icon as a data URI.

    It is repeated in every result of revision 2026-07-28, so there is one, of 48 pixels and a few hundred bytes. It is
    a PNG, because VS Code ignores icons in SVG (2026-11-28).
    """
    data = b64encode(_ICON.read_bytes()).decode()
    return types.Icon(src=f"data:image/png;base64,{data}", mime_type="image/png", sizes=["48x48"])
