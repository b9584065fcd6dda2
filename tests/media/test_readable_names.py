"""File names that a person reads: dated, short, and valid on every system."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.media.readable_names import readable_name, slug

AT = 1795867200.0
"""2026-11-28, noon in UTC."""


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a lighthouse at dusk", "a lighthouse at dusk"),
        ("  a\n\tlighthouse  at dusk. ", "a lighthouse at dusk"),
        ("a lighthouse --ar 16:9 --v 7", "a lighthouse"),
        ("https://example.com/a.png a lighthouse", "a lighthouse"),
        ("--ar 16:9", "midjourney"),
        ("CON", "CON"),
        ("../../etc/passwd", "etc passwd"),
        ("C:\\Windows\\System32", "C Windows System32"),
        ('a "red" <kite>: 50% off | why? *now*', "a red kite 50% off why now"),
        ("a\0b\x07c\x1b[31md", "abc[31md"),
        ("cat\u202egnp.exe", "catgnp.exe"),
        ("\u2066kite\u2069 \u200bred", "kite red"),
        ("...", "midjourney"),
        ("-rf ~", "rf"),
        ("Leuchtturm bei Da\u0308mmerung", "Leuchtturm bei Dämmerung"),
        ("黄昏的灯塔", "黄昏的灯塔"),
        ("मनुष्य", "मनुष्य"),
        ("🚀 launch", "🚀 launch"),
        ("\ud800", "midjourney"),
        ("", "midjourney"),
    ],
)
def test_a_name_is_what_the_prompt_begins_with(prompt: str, words: str) -> None:
    """Without what no file system takes, what hides a file, and what deceives a reader."""
    assert readable_name(prompt, "midjourney", at=AT) == f"2026-11-28 {words}"
    assert readable_name(prompt, "midjourney", at=AT, number=2) == f"2026-11-28 {words} 2"


def test_a_long_prompt_is_cut_between_words() -> None:
    """A word alone is cut within."""
    name = readable_name("a lighthouse on a rock in a storm " * 20, "m", at=AT)
    assert name == "2026-11-28 a lighthouse on a rock in a storm a lighthouse on a rock in a storm a lighthouse"
    assert readable_name("x" * 500, "m", at=AT) == f"2026-11-28 {'x' * 80}"
    assert readable_name("灯" * 500, "m", at=AT) == f"2026-11-28 {'灯' * 40}"
    # no letter loses its mark: there is no single character for an x with a dot
    assert readable_name("a" + "x\u0323" * 100, "m", at=AT) == "2026-11-28 a" + "x\u0323" * 39


@pytest.mark.parametrize(("zone", "day"), [("Pacific/Auckland", 29), ("UTC", 28), ("America/Los_Angeles", 28)])
def test_the_date_is_that_of_this_machine(zone: str, day: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person saves an image on their own day."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert readable_name("a", "m", at=AT) == f"2026-11-{day} a"


_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]')


@given(st.text(max_size=300), st.text(max_size=20))
def test_every_name_is_safe(prompt: str, model: str) -> None:
    """One part of a path, not hidden, no reserved name, within the limits of file systems."""
    name = readable_name(prompt, model, at=AT, number=4)
    assert not _UNSAFE.search(name)
    assert Path(name).name == name
    assert re.fullmatch(r"2026-11-28 \S.* 4", name)
    assert len(f"{name} (9999).webp".encode()) <= 160


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A lighthouse, at dusk!", "a-lighthouse-at-dusk"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "none"),
        ("", "none"),
        ("v1.5 Böot", "v1.5-böot"),
        ("con\\aux:x", "con-aux-x"),
    ],
)
def test_a_slug_holds_no_separator(text: str, expected: str) -> None:
    """It is a part of a name, and never leads to another folder."""
    assert slug(text) == expected
