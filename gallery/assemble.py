"""Joins the sources of the gallery to the one page that is shipped, minified.

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
    page = "\n".join(line.strip() for line in _read("page.html").splitlines())
    return (
        page.replace("{{style}}", minify.string("text/css", _read("style.css"))).replace(
            "{{script}}", minify.string("application/javascript", f"(()=>{{{script}}})()")
        )
        + "\n"
    )


def _read(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")
