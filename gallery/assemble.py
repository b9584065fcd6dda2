"""Join the sources of the gallery to the one page that is shipped, minified.

`UPDATE_DOCS=1 pytest tests/gallery` writes it.
"""

from pathlib import Path

import minify

SOURCES = Path(__file__).parent
SCRIPTS = ("elements", "host", "tasks", "paid", "viewer", "editor", "grid", "main")
"""In the order in which they run; they share one scope."""


def assemble() -> str:
    """Return the page."""
    script = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    page = _read("page.html").replace("{{style}}", _read("style.css")).replace("{{script}}", f"(()=>{{{script}}})()")
    # hosts add their policy after the tag of the head
    minify.config({"html-keep-document-tags": True})
    # the minifier keeps every `const`; a hundred of them would be half a kilobyte
    shortened: str = minify.string("text/html", page).replace("const ", "let ")
    return f"{shortened}\n"


def _read(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")
