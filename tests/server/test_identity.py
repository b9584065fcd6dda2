"""What the server says about itself, through a real client in both eras."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from support import client_of, settings_for


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_gets_title_web_page_and_icon(mode: str, tmp_path: Path) -> None:
    """The icon is a small PNG of 48 pixels, in the form that clients show."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path), mode) as client:
        info = client.server_info
        assert info is not None
        tools = (await client.list_tools()).tools
    assert (info.name, info.title, info.website_url) == ("journey-mcp", "Journey", "https://journeyapi.co")
    assert info.icons is not None
    (icon,) = info.icons
    assert (icon.mime_type, icon.sizes) == ("image/png", ["48x48"])
    start, _, data = icon.src.partition(",")
    assert start == "data:image/png;base64"
    assert len(icon.src) < 600, "it is repeated in every result of revision 2026-07-28"
    with Image.open(io.BytesIO(base64.b64decode(data))) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (48, 48))
        assert drawn.convert("RGBA").getpixel((0, 0)) == (27, 38, 79, 0)
        assert len(drawn.convert("RGBA").getcolors() or ()) > 4
    assert all(tool.title and tool.annotations and tool.annotations.title for tool in tools)
