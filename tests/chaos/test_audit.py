"""The audit finds every kind of inconsistency between the request log and the journal."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import SERVICES

from chaos.__main__ import write
from chaos.audit import Crash, Entry, Record, awaiting_webhook, lost, problems, submitted_twice, unconfirmed
from chaos.calls import POLLED, SYNCHRONOUS
from chaos.journal import Row
from chaos.kill_points import EventMatcher, KillPoint
from chaos.plan import KILLS, Chain, chains
from chaos.report import summary
from journey_mcp.sandbox import Event

URL = "http://127.0.0.1/pictures/theirs/0.png"
DONE = Row(
    id="tsk_1",
    provider="bfl",
    status="succeeded",
    final=True,
    submission="accepted",
    prediction_id="theirs",
    worker_id="here:7:x",
    prompt="a kite (mark 1)",
    outcome={"images": [{"url": URL}], "cost": {"amount": "4"}},
)
RUNNING = replace(DONE, status="running", final=False, outcome={})
SENT = replace(RUNNING, submission="sent", prediction_id=None)
WAITING = replace(SENT, outcome={"callback_deadline": 9e9})
PREPARED = replace(SENT, status="queued", submission="prepared")
UNCONFIRMED = replace(SENT, status="failed", final=True, outcome={"failure": {"code": "submission_unconfirmed"}})
FREE = replace(UNCONFIRMED, submission="refused", outcome={"failure": {"code": "not_submitted"}})
CREATED = Entry(
    service="bfl", outcome="created", task_id="theirs", body='{"prompt": "a kite (mark 1)"}', urls=frozenset({URL})
)
GIVEN_UP = replace(CREATED, webhook="given up")
REFUSED = replace(CREATED, outcome="refused 429", task_id=None, urls=frozenset())


def result_of(row: Row) -> dict[str, Any]:
    """Return the result of `fetch_task` for a row."""
    results = {"task_id": row.id, "status": row.status, "provider": row.provider, "provider_task_id": row.prediction_id}
    return results | {
        "images": row.outcome.get("images", []),
        "cost": row.outcome.get("cost", {}),
        "error": {"code": row.code},
    }


def record(row: Row | None, *entries: Entry, left: Row | None = None, **more: Any) -> Record:
    """Return the record of one call, with the row that a killed server left."""
    rows = () if row is None else (row,)
    crash = Crash(name="there", pid=7, rows=() if left is None else (left,))
    plain = {"marks": ("(mark 1)",), "entries": entries, "rows": rows, "results": {r.id: result_of(r) for r in rows}}
    return Record(**{**plain, "crashes": (crash,), **more})


@pytest.mark.parametrize(
    "balanced",
    [
        record(None),
        record(DONE, CREATED, left=RUNNING),
        record(DONE, REFUSED, CREATED, left=DONE),
        record(UNCONFIRMED, CREATED, left=SENT),
        record(UNCONFIRMED, left=SENT),
        record(FREE, left=PREPARED),
        record(FREE, REFUSED, left=PREPARED),
        record(DONE, replace(CREATED, webhook="delivered"), left=WAITING),
        record(WAITING, left=WAITING),
        record(WAITING, GIVEN_UP, left=WAITING),
    ],
)
def test_a_consistent_record_has_no_problems(balanced: Record) -> None:
    """Each state of the journal has its correct outcomes."""
    assert list(problems(balanced)) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (record(None, CREATED), "lost"),
        (record(None, REFUSED), "0 rows for 1"),
        (record(DONE, CREATED, replace(CREATED, task_id="second")), "submitted twice"),
        (record(UNCONFIRMED, CREATED, CREATED), "submitted twice"),
        (record(RUNNING, CREATED), "not finished"),
        (record(FREE, CREATED, left=SENT), "lost"),
        (record(replace(DONE, outcome={}), CREATED), "lost"),
        (record(replace(DONE, prediction_id="other"), CREATED), "created theirs; the journal"),
        (record(replace(DONE, provider="vtrix"), CREATED), "created theirs; the journal"),
        (record(replace(UNCONFIRMED, prediction_id="theirs"), CREATED), "unconfirmed, but"),
        (record(replace(FREE, outcome={**FREE.outcome, "cost": {"amount": "4"}})), "no task was created"),
        (record(DONE), "no task was created"),
        (record(UNCONFIRMED, left=PREPARED), "was prepared and became"),
        (record(FREE, left=SENT), "was sent and became"),
        (record(UNCONFIRMED, CREATED, left=RUNNING), "was accepted and became"),
        (record(DONE, CREATED, left=replace(DONE, status="failed")), "was final and changed"),
        (record(DONE, CREATED, left=replace(RUNNING, prediction_id="first")), "was first and became theirs"),
        (record(DONE, CREATED, left=replace(RUNNING, outcome={"grid_url": "u"})), "had frozenset"),
        (record(WAITING, replace(CREATED, webhook="delivered")), "not finished"),
        (record(WAITING, replace(CREATED, webhook="pending")), "not finished"),
        (record(WAITING, CREATED), "lost"),
        (record(SENT, GIVEN_UP), "not finished"),
        (record(UNCONFIRMED, GIVEN_UP, left=WAITING), "was sent and became"),
        (record(WAITING, GIVEN_UP, left=RUNNING), "was accepted and became"),
        (record(None, left=RUNNING), "is missing"),
        (record(DONE, CREATED, results={"tsk_1": {"status": "running"}}), "returned"),
        (record(DONE, CREATED, corrupt_copies=("a path",)), "no good copy: a path"),
        (record(DONE, CREATED, log="Traceback (most recent call last)"), "an error in our code"),
        (record(DONE, CREATED, marks=()), "no call made"),
        (record(DONE, CREATED, CREATED, marks=("(mark 1)", "kite")), "no call made"),
    ],
)
def test_an_inconsistent_record_is_reported(wrong: Record, says: str) -> None:
    """The problem names what is wrong."""
    assert says in "\n".join(problems(wrong))


@pytest.mark.parametrize(
    ("fields", "row", "says"),
    [
        ({"status": "running"}, None, "is not in the journal"),
        ({"status": "running", "provider_task_id": "theirs"}, SENT, "was returned as accepted"),
        ({"status": "succeeded", "provider_task_id": "theirs"}, RUNNING, "was returned as succeeded"),
        ({"status": "running"}, SENT, ""),
        ({"status": "running", "provider_task_id": "theirs"}, DONE, ""),
    ],
)
def test_a_returned_result_was_stored_before(fields: dict[str, Any], row: Row | None, says: str) -> None:
    """A crash does not undo a result that a caller has received."""
    crash = Crash(name="there", pid=7, rows=() if row is None else (row,), results=({"task_id": "tsk_1", **fields},))
    last = DONE if row in (DONE, RUNNING) else UNCONFIRMED
    found = [p for p in problems(record(last, CREATED, crashes=(crash,))) if p.startswith("before")]
    assert bool(found) is bool(says)
    assert says in "".join(found)


def test_created_tasks_are_counted_by_outcome() -> None:
    """Lost, submitted twice, unconfirmed, awaiting a webhook."""
    twice = record(UNCONFIRMED, CREATED, replace(CREATED, task_id="second"))
    assert (len(lost(twice)), len(submitted_twice(twice)), len(unconfirmed(twice))) == (0, 1, 2)
    assert lost(record(None, CREATED)) == [CREATED]
    assert awaiting_webhook(record(WAITING, GIVEN_UP)) == [GIVEN_UP]
    assert awaiting_webhook(record(WAITING, CREATED)) == []


def test_a_round_has_all_kills_and_depends_only_on_its_seed() -> None:
    """Other rounds and other seeds differ."""
    first = chains(1, 0)
    assert sum(len(chain.runs) for chain in first) == KILLS
    assert first == chains(1, 0)
    assert first != chains(2, 0)
    assert chains(1, 0) != chains(1, 1)
    marks = [call.mark for chain in first for run in chain.runs for call in run.calls]
    assert len(set(marks)) == len(marks)


def test_every_provider_has_calls() -> None:
    """The plan makes them of these."""
    assert {*POLLED, *SYNCHRONOUS} == set(SERVICES), "calls.py needs every provider"


def test_every_round_covers_every_provider_and_every_kill_point() -> None:
    """In each of five rounds."""
    for round_ in range(5):
        kill_points = [run.kill_point for chain in chains(3, round_) for run in chain.runs]
        creating = {kill_point.service for kill_point in kill_points if kill_point.name.startswith("creating")}
        assert creating == set(SERVICES)
        assert {kill_point.name for kill_point in kill_points} == {
            kill_point.name for chain in chains(3, 0) for kill_point in _kill_points_of(chain)
        }


def _kill_points_of(chain: Chain) -> list[KillPoint]:
    return [run.kill_point for run in chain.runs]


def test_an_event_matcher_matches_only_its_event() -> None:
    """By request kind, point and provider; at a fail-over, only after the rejection."""
    path = "/bfl/v1/flux-2-pro"
    body = Event(point="body", method="POST", path=path)
    assert EventMatcher(KillPoint(name="", kind="submission", point="body", service="bfl")).matches(body)
    assert not EventMatcher(KillPoint(name="", kind="submission", point="body", service="vtrix")).matches(body)
    assert not EventMatcher(KillPoint(name="", kind="poll", point="body")).matches(body)
    assert EventMatcher(KillPoint(name="", kind="connection", point="connected")).matches(Event(point="connected"))
    refusal = Event(point="answered", method="POST", path="/vtrix/model/v1/generation", status=401)
    assert EventMatcher(KillPoint(name="", kind="submission", point="answered", rejected="now")).matches(refusal)
    second = EventMatcher(KillPoint(name="", kind="submission", point="body", rejected="before"))
    assert [second.matches(event) for event in (body, refusal, body)] == [False, False, True]


def test_the_summary_replaces_its_part_of_the_document(tmp_path: Path) -> None:
    """The rest of the document stays as it is."""
    document = tmp_path / "reliability.md"
    document.write_text("before\n<!-- chaos -->\nold\n<!-- /chaos -->\nafter\n", encoding="utf-8")
    results = summary([record(DONE, CREATED, left=RUNNING)], seed=5, where="a machine", when="2026-11-21", took_s=1.4)
    write(results, document)
    text = document.read_text(encoding="utf-8")
    assert text == f"before\n<!-- chaos -->\n{results}<!-- /chaos -->\nafter\n"
    assert "| there | 1 | 0 | 0 | 0 | 0 | 1 |" in text
    assert "| of these, **lost** | 0 |" in text
    with pytest.raises(ValueError, match="no part"):
        write(results, Path(__file__))
