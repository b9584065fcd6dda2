"""Notices are stored as a code with parameters, and become a sentence when they are shown."""

import ast
from dataclasses import replace
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

import journey_mcp
from journey_mcp.core import notices
from journey_mcp.core.notices import SENTENCES, Notice, from_plain, to_plain
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.tools import results

PACKAGE = Path(journey_mcp.__file__).parent
SWITCH_WINS = Notice.of("switch_wins", switch="4:5", given="16:9")
TASK = Task(
    id="tsk_1",
    principal=LOCAL,
    request=ImageRequest(tool="imagine", prompt="p", model="m"),
    provider="x",
    base_url="u",
    created_at=1.0,
    updated_at=1.0,
)


def test_a_notice_is_shown_as_its_sentence() -> None:
    """In the object as in the text; what an earlier version stored as a sentence stays one."""
    stored = (SWITCH_WINS, from_plain("As it is {}."))
    plain = results.task_object(replace(TASK, notices=stored), now=2.0)
    assert plain["notices"] == [
        "--ar 4:5 in the prompt overrides aspect_ratio=16:9, which was not sent.",
        "As it is {}.",
    ]
    assert "Notice: --ar 4:5 in the prompt overrides aspect_ratio=16:9, which was not sent." in results.as_text(plain)


@pytest.mark.parametrize(
    ("notice", "plain"),
    [
        (SWITCH_WINS, {"code": "switch_wins", "parameters": {"switch": "4:5", "given": "16:9"}}),
        (from_plain("a sentence"), {"code": "text", "parameters": {"text": "a sentence"}}),
    ],
)
def test_the_code_and_the_parameters_are_stored(notice: Notice, plain: object) -> None:
    """No sentence: a later version may word it otherwise."""
    assert to_plain(notice) == plain
    assert from_plain(to_plain(notice)) == notice


def test_notices_are_equal_by_code_and_parameters() -> None:
    """So a task has each once."""
    again = Notice.of("switch_wins", switch="4:5", given="16:9")
    assert TASK.noticed(SWITCH_WINS, 2.0).noticed(again, 3.0).notices == (SWITCH_WINS,)
    assert SWITCH_WINS not in {Notice.of("switch_wins", switch="4:5", given="1:1"), from_plain(str(SWITCH_WINS))}


@pytest.mark.parametrize(
    ("code", "parameters", "shown"),
    [
        ("not_known_yet", {"size": 4, "unit": "MB"}, "not_known_yet: size=4, unit=MB"),
        ("switch_wins", {"other": "x"}, "switch_wins: other=x"),
        ("new", {"code": "x"}, "new: code=x"),
        ("image_compressed", {"image": "it", "max_bytes": "1 MB"}, "image_compressed: image=it, max_bytes=1 MB"),
    ],
)
def test_a_notice_of_a_newer_version_is_shown_with_its_code(
    code: str, parameters: dict[str, str | int], shown: str
) -> None:
    """A server of this version may read the tasks of a newer one."""
    assert str(from_plain({"code": code, "parameters": parameters})) == shown


@cache
def nodes() -> list[ast.AST]:
    """Return what the package is made of, without the sentences themselves."""
    paths = set(PACKAGE.rglob("*.py")) - {Path(notices.__file__)}  # whose keys are strings as well
    return [node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8")))]


def test_every_code_is_used() -> None:
    """Written out somewhere; those of conversions are put together."""
    strings = {node.value for node in nodes() if isinstance(node, ast.Constant)}
    assert not {code for code in SENTENCES if code not in strings and not code.startswith("image_converted")}


def test_every_notice_has_a_sentence_and_its_parameters() -> None:
    """`about` adds the image."""
    for node in nodes():
        match node:
            case ast.Call(ast.Attribute(ast.Name("Notice"), "of"), [ast.Constant(str(code))], keywords):
                given = {keyword.arg for keyword in keywords}
                fields = {name for _, name, _, _ in Formatter().parse(SENTENCES[code]) if name}
                assert None in given or fields - {"image"} <= given <= fields, code
