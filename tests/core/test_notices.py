"""Notices are stored as a code with parameters, and become a sentence when they are shown."""

from dataclasses import replace

from journey_mcp.core.notices import Notice, from_plain, to_plain
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.tools import results

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
    """Beside those that are sentences already, in the object as in the text."""
    plain = results.task_object(replace(TASK, notices=(SWITCH_WINS, "As it is {}.")), now=2.0)
    assert plain["notices"] == [
        "--ar 4:5 in the prompt wins over aspect_ratio=16:9, which was not sent.",
        "As it is {}.",
    ]
    assert "Notice: --ar 4:5 in the prompt wins over aspect_ratio=16:9, which was not sent." in results.as_text(plain)


def test_the_code_and_the_parameters_are_stored() -> None:
    """No sentence: a later version may word it otherwise."""
    plain = {"code": "switch_wins", "parameters": {"switch": "4:5", "given": "16:9"}}
    assert to_plain(SWITCH_WINS) == plain
    assert from_plain(plain) == SWITCH_WINS
    assert from_plain(to_plain("a sentence")) == "a sentence"


def test_a_task_tells_the_same_notice_once() -> None:
    """Two with the same code and parameters are equal."""
    again = Notice.of("switch_wins", switch="4:5", given="16:9")
    assert TASK.noticed(SWITCH_WINS, 2.0).noticed(again, 3.0).notices == (SWITCH_WINS,)


def test_a_notice_of_a_newer_version_is_shown_with_its_code() -> None:
    """A server of this version may read the tasks of a newer one."""
    assert str(Notice.of("not_known_yet", size=4, unit="MB")) == "not_known_yet: size=4, unit=MB"
    assert str(Notice.of("switch_wins", other="x")) == "switch_wins: other=x"
    assert str(from_plain({"code": "new", "parameters": {"code": "x"}})) == "new: code=x"
