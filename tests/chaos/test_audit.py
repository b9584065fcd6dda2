"""The proof can fail: books that do not balance are found, whichever way they do not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.__main__ import write
from chaos.audit import Books, Death, Entry, doubled, lost, problems, unconfirmed, waited_for
from chaos.journal import Row
from chaos.kill_points import Aim, Watch
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
    holder="here:7:x",
    prompt="a kite (mark 1)",
    outcome={"images": [{"url": URL}], "cost": {"amount": "4"}},
)
RUNNING = replace(DONE, status="running", final=False, outcome={})
SENT = replace(RUNNING, submission="sent", prediction_id=None)
WAITING = replace(SENT, outcome={"answer_by": 9e9})
PREPARED = replace(SENT, status="queued", submission="prepared")
UNCONFIRMED = replace(SENT, status="failed", final=True, outcome={"failure": {"code": "submission_unconfirmed"}})
FREE = replace(UNCONFIRMED, submission="refused", outcome={"failure": {"code": "not_submitted"}})
CREATED = Entry(
    service="bfl", outcome="created", task_id="theirs", body='{"prompt": "a kite (mark 1)"}', urls=frozenset({URL})
)
GIVEN_UP = replace(CREATED, webhook="given up")
REFUSED = replace(CREATED, outcome="refused 429", task_id=None, urls=frozenset())


def told_of(row: Row) -> dict[str, Any]:
    """What `fetch_task` says of a row."""
    told = {"task_id": row.id, "status": row.status, "provider": row.provider, "provider_task_id": row.prediction_id}
    return told | {
        "images": row.outcome.get("images", []),
        "cost": row.outcome.get("cost", {}),
        "error": {"code": row.code},
    }


def books(row: Row | None, *entries: Entry, left: Row | None = None, **more: Any) -> Books:
    """Of one call, with the row that a killed server left and what became of it."""
    rows = () if row is None else (row,)
    death = Death(name="there", pid=7, rows=() if left is None else (left,))
    plain = {"marks": ("(mark 1)",), "entries": entries, "rows": rows, "told": {r.id: told_of(r) for r in rows}}
    return Books(**{**plain, "deaths": (death,), **more})


@pytest.mark.parametrize(
    "balanced",
    [
        books(None),
        books(DONE, CREATED, left=RUNNING),
        books(DONE, REFUSED, CREATED, left=DONE),
        books(UNCONFIRMED, CREATED, left=SENT),
        books(UNCONFIRMED, left=SENT),
        books(FREE, left=PREPARED),
        books(FREE, REFUSED, left=PREPARED),
        books(DONE, replace(CREATED, webhook="taken"), left=WAITING),
        books(WAITING, left=WAITING),
        books(WAITING, GIVEN_UP, left=WAITING),
    ],
)
def test_books_that_balance_are_not_complained_about(balanced: Books) -> None:
    """Each state of the journal has one right end."""
    assert list(problems(balanced)) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (books(None, CREATED), "lost"),
        (books(None, REFUSED), "0 rows for 1"),
        (books(DONE, CREATED, replace(CREATED, task_id="second")), "submitted twice"),
        (books(UNCONFIRMED, CREATED, CREATED), "submitted twice"),
        (books(RUNNING, CREATED), "not at rest"),
        (books(FREE, CREATED, left=SENT), "lost"),
        (books(replace(DONE, outcome={}), CREATED), "lost"),
        (books(replace(DONE, prediction_id="other"), CREATED), "made theirs; the journal"),
        (books(replace(DONE, provider="vtrix"), CREATED), "made theirs; the journal"),
        (books(replace(UNCONFIRMED, prediction_id="theirs"), CREATED), "unconfirmed, and yet"),
        (books(replace(FREE, outcome={**FREE.outcome, "cost": {"amount": "4"}})), "nothing was made"),
        (books(DONE), "nothing was made"),
        (books(UNCONFIRMED, left=PREPARED), "was prepared, and became"),
        (books(FREE, left=SENT), "was sent, and became"),
        (books(UNCONFIRMED, CREATED, left=RUNNING), "was accepted, and became"),
        (books(DONE, CREATED, left=replace(DONE, status="failed")), "was final, and changed"),
        (books(DONE, CREATED, left=replace(RUNNING, prediction_id="first")), "was first, and became theirs"),
        (books(DONE, CREATED, left=replace(RUNNING, outcome={"grid_url": "u"})), "had frozenset"),
        (books(WAITING, replace(CREATED, webhook="taken")), "not at rest"),
        (books(WAITING, replace(CREATED, webhook="pending")), "not at rest"),
        (books(WAITING, CREATED), "lost"),
        (books(SENT, GIVEN_UP), "not at rest"),
        (books(UNCONFIRMED, GIVEN_UP, left=WAITING), "was sent, and became"),
        (books(WAITING, GIVEN_UP, left=RUNNING), "was accepted, and became"),
        (books(None, left=RUNNING), "is gone"),
        (books(DONE, CREATED, told={"tsk_1": {"status": "running"}}), "told"),
        (books(DONE, CREATED, spoiled=("a path",)), "no good copy: a path"),
        (books(DONE, CREATED, log="Traceback (most recent call last)"), "an error of our own"),
        (books(DONE, CREATED, marks=()), "nobody called for"),
        (books(DONE, CREATED, CREATED, marks=("(mark 1)", "kite")), "nobody called for"),
    ],
)
def test_books_that_do_not_balance_are(wrong: Books, says: str) -> None:
    """The complaint names what is wrong."""
    assert says in "\n".join(problems(wrong))


@pytest.mark.parametrize(
    ("words", "row", "says"),
    [
        ({"status": "running"}, None, "is not in the journal"),
        ({"status": "running", "provider_task_id": "theirs"}, SENT, "was told as accepted"),
        ({"status": "succeeded", "provider_task_id": "theirs"}, RUNNING, "was told as succeeded"),
        ({"status": "running"}, SENT, ""),
        ({"status": "running", "provider_task_id": "theirs"}, DONE, ""),
    ],
)
def test_what_a_caller_was_told_was_stored_before(words: dict[str, Any], row: Row | None, says: str) -> None:
    """A crash takes back nothing that was said."""
    death = Death(name="there", pid=7, rows=() if row is None else (row,), told=({"task_id": "tsk_1", **words},))
    last = DONE if row in (DONE, RUNNING) else UNCONFIRMED
    found = [p for p in problems(books(last, CREATED, deaths=(death,))) if p.startswith("before")]
    assert bool(found) is bool(says)
    assert says in "".join(found)


def test_what_is_counted() -> None:
    """Lost, doubled, unconfirmed: tasks that were made."""
    twice = books(UNCONFIRMED, CREATED, replace(CREATED, task_id="second"))
    assert (len(lost(twice)), len(doubled(twice)), len(unconfirmed(twice))) == (0, 1, 2)
    assert lost(books(None, CREATED)) == [CREATED]
    assert waited_for(books(WAITING, GIVEN_UP)) == [GIVEN_UP]
    assert waited_for(books(WAITING, CREATED)) == []


def test_a_round_has_all_its_kills_and_the_same_seed_makes_the_same_plan() -> None:
    """Rounds differ, and so do seeds."""
    first = chains(1, 0)
    assert sum(len(chain.lives) for chain in first) == KILLS
    assert first == chains(1, 0)
    assert first != chains(2, 0)
    assert chains(1, 0) != chains(1, 1)
    marks = [call.mark for chain in first for life in chain.lives for call in life.calls]
    assert len(set(marks)) == len(marks)


def test_every_provider_is_killed_at_and_every_row_has_its_kill() -> None:
    """In one round, whichever."""
    for round_ in range(5):
        aims = [life.aim for chain in chains(3, round_) for life in chain.lives]
        creating = {aim.service for aim in aims if aim.name.startswith("creating")}
        assert creating == {"journeyapi", "vtrix", "kkiai", "replicate", "bfl"}
        assert {aim.name for aim in aims} == {aim.name for chain in chains(3, 0) for aim in _aims_of(chain)}


def _aims_of(chain: Chain) -> list[Aim]:
    return [life.aim for life in chain.lives]


def test_a_watch_sees_its_moment_and_no_other() -> None:
    """By exchange, point and provider; at a fail-over, only after the refusal."""
    path = "/bfl/v1/flux-2-pro"
    body = Event(point="body", method="POST", path=path)
    assert Watch(Aim(name="", exchange="submission", point="body", service="bfl")).is_it(body)
    assert not Watch(Aim(name="", exchange="submission", point="body", service="vtrix")).is_it(body)
    assert not Watch(Aim(name="", exchange="poll", point="body")).is_it(body)
    assert Watch(Aim(name="", exchange="connection", point="connected")).is_it(Event(point="connected"))
    refusal = Event(point="answered", method="POST", path="/vtrix/model/v1/generation", status=401)
    assert Watch(Aim(name="", exchange="submission", point="answered", refused="now")).is_it(refusal)
    second = Watch(Aim(name="", exchange="submission", point="body", refused="before"))
    assert [second.is_it(moment) for moment in (body, refusal, body)] == [False, False, True]


def test_the_summary_is_written_between_its_marks(tmp_path: Path) -> None:
    """And nothing else of the document changes."""
    document = tmp_path / "reliability.md"
    document.write_text("before\n<!-- chaos -->\nold\n<!-- /chaos -->\nafter\n", encoding="utf-8")
    told = summary([books(DONE, CREATED, left=RUNNING)], seed=5, where="a machine", when="2026-11-21", took_s=1.4)
    write(told, document)
    text = document.read_text(encoding="utf-8")
    assert text == f"before\n<!-- chaos -->\n{told}<!-- /chaos -->\nafter\n"
    assert "| there | 1 | 0 | 0 | 0 | 0 | 1 |" in text
    assert "| of these, **lost** | 0 |" in text
    with pytest.raises(ValueError, match="no part"):
        write(told, Path(__file__))
