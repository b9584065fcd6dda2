"""The gallery: one page without dependencies that shows images, in hosts of MCP Apps and in a browser.

`gallery/` at the root of the repository has its sources.
"""

from functools import cache
from pathlib import Path

URI = "ui://journey/gallery.html"
"""The page as a resource of MCP."""
FACTS = "journey/gallery"
"""The key in the `_meta` of a result under which the page finds what results leave out, by task id.

A request with this key in its `_meta` asks for them. Others get them if the client declares MCP Apps.
"""
ACTIONS = "journey/actions"
"""The key under which it finds what can be done with each image, by image id; sent with the facts."""


@cache
def page() -> str:
    """Return the page."""
    return Path(__file__).with_name("gallery.html").read_text(encoding="utf-8")
