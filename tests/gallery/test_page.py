"""The shipped page of the gallery: made from its sources, small, and closed to other hosts."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

from journey_mcp import gallery

SHIPPED = Path(gallery.__file__).with_name("gallery.html")
SOURCES = Path(__file__).parents[2] / "gallery"
MAX_BYTES = 40_000


@pytest.mark.generated
def test_the_page_is_made_from_its_sources() -> None:
    """UPDATE_DOCS=1 rewrites it."""
    spec = importlib.util.spec_from_file_location("assemble", SOURCES / "assemble.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.assemble()
    if os.environ.get("UPDATE_DOCS"):
        SHIPPED.write_text(page, encoding="utf-8")
    assert SHIPPED.read_text(encoding="utf-8") == page, "the page is stale: make fix rewrites it"


def test_the_page_is_small() -> None:
    """Hosts load it with every result that they show."""
    assert len(gallery.page().encode()) < MAX_BYTES


def test_the_page_names_no_other_host() -> None:
    """Only the name of the SVG namespace and our own resources look like addresses; nothing is loaded from anywhere."""
    addresses = set(re.findall(r"(?:[a-z]+:)?//[\w.-]+[^\"'`$\s]*", gallery.page()))
    assert addresses == {"http://www.w3.org/2000/svg", "journey://images/"}
    assert not re.search(r"<(link|script|iframe|object|embed)\b[^>]+(src|href|data)=|@import|url\(", gallery.page())


def test_the_policy_of_the_page_is_strict() -> None:
    """Pixels are data; a page of its own reaches its own server; nothing else is loaded, sent or framed."""
    (policy,) = re.findall(r'http-equiv="?Content-Security-Policy"? content="([^"]+)"', gallery.page())
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'unsafe-inline'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_policy_by_digests_is_possible() -> None:
    """There is one script and one style, both without attributes, and no other inline code."""
    page = gallery.page()
    assert page.count("<script>") == page.count("<script") == 1
    assert page.count("<style>") == page.count("<style") == 1
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page)


@pytest.mark.parametrize("name", sorted(path.name for path in SOURCES.glob("*.js")))
def test_data_never_becomes_markup(name: str) -> None:
    """Prompts contain anything."""
    source = (SOURCES / name).read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", source)


@pytest.mark.parametrize("name", sorted(path.name for path in SOURCES.glob("*.js")))
def test_no_declaration_meets_the_bug_of_the_minifier(name: str) -> None:
    """It moves `const {a} = f({b})` before the declaration of `b`: such a value must have a name first."""
    source = (SOURCES / name).read_text(encoding="utf-8")
    assert not re.findall(r"^\s*(?:const|let) [{\[].*[}\]] = .*\{ ?[\w.\[].*", source, re.MULTILINE)
