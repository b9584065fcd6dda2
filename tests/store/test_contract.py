"""The contract of the store. The fixture `url` says on which database: `tests/system/store` runs it on PostgreSQL."""

import math
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import statements

from journey_mcp.core.copies import CopyRecord
from journey_mcp.core.errors import Failure
from journey_mcp.core.images import OutputImage
from journey_mcp.core.limits import parse_limits
from journey_mcp.core.money import Cost, SpendTotal
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Prediction, Status
from journey_mcp.core.principals import LOCAL, Principal
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.stored_objects import StoredObject
from journey_mcp.core.tasks import RUN_KEY, DuplicatePolicy, Submission, Task, new_task_id
from journey_mcp.store import Store, open_store
from journey_mcp.store.cooldowns import Cooldown
from journey_mcp.store.uploads import Upload

HERE: list[tuple[str, str | None]] = [("journeyapi", "u")]
ACCOUNT = {"provider": "journeyapi", "base_url": "u"}


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """Open a store."""
    async with open_store(url) as opened:
        yield opened


@pytest.fixture
async def other(url: str, store: Store) -> AsyncIterator[Store]:
    """Open the store of another process on the same database, after the first."""
    assert await store.tasks.find("tsk_none") is None
    async with open_store(url) as opened:
        yield opened


def make_task(task_id: str = "tsk_a", **more: Any) -> Task:
    """Return a new task at `ACCOUNT`; `request` gives fields of its request."""
    request = {"tool": "imagine", "prompt": "p", "model": "m", **more.pop("request", {})}
    fields = {"principal": "local", **ACCOUNT, "created_at": 100.0, "updated_at": 100.0, **more}
    return Task(id=task_id, request=ImageRequest(**request), **fields)


def finished(task: Task, at: float = 102.0) -> Task:
    """Return the task with a result."""
    return task.sent(at).accepted(Prediction(prediction_id="p1", status=Status.SUCCEEDED), at)


def about(at: float) -> Any:
    """Equal a time of a lease: on a database with its own clock, translating it takes a moment."""
    return pytest.approx(at, abs=40)


async def add(store: Store, *tasks: Task, worker_id: str = "me", lease_until: float = 200.0) -> None:
    """Store these tasks."""
    for task in tasks:
        assert await store.tasks.add(task, worker_id=worker_id, lease_until=lease_until)


# tasks

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
tasks = st.builds(
    Task,
    id=st.just(""),
    principal=st.just("local"),
    request=st.builds(
        ImageRequest,
        tool=st.sampled_from(["imagine", "edit_image"]),
        prompt=texts,
        model=texts,
        image=st.none() | texts.filter(bool),
        reference_images=st.lists(texts, max_size=3).map(tuple),
        seed=st.none() | st.integers(-(2**40), 2**40),
    ),
    provider=texts,
    base_url=texts,
    created_at=st.floats(0, 2e9),
    updated_at=st.floats(0, 2e9),
    status=st.sampled_from(Status),
    submission=st.sampled_from(Submission),
    prediction_id=st.none() | texts,
    progress=st.none() | st.floats(0, 1),
    images=st.lists(
        st.builds(
            OutputImage, url=texts, width=st.none() | st.integers(1, 9999), expires_at=st.none() | st.floats(0, 2e9)
        ),
        max_size=4,
    ).map(tuple),
    seed=st.none() | texts.filter(bool),
    cost=st.none()
    | st.builds(
        Cost,
        amount=st.decimals(0, 1000, places=4),
        unit=st.sampled_from(["credits", "usd"]),
        source=st.sampled_from(["registry", "provider"]),
    ),
    notices=st.lists(st.builds(Notice.of, texts, given=texts, size=st.integers(0, 9)), max_size=2).map(tuple),
    failure=st.none()
    | st.builds(
        Failure,
        code=texts,
        message=texts,
        retry_after_s=st.none() | st.floats(0, 600),
        next_step=st.none() | texts,
        next_step_for_person=st.none() | texts,
    ),
)


@given(task=tasks)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_what_is_stored_is_what_is_read(store: Store, other: Store, task: Task) -> None:
    """Every field, whatever is in it, by another process."""
    task = replace(task, id=new_task_id())
    await add(store, task)
    assert await other.tasks.get([task.id], principal="local") == {task.id: task}


async def test_what_is_stored_stays(url: str) -> None:
    """After all processes have closed the database."""
    async with open_store(url) as store:
        await add(store, make_task())
    async with open_store(url) as store:
        assert await store.tasks.find("tsk_a") == make_task()


async def test_only_the_lease_holder_writes_and_a_final_task_never_changes(store: Store) -> None:
    """The store returns which write counted."""
    await add(store, make_task())
    running = make_task().sent(101)
    assert await store.tasks.save(running, worker_id="me")
    assert not await store.tasks.save(running, worker_id="another")
    final = running.failed(Failure(code="c", message="m"), 102)
    assert await store.tasks.save(final, worker_id="me")
    assert not await store.tasks.save(running, worker_id="me")
    assert await store.tasks.get(["tsk_a"], principal="local") == {"tsk_a": final}


async def test_another_principal_sees_nothing(store: Store) -> None:
    """Neither by id nor in a listing; without a principal a task is found."""
    await add(store, make_task())
    assert await store.tasks.get(["tsk_a"], principal="another") == {}
    assert await store.tasks.newest(principal="another", since=0, limit=9) == []
    assert await store.tasks.find("tsk_a") == make_task()
    assert await store.tasks.find("tsk_b") is None


async def test_the_newest_come_first_and_old_ones_are_deleted(store: Store) -> None:
    """By the time at which they were created; unfinished ones stay."""
    ended = make_task().failed(Failure(code="c", message="m"), 1)
    await add(store, *(replace(ended, id=f"t{number}", created_at=float(number)) for number in range(5)))
    await add(store, make_task("running", created_at=0.5))
    newest = await store.tasks.newest(principal="local", since=1.0, limit=3)
    assert [task.id for task in newest] == ["t4", "t3", "t2"]
    assert await store.tasks.delete_older(than=3.0) == 3
    left = await store.tasks.newest(principal="local", since=0, limit=9)
    assert [task.id for task in left] == ["t4", "t3", "running"]


async def ids_of(store: Store, **query: Any) -> list[str]:
    """Return the ids of a listing."""
    return [task.id for task in await store.tasks.newest(**{"principal": "local", "limit": 9, **query})]


async def test_a_listing_goes_on_where_a_page_ended(store: Store) -> None:
    """Also between tasks of one moment: each is listed once."""
    made = [make_task(f"t{number}", created_at=float(number // 3)) for number in range(9)]
    await add(store, *made)
    expected = ["t6", "t7", "t8", "t3", "t4", "t5", "t0", "t1", "t2"]
    assert await ids_of(store) == expected
    by_id = {task.id: task for task in made}
    for position, task_id in enumerate(expected, start=1):
        assert await ids_of(store, before=by_id[task_id], limit=2) == expected[position : position + 2]


async def test_a_listing_has_what_is_searched_for(store: Store) -> None:
    """In prompt or model, without case; nothing in a word is a pattern, and other principals' tasks are not found."""
    await add(
        store,
        make_task("t0", created_at=0.0, request={"prompt": "A Kite over the dunes", "model": "z-image"}),
        make_task("t1", created_at=1.0, request={"prompt": "100 % of the STRASSE", "model": "flux-2-pro"}),
        make_task("t2", created_at=2.0, request={"prompt": "ein Leuchtturm, \u00c4GYPTEN", "model": "z-image"}),
        make_task("t3", created_at=3.0, principal="another", request={"prompt": "a kite", "model": "z-image"}),
    )
    assert await ids_of(store, words=["kite"]) == ["t0"]
    assert await ids_of(store, words=["z-image"]) == ["t2", "t0"]
    assert await ids_of(store, words=["dunes", "z-image", "kite"]) == ["t0"]
    assert await ids_of(store, words=["\u00e4gypten"]) == ["t2"]
    assert await ids_of(store, words=["strasse", "%"]) == ["t1"]
    assert await ids_of(store, words=["k_te"]) == await ids_of(store, words=["%kite%"]) == []
    assert await ids_of(store, since=1.0, until=2.0) == ["t1"]


async def test_a_deleted_task_is_not_listed(store: Store) -> None:
    """Its cost is kept, and takes no place on a page."""
    paid = replace(make_task(), charges={"credits": Decimal(2)}).failed(Failure(code="c", message="m"), 1)
    await add(store, *(replace(paid, id=f"t{number}", created_at=float(number)) for number in range(4)))
    assert await store.tasks.delete_older(than=3.0) == 3
    assert await ids_of(store, limit=1) == await ids_of(store, words=["p"]) == ["t3"]
    assert await ids_of(store, since=0.0, until=3.0) == []


async def test_what_was_spent_is_added_up(store: Store) -> None:
    """By provider and unit: what was sent since then by this principal, without the excluded provider."""
    credits_: dict[str, Any] = {"cost": Cost(amount=Decimal("2.5"), unit="credits", source="registry")}
    dollars: dict[str, Any] = {"cost": Cost(amount=Decimal("0.04"), unit="usd", source="provider")}
    credits_["charges"], dollars["charges"] = {"credits": Decimal("2.5")}, {"usd": Decimal("0.04")}
    sent: dict[str, Any] = {"submission": Submission.ACCEPTED}
    await add(
        store,
        make_task("t0", **sent, **credits_),
        make_task("t1", **sent, **credits_),
        make_task("t2", **sent, **dollars, provider="bfl"),
        make_task("t3", **sent, charges={"credits": Decimal(8)}),
        make_task("waiting", **credits_),
        make_task("old", **sent, **credits_, created_at=99.0),
        make_task("sandbox", **sent, **credits_, provider="sandbox"),
        make_task("another", **sent, **credits_, principal="another"),
    )
    found = await store.spend.by_provider(principal="local", since=100.0, except_provider="sandbox")
    assert sorted(found, key=lambda total: (total.provider, total.unit or "")) == [
        SpendTotal(provider="bfl", unit="usd", amount=Decimal("0.04"), tasks=1),
        SpendTotal(provider="journeyapi", unit=None, amount=Decimal(0), tasks=1),
        SpendTotal(provider="journeyapi", unit="credits", amount=Decimal(5), tasks=2),
    ]


@pytest.mark.parametrize(
    "prompt", ["kite " * 9_000, '"\\\n\x1f' * 500, "x" * 1_966 + "\x1f" * 99, "short", "\U0001fa81" * 9_000]
)
async def test_a_listing_reads_the_beginning_of_a_long_request(store: Store, prompt: str) -> None:
    """Wherever the text is cut; a short one is whole, and the rest of the row is read as always."""
    request = ImageRequest(tool="edit_image", prompt=prompt, model="m", negative_prompt="n" * 3_000)
    long = replace(make_task(), request=request)
    await add(store, long)
    with statements("ORDER BY tasks.created_at") as seen:
        (listed,) = await store.tasks.newest(principal="local", since=0, limit=9)
    assert "substr(tasks.request" in seen[0][0]
    assert prompt.startswith(listed.request.prompt)
    assert len(listed.request.prompt) >= min(len(prompt), 300)
    assert replace(listed, request=request) == long
    assert (listed.request.tool, listed.request.model) == ("edit_image", "m")


async def test_tasks_are_found_by_what_their_results_name(store: Store) -> None:
    """The newest first, only those of the principal, and nothing in the text is a pattern."""
    for number, (url, principal) in enumerate(
        [("https://a.test/1_a.png?s=1", "local"), ("https://a.test/1_a.png", "local"), ("https://a.test/1_a.png", "b")]
    ):
        result = replace(finished(make_task(principal=principal)), images=(OutputImage(url=url),))
        await add(store, replace(result, id=f"t{number}", created_at=float(number)))
    found = await store.tasks.mentioning(["https://a.test/1_a.png", "https://b.test/"], principal="local")
    assert [task.id for task in found] == ["t1", "t0"]
    assert await store.tasks.mentioning(["https://a.test/%.png", "https://a.test/11a.png"], principal="local") == []


async def test_a_text_that_all_results_hold_finds_a_hundred(store: Store) -> None:
    """The newest: each is read."""
    result = replace(finished(make_task()), images=(OutputImage(url="https://a.test/1.png"),))
    await add(store, *(replace(result, id=f"t{n}", created_at=float(n)) for n in range(101)))
    found = await store.tasks.mentioning(["https://a.test"], principal="local")
    assert [task.id for task in found] == [f"t{n}" for n in range(100, 0, -1)]


async def test_a_text_that_no_database_takes_is_found_nowhere(store: Store) -> None:
    """U+0000 in an id, a word or a prompt."""
    await add(store, make_task(request={"prompt": "a\0kite"}))
    assert await store.tasks.get(["tsk_a\0", "tsk_\0a"], principal="local") == {}
    await ids_of(store, words=["a\0b"])
    assert await ids_of(store, words=["kite"]) == ["tsk_a"]
    (task,) = await store.tasks.newest(principal="local", limit=9)
    assert task.request.prompt == "a\0kite"


async def test_texts_of_any_length_are_stored(store: Store) -> None:
    """A provider's id too, which comes after the task was paid for."""
    task = make_task(principal="p" * 999, base_url="u" * 999, request={"model": "m" * 999})
    await add(store, task)
    accepted = task.sent(101).accepted(Prediction(prediction_id="i" * 999, status=Status.RUNNING), 102)
    assert await store.tasks.save(accepted, worker_id="me")
    assert await store.tasks.find("tsk_a") == accepted


async def test_what_is_stored_again_is_stored_once(store: Store) -> None:
    """After an error, nobody knows whether a statement was executed; another worker's task is not its own."""
    joined: dict[str, Any] = {"deduplication_key": "w", "duplicate_policy": DuplicatePolicy.JOIN}
    for task in (make_task("plain"), make_task("joined", **joined)):
        for _ in range(2):
            assert await store.tasks.add(task, worker_id="me", lease_until=200)
        assert not await store.tasks.add(task, worker_id="another", lease_until=200)
    limits = parse_limits("4credits/day")
    for _ in range(2):
        paid = make_task("paid", charges={"credits": Decimal(3)})
        assert await store.tasks.add(paid, worker_id="me", lease_until=200, limits=limits)
    assert not await store.tasks.add(replace(paid, id="more"), worker_id="me", lease_until=200, limits=limits)
    final = finished(make_task("plain"))
    for _ in range(2):
        assert await store.tasks.save(final, worker_id="me")
    assert not await store.tasks.save(final, worker_id="another")


# leases


async def test_an_expired_lease_is_taken_over_once(store: Store) -> None:
    """Where the task was made, and never while its worker renews."""
    task = make_task()
    await add(store, task, worker_id="gone", lease_until=200)
    assert await store.leases.orphans(now=150, addresses=HERE) == []
    assert await store.leases.renew(["tsk_a", "other"], worker_id="gone", lease_until=300) == {"tsk_a"}
    assert await store.leases.renew(["tsk_a"], worker_id="another", lease_until=900) == set()
    assert await store.leases.orphans(now=250, addresses=HERE) == []
    assert await store.leases.orphans(now=350, addresses=[("journeyapi", "other")]) == []
    assert await store.leases.orphans(now=350, addresses=[]) == []
    assert await store.leases.orphans(now=350, addresses=[("journeyapi", None)]) == [(task, "gone")]
    assert await store.leases.orphans(now=350, addresses=HERE) == [(task, "gone")]
    assert await store.leases.acquire(["tsk_a"], worker_id="b", lease_until=400, now=250) == []
    assert await store.leases.acquire(["tsk_a"], worker_id="b", lease_until=400, now=350) == [task]
    assert await store.leases.acquire(["tsk_a"], worker_id="c", lease_until=400, now=350) == []
    await store.leases.release(worker_id="b")
    assert await store.leases.acquire(["tsk_a"], worker_id="c", lease_until=400, now=350) == [task]


async def test_the_next_expiry_is_that_of_another_worker(store: Store) -> None:
    """Of an unfinished task, and after the given time."""
    assert await store.leases.next_expiry(after=0, except_worker="me") is None
    await add(store, make_task("mine"), lease_until=200)
    await add(store, make_task("late"), worker_id="another", lease_until=400)
    await add(store, make_task("soon"), worker_id="another", lease_until=300)
    await add(store, finished(make_task("final")), worker_id="another", lease_until=250)
    assert await store.leases.next_expiry(after=100, except_worker="me") == about(300)
    assert await store.leases.next_expiry(after=350, except_worker="me") == about(400)
    assert await store.leases.next_expiry(after=450, except_worker="me") is None
    assert await store.leases.next_expiry(after=100, except_worker="another") == about(200)


async def test_a_task_is_taken_from_its_worker_while_it_is_unfinished(store: Store) -> None:
    """With `take_over_unsent`, only while its request has not left. The former worker does not hold it any more."""
    await add(store, make_task("unsent"), make_task("sent").sent(101), finished(make_task("final")))
    taken = [
        await store.leases.take_over_unsent(id_, worker_id="b", lease_until=300)
        for id_ in ("unsent", "sent", "final", "none")
    ]
    assert [task and task.id for task in taken] == ["unsent", None, None, None]
    taken = [
        await store.leases.take_over(id_, worker_id="c", lease_until=300) for id_ in ("unsent", "sent", "final", "none")
    ]
    assert [task and task.id for task in taken] == ["unsent", "sent", None, None]
    assert await store.leases.held(["unsent", "sent", "none"], worker_id="c") == {"unsent", "sent"}
    assert await store.leases.held(["unsent", "sent", "none"], worker_id="me") == set()


@pytest.mark.parametrize("count", [1, 2, 3, 511, 512, 513, 1100])
async def test_any_number_of_leases_is_renewed(store: Store, count: int) -> None:
    """But for those of other workers."""
    await add(store, make_task(), lease_until=1.0)
    ids = [f"tsk_{number}" for number in range(count - 1)] + ["tsk_a"]
    assert await store.leases.renew(ids, worker_id="me", lease_until=2.0) == {"tsk_a"}
    assert await store.leases.renew(ids, worker_id="another", lease_until=3.0) == set()
    assert await store.leases.renew([], worker_id="me", lease_until=3.0) == set()


# duplicate calls


async def test_of_duplicate_calls_at_once_one_is_stored(store: Store, other: Store) -> None:
    """Whichever process they reach; the call of another principal is not a duplicate."""
    added: list[str] = []

    async def create(at: Store, number: int, principal: str) -> None:
        task = make_task(
            f"{principal}{number}", principal=principal, deduplication_key="w", duplicate_policy=DuplicatePolicy.JOIN
        )
        if await at.tasks.add(task, worker_id="me", lease_until=200):
            added.append(principal)

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(create, (store, other)[number % 2], number, "ab"[number % 5 == 0])
    assert sorted(added) == ["a", "b"]


async def test_a_duplicate_gets_the_task_until_it_is_detached_or_delivered(store: Store) -> None:
    """A running task cannot be delivered; `part_all` detaches whatever there is of one key."""
    first, second = (
        make_task(id_, deduplication_key="w", duplicate_policy=DuplicatePolicy.JOIN) for id_ in ("tsk_a", "tsk_b")
    )
    await add(store, first)
    await store.deduplication.acknowledge([first.id])
    assert await store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=0) == first
    assert await store.deduplication.find(principal="another", deduplication_key="w", unconfirmed_since=0) is None
    done = finished(first)
    assert await store.tasks.save(done, worker_id="me")
    assert await store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=0) == done
    await store.deduplication.acknowledge([first.id])
    assert await store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=0) is None
    await add(store, second)
    await store.deduplication.detach_all(principal="local", deduplication_key="w")
    assert await store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=0) is None


async def test_an_unconfirmed_end_is_known_though_another_task_took_its_duplicates(store: Store) -> None:
    """For as long as it is asked for."""
    first, second = (
        make_task(id_, deduplication_key="w", duplicate_policy=DuplicatePolicy.JOIN) for id_ in ("tsk_a", "tsk_b")
    )
    await add(store, first)
    assert not await store.tasks.add(second, worker_id="me", lease_until=200)
    await store.deduplication.detach(first.id)
    await add(store, second)
    ended = first.sent(101).failed(Failure(code="submission_unconfirmed", message="m"), 102)
    assert await store.tasks.save(ended, worker_id="me")
    assert await store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=0) == second
    await store.deduplication.detach(second.id)
    assert await store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=101) == ended
    assert await store.deduplication.find(principal="local", deduplication_key="w", unconfirmed_since=102) is None
    third = replace(second, id="tsk_c")
    assert not await store.tasks.add(third, worker_id="me", lease_until=200, unconfirmed_since=101)
    assert await store.tasks.add(third, worker_id="me", lease_until=200, unconfirmed_since=102)


# spend


async def test_of_calls_at_once_as_many_are_stored_as_the_budget_has_room_for(store: Store, other: Store) -> None:
    """Counted and stored in one statement, whichever process they reach."""
    limits, added = parse_limits("10credits/day"), []

    async def create(at: Store, number: int) -> None:
        task = make_task(f"tsk_{number}", charges={"credits": Decimal(3)})
        added.append(await at.tasks.add(task, worker_id="me", lease_until=200, limits=limits))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(create, (store, other)[number % 2], number)
    assert sum(added) == 3


async def test_limits_of_principals(store: Store) -> None:
    """`each` counts a principal by itself, a name counts one only, and nobody counts for another."""
    charges = {"credits": Decimal(3)}

    async def create(number: int, principal: str, limit: str) -> bool:
        task = make_task(f"tsk_{number}", principal=Principal(principal), charges=charges)
        return await store.tasks.add(task, worker_id="me", lease_until=200, limits=parse_limits(limit))

    assert await create(1, "token:ana", "5credits/day@each")
    assert await create(2, "token:ben", "5credits/day@each")
    assert not await create(3, "token:ana", "5credits/day@each")
    assert await create(4, "token:ana", "6credits/day@principal:ana")
    assert not await create(5, "token:ana", "6credits/day@principal:ana")
    assert not await create(6, "token:ben", "9credits/day")
    assert len(await store.spend.since(0, principal="token:ana")) == 2


async def test_of_calls_at_once_as_many_are_stored_as_may_be_unfinished(store: Store, other: Store) -> None:
    """Of each principal; one that ends makes room."""
    added = []

    async def create(at: Store, number: int) -> None:
        added.append(await at.tasks.add(make_task(f"tsk_{number}"), worker_id="me", lease_until=200, max_unfinished=3))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(create, (store, other)[number % 2], number)
    assert sum(added) == 3
    assert await store.tasks.count_unfinished("local") == 3
    of_ana = make_task("of_ana", principal=Principal("token:ana"))
    assert await store.tasks.add(of_ana, worker_id="me", lease_until=200, max_unfinished=1)
    assert await store.tasks.save(finished(of_ana), worker_id="me")
    assert await store.tasks.add(replace(of_ana, id="next"), worker_id="me", lease_until=200, max_unfinished=1)


async def test_what_was_spent_stays_when_a_task_is_deleted(store: Store) -> None:
    """Time, provider, model and amount; what was free is gone."""
    cost = Cost(amount=Decimal(4), unit="credits", source="provider")
    charges = {"credits": Decimal(4), "usd": Decimal("0.10")}
    await add(store, finished(make_task("paid", cost=cost, charges=charges)), finished(make_task("free")))
    await add(store, make_task("unsent", created_at=103.0, charges=charges))
    assert await store.tasks.delete_older(than=103) == 2
    assert await store.tasks.get(["paid", "free"], principal="local") == {}
    spent = await store.spend.since(0)
    facts = [
        (one.at, one.provider, one.model, one.unit, one.is_reported, one.is_sent, one.is_unconfirmed) for one in spent
    ]
    assert facts == [
        (100.0, "journeyapi", "m", "credits", True, True, False),
        (103.0, "journeyapi", "m", None, False, False, False),
    ]
    assert [one.counted for one in spent] == [charges, charges]
    assert await store.spend.since(100, except_task="unsent") == []
    assert await store.spend.since(0, provider="bfl") == []


# the queue of a provider


async def test_other_processes_see_the_entries_and_their_positions(store: Store) -> None:
    """An entry counts as long as its worker renews, until the task is sent, canceled or gone from the queue."""
    await add(store, make_task("a"), make_task("b"), make_task("c"), make_task("d"))
    await add(store, make_task("dead"), worker_id="gone", lease_until=150)
    for number, id_ in enumerate(("dead", "a", "b", "c")):
        await store.queue.enqueue((number, 100.0, id_), "waiting")
    assert await store.queue.waiting_elsewhere(**ACCOUNT, except_worker="me", now=170) == []
    waiting = await store.queue.waiting_elsewhere(**ACCOUNT, except_worker="another", now=170)
    assert [(one.key, one.is_refused) for one in waiting] == [
        ((n, 100.0, id_), False) for n, id_ in enumerate("abc", 1)
    ]
    assert await store.queue.positions(["a", "b", "c", "d"], now=170) == {"a": 1, "b": 2, "c": 3}
    assert await store.queue.positions(["c"], now=120) == {"c": 4}
    await store.queue.leave("a")
    await store.tasks.save(make_task("b").sent(101), worker_id="me")
    await store.queue.enqueue((3, 100.0, "c"), "refused")
    (last,) = await store.queue.waiting_elsewhere(**ACCOUNT, except_worker="another", now=170)
    assert (last.key, last.is_refused) == ((3, 100.0, "c"), True)


async def test_of_processes_that_ask_at_once_one_gets_the_last_slot(store: Store, other: Store) -> None:
    """Counted and taken in one statement."""
    await add(store, *(make_task(f"tsk_{number}") for number in range(8)))
    turns: list[bool] = []

    async def take(at: Store, number: int) -> None:
        turns.append(await at.queue.acquire_slot(f"tsk_{number}", **ACCOUNT, limit=3, silent_since=0, now=101))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(take, (store, other)[number % 2], number)
    assert sum(turns) == 3


async def test_a_slot_is_taken_by_what_runs_or_is_about_to(store: Store) -> None:
    """Not by a task without news for too long, by one that a dead process was about to send, or by a final one."""
    count: dict[str, Any] = {"silent_since": 50.0, "now": 170.0, **ACCOUNT}
    await add(store, make_task("sent").sent(101), make_task("silent").sent(40), finished(make_task("final")))
    await add(store, make_task("next"), make_task("waiting"), make_task("elsewhere", provider="bfl").sent(101))
    await add(store, make_task("dead"), worker_id="gone", lease_until=150)
    assert await store.queue.running(**count) == 1
    for id_ in ("next", "dead"):
        assert await store.queue.acquire_slot(id_, limit=None, **count)
    assert await store.queue.running(**count) == 2
    assert not await store.queue.acquire_slot("waits", limit=2, **count)
    assert await store.queue.acquire_slot("next", limit=2, **count)


# workers


async def test_a_worker_is_seen_at_its_last_heartbeat(store: Store, other: Store) -> None:
    """By every process; nothing is known of one that never beat."""
    started = time.time()
    await store.workers.beat("me")
    for _ in range(2):
        await other.workers.beat("other")
    seen = await store.workers.seen_at(["me", "other", "nobody"])
    assert seen == {"me": about(started), "other": about(started)}
    assert await store.workers.seen_at([]) == {}


async def test_heartbeats_at_once_are_one(store: Store, other: Store) -> None:
    """Also the first ones."""
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon((store, other)[number % 2].workers.beat, "me")
    assert set(await store.workers.seen_at(["me"])) == {"me"}


# webhooks of callers


async def test_a_webhook_is_due_from_the_end_of_its_task_until_it_was_delivered(store: Store) -> None:
    """One process at a time has it; a failed delivery is due again, or never."""
    outbox, hook = store.outbox, {"webhook_url": "https://example.test/hook"}
    running = make_task("a", request=hook)
    await add(store, running, make_task("b", request=hook), finished(make_task("quiet")))
    assert await outbox.next_due() == float("inf")
    assert await outbox.due(now=150, again_at=300, limit=9) == []
    await store.tasks.save(finished(running), worker_id="me")
    assert await outbox.next_due() == about(0)
    assert [(task.id, tries) for task, tries in await outbox.due(now=200, again_at=300, limit=9)] == [("a", 0)]
    assert await outbox.next_due() == about(300)
    assert await outbox.due(now=250, again_at=400, limit=9) == []
    await outbox.failed("a", 260)
    assert await outbox.next_due() == about(260)
    assert [(task.id, tries) for task, tries in await outbox.due(now=310, again_at=400, limit=9)] == [("a", 1)]
    await outbox.failed("a", None)
    assert await outbox.next_due() == float("inf")


async def test_a_delivered_result_has_no_more_duplicates(store: Store) -> None:
    """Its receiver has it; and at most as many are due at once as are asked for."""
    hook = {"webhook_url": "https://example.test/hook"}
    made = [make_task(id_, request=hook, deduplication_key=id_, duplicate_policy=DuplicatePolicy.JOIN) for id_ in "abc"]
    await add(store, *map(finished, made))
    due = [task.id for task, _ in await store.outbox.due(now=102, again_at=160, limit=2)]
    assert len(due) == 2
    await store.outbox.delivered(due[0])
    assert await store.deduplication.find(principal="local", deduplication_key=due[0], unconfirmed_since=0) is None
    assert await store.deduplication.find(principal="local", deduplication_key=due[1], unconfirmed_since=0) == finished(
        make_task(due[1], request=hook, deduplication_key=due[1], duplicate_policy=DuplicatePolicy.JOIN)
    )


async def test_a_delivered_result_of_a_run_stays_that_of_its_place(store: Store) -> None:
    """A run that goes on does not pay for it again."""
    hook = {"webhook_url": "https://example.test/hook"}
    made = finished(
        make_task("a", request=hook, deduplication_key=f"{RUN_KEY}a", duplicate_policy=DuplicatePolicy.JOIN)
    )
    await add(store, made)
    await store.outbox.delivered("a")
    found = await store.deduplication.find(principal="local", deduplication_key=f"{RUN_KEY}a", unconfirmed_since=0)
    assert found == made
    assert await store.outbox.next_due() == float("inf")


async def test_of_one_host_only_so_many_webhooks_are_due_and_none_of_a_busy_one(store: Store) -> None:
    """Those that are due the longest."""
    hosts = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "c1": "c"}
    for number, (id_, host) in enumerate(hosts.items()):
        await add(store, finished(make_task(id_, request={"webhook_url": f"https://{host}.test/hook"})))
        await store.outbox.failed(id_, 1000.0 - 100 * number)

    async def due(**more: Any) -> list[str]:
        return sorted(task.id for task, _ in await store.outbox.due(now=1100, again_at=2000, **more))

    assert await store.outbox.next_due() == about(500)
    assert await store.outbox.next_due(except_hosts=["c.test", "b.test"]) == about(800)
    assert await due(limit=9, per_host=1, except_hosts=["c.test"]) == ["a3", "b2"]
    assert await due(limit=1, per_host=2) == ["c1"]
    assert await due(limit=9, per_host=2) == ["a1", "a2", "b1"]


# cooldowns


async def test_a_cooldown_holds_until_its_time_and_is_replaced(store: Store, other: Store) -> None:
    """For every process, by provider and address."""
    first = Cooldown(provider="journeyapi", base_url="u", until=200.0, reason="r")
    elsewhere = replace(first, base_url="v")
    for cooldown in (first, elsewhere, longer := replace(first, until=300.0, reason="s")):
        await store.cooldowns.record(cooldown)
    assert await other.cooldowns.active(199) == {("journeyapi", "u"): longer, ("journeyapi", "v"): elsewhere}
    assert await other.cooldowns.active(200) == {("journeyapi", "u"): longer}
    await other.cooldowns.record(replace(longer, until=0.0))
    assert await store.cooldowns.active(199) == {("journeyapi", "v"): elsewhere}


async def test_cooldowns_that_begin_at_once_are_one(store: Store, other: Store) -> None:
    """Whichever process notes it first, the others note the same."""
    cooldown = Cooldown(provider="journeyapi", base_url="u", until=200.0, reason="r")
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon((store, other)[number % 2].cooldowns.record, cooldown)
    assert await store.cooldowns.active(100) == {("journeyapi", "u"): cooldown}


# copies

CLAIM: Mapping[str, Any] = {"worker": "me", "until": 1000.0}
COPIED = {1: CopyRecord(is_copied=True, mime_type="image/png", width=3, height=2, saved_to="/a/ü.png"), 4: CopyRecord()}


async def test_the_images_of_a_task_are_claimed_once(store: Store, other: Store) -> None:
    """Whichever process begins first; the row says which."""
    assert await store.copies.begin("tsk_a", created_at=100.0, **CLAIM)
    assert not await other.copies.begin("tsk_a", created_at=100.0, worker="other", until=2000.0)
    (attempt,) = await other.copies.unfinished()
    assert (attempt.task_id, attempt.worker, attempt.due, attempt.tries) == ("tsk_a", "me", 1000.0, 0)


async def test_what_became_of_images_is_recorded_by_their_worker_only(store: Store) -> None:
    """Another one may have taken them over."""
    await store.copies.begin("tsk_a", created_at=100.0, **CLAIM)
    await store.copies.record("tsk_a", COPIED, worker="other", due=None, tries=1)
    assert await store.copies.read(["tsk_a", "tsk_b"]) == {"tsk_a": {}}
    await store.copies.record("tsk_a", COPIED, worker="me", due=1100.0, tries=1)
    assert await store.copies.read(["tsk_a", "tsk_b"]) == {"tsk_a": COPIED}
    (attempt,) = await store.copies.unfinished()
    assert (attempt.due, attempt.tries, attempt.records) == (1100.0, 1, COPIED)
    await store.copies.record("tsk_a", COPIED, worker="me", due=None, tries=1)
    assert await store.copies.unfinished() == []


async def test_an_attempt_is_taken_over_once(store: Store, other: Store) -> None:
    """Of two workers that find it, one gets it."""
    await store.copies.begin("tsk_a", created_at=100.0, **CLAIM)
    (attempt,) = await store.copies.unfinished()
    assert await other.copies.take_over(attempt, worker="other", until=3000.0)
    assert not await store.copies.take_over(attempt, worker="third", until=3000.0)
    (attempt,) = await store.copies.unfinished()
    assert (attempt.worker, attempt.due) == ("other", 3000.0)


async def test_succeeded_tasks_that_nobody_began_to_copy_are_found(store: Store) -> None:
    """The newest first; neither older nor failed ones, nor those whose request was deleted."""
    for number, created_at in enumerate((100.0, 200.0, 300.0, 400.0)):
        await add(store, task := make_task(f"tsk_{number}", created_at=created_at))
        await store.tasks.save(finished(task), worker_id="me")
    await add(store, make_task("tsk_running", created_at=400.0))
    await store.copies.begin("tsk_2", created_at=300.0, **CLAIM)
    assert await store.copies.missing(since=200.0, limit=9) == ["tsk_3", "tsk_1"]
    assert await store.copies.missing(since=200.0, limit=1) == ["tsk_3"]
    await store.tasks.delete_older(than=500.0)
    assert await store.copies.missing(since=0.0, limit=9) == []


async def test_old_copies_and_uploads_are_deleted(store: Store) -> None:
    """By the time of their task, and by their own."""
    for number in (1, 2):
        await store.copies.begin(f"tsk_{number}", created_at=100.0 * number, **CLAIM)
        await store.uploads.add(replace(UPLOAD, id=f"up_{number}", created_at=100.0 * number))
    await store.copies.delete_older(than=200.0)
    await store.uploads.delete_older(than=200.0)
    assert [attempt.task_id for attempt in await store.copies.unfinished()] == ["tsk_2"]
    assert list(await store.uploads.get(["up_1", "up_2"], principal=LOCAL)) == ["up_2"]


# uploads

UPLOAD = Upload(
    id="up_a",
    principal=LOCAL,
    created_at=100.0,
    file_name="up_a.png",
    mime_type="image/png",
    width=640,
    height=480,
    bytes=12_345,
)


async def test_an_upload_is_its_owners_only(store: Store) -> None:
    """That of another principal is as unknown as one that does not exist."""
    await store.uploads.add(UPLOAD)
    assert await store.uploads.get(["up_a", "up_none"], principal=LOCAL) == {"up_a": UPLOAD}
    assert await store.uploads.get(["up_a"], principal=Principal("other")) == {}


async def test_uploads_are_listed_by_age_and_principal_and_deleted(store: Store) -> None:
    """For a purge."""
    for number, principal in enumerate((LOCAL, LOCAL, Principal("other"))):
        await store.uploads.add(replace(UPLOAD, id=f"up_{number}", principal=principal, created_at=100.0 + number))
    assert sorted(await store.uploads.ids(before=math.inf, principal=None)) == ["up_0", "up_1", "up_2"]
    assert await store.uploads.ids(before=101.0, principal=None) == ["up_0"]
    assert await store.uploads.ids(before=math.inf, principal=Principal("other")) == ["up_2"]
    await store.uploads.delete(["up_0", "up_2", "up_none"])
    assert await store.uploads.ids(before=math.inf, principal=None) == ["up_1"]


# objects


def stored_object(number: int, **more: Any) -> StoredObject:
    """Return an object."""
    fields = {"name": f"n{number}", "owner": "o", "format": "png", "bytes": 10, "digest": "d", "created_at": 100.0}
    return StoredObject(**{**fields, **more})


async def test_objects_are_recorded_once_and_added_up(store: Store, other: Store) -> None:
    """The one that comes second changes nothing; without any there are no bytes."""
    assert (await store.objects.total(), await store.objects.get(["n1"])) == (0, {})
    await store.objects.add(first := stored_object(1))
    await other.objects.add(stored_object(1, bytes=99))
    await store.objects.add(second := stored_object(2, owner="p", bytes=5_000_000_000))
    assert await other.objects.get(["n1", "n2", "n3"]) == {"n1": first, "n2": second}
    assert await other.objects.of(["o", "q"]) == [first]
    assert await other.objects.total() == 5_000_000_010
    await store.objects.delete(["n1", "n3"])
    assert await other.objects.total() == 5_000_000_000


async def test_objects_are_listed_oldest_first_a_page_at_a_time(store: Store) -> None:
    """Also those of one moment, and only those before a time."""
    stored = [stored_object(number, created_at=100.0 + number // 2) for number in range(5)]
    for one in reversed(stored):
        await store.objects.add(one)
    found: list[StoredObject] = []
    while page := await store.objects.oldest(limit=2, before=math.inf, after=found[-1] if found else None):
        found += page
    assert found == stored
    assert await store.objects.oldest(limit=9, before=101.0) == stored[:2]


async def test_many_objects_at_once(store: Store) -> None:
    """More names than a statement may have values."""
    await store.objects.add(stored_object(1))
    names = [f"n{number}" for number in range(70_000)]
    assert list(await store.objects.get(names)) == ["n1"]


async def test_what_unfinished_tasks_need_is_found(store: Store) -> None:
    """Their own images, and those that their requests name, of every principal."""
    image, upload = f"tsk_{'a' * 22}.2", f"up_{'b' * 22}"
    await add(
        store,
        make_task("tsk_1", request={"image": image, "mask": upload, "reference_images": ("https://a.test/x.png",)}),
        make_task("tsk_2", principal="other"),
        ended := make_task("tsk_3", request={"image": f"tsk_{'c' * 22}.1"}),
    )
    await store.tasks.save(finished(ended), worker_id="me")
    assert await store.tasks.needed_ids() == {"tsk_1", "tsk_2", image, upload}


# refinements


async def test_tasks_that_refine_an_image_are_found(store: Store) -> None:
    """The principal's, the newest first; not those of other images, of other tools, or that are deleted."""
    image = f"{new_task_id()}.2"

    def refining(id_: str, at: float, **more: Any) -> Task:
        request = {"tool": "refine_image", "action": "single", "image": image, **more.pop("request", {})}
        return make_task(id_, created_at=at, updated_at=at, request=request, **more)

    await add(
        store,
        refining("old", 100.0),
        refining("new", 103.0, charges={"credits": Decimal(2)}),
        refining("paid", 50.0, status=Status.SUCCEEDED, charges={"credits": Decimal(2)}),
        refining("foreign", 101.0, principal="another"),
        refining("other", 101.0, request={"image": f"{image}3"}),
        refining("url", 101.0, request={"image": "https://images.example.com/a.png"}),
        refining("edit", 101.0, request={"tool": "edit_image", "action": None}),
    )
    assert [task.id for task in await store.tasks.refining(image, principal="local")] == ["new", "old", "paid"]
    assert await store.tasks.delete_older(than=60.0) == 1
    found = await store.tasks.refining(image, principal="local")
    assert [(task.id, task.request.action) for task in found] == [("new", "single"), ("old", "single")]


async def test_a_listing_has_the_action_of_a_long_request(store: Store) -> None:
    """Only its beginning is read."""
    request = {"tool": "refine_image", "action": "vary", "prompt": "kite " * 1000, "image": f"{new_task_id()}.2"}
    await add(store, make_task("long", request=request))
    (listed,) = await store.tasks.newest(principal="local", since=0.0, limit=9)
    assert (listed.request.action, listed.request.prompt[:5]) == ("vary", "kite ")


async def test_calls_of_a_minute_are_counted_up_to_the_limit(store: Store, other: Store) -> None:
    """Of each principal, by all processes together; a block counts wholly or not at all."""
    counted = [
        await at.call_counts.reserve("ana", minute=7, calls=calls, limit=10)
        for at, calls in ((store, 11), (store, 6), (other, 5), (other, 4), (store, 1))
    ]
    assert counted == [False, True, False, True, False]
    assert await store.call_counts.reserve("ana", minute=8, calls=10, limit=10)
    assert await store.call_counts.reserve("ben", minute=7, calls=1, limit=10)
    await store.call_counts.delete_older(than_minute=8)
    assert await store.call_counts.reserve("ana", minute=7, calls=10, limit=10)
    assert not await store.call_counts.reserve("ana", minute=8, calls=1, limit=10)


# keys of callers

OWN: Mapping[str, Any] = {"base_url": "u#0123456789abcdef", "sealed_key": "sealed"}


async def test_a_sealed_key_is_stored_until_its_task_is_final(store: Store, other: Store) -> None:
    """A change of the provider changes it; what is left of it says whose money it was."""
    await add(store, task := make_task(**OWN, charges={"credits": Decimal(4)}))
    assert await other.tasks.find(task.id) == task
    moved = task.reassigned("bfl", "v", None, {}, 101.0)
    assert moved.sealed_key is None
    assert await store.tasks.save(moved, worker_id="me")
    assert (await store.tasks.get([task.id], principal="local"))[task.id].sealed_key is None
    back = moved.reassigned("bfl", "v#1", None, task.charges, 102.0, sealed_key="again")
    assert await store.tasks.save(back, worker_id="me")
    assert await store.tasks.find(task.id) == back
    assert await store.tasks.save(finished(back), worker_id="me")
    assert await store.tasks.find(task.id) == replace(finished(back), sealed_key="")
    await store.tasks.delete_older(than=1e9)
    assert await store.spend.since(0.0) == []
    assert len(await store.spend.since(0.0, principal="local")) == 1


async def test_what_callers_pay_is_not_in_the_sums_of_the_operator(store: Store) -> None:
    """But in those of the principals, and in their limits."""
    paid = {"charges": {"credits": Decimal(4)}, "cost": Cost(amount=Decimal(4), unit="credits", source="registry")}
    await add(store, make_task("own", **OWN, **paid, submission=Submission.SENT), make_task("operators", **paid))

    async def has_room(limit: str, **more: Any) -> bool:
        task = make_task(new_task_id(), **paid, **more)
        return await store.tasks.add(task, worker_id="me", lease_until=200, limits=parse_limits(limit))

    total = SpendTotal(provider="journeyapi", unit="credits", amount=Decimal(4), tasks=1)
    assert await store.spend.by_provider(principal="local", since=0.0, except_provider="sandbox") == [total]
    assert await store.spend.by_provider(principal=None, since=0.0, except_provider="sandbox") == []
    assert [one.at for one in await store.spend.since(0.0)] == [100.0]
    assert not await has_room("7credits/day")
    assert not await has_room("11credits/day@each")
    assert not await has_room("11credits/day@each", **OWN)
    assert await has_room("8credits/day")


async def test_tasks_with_own_keys_are_orphans_for_processes_that_know_of_them(store: Store) -> None:
    """Servers of earlier versions know the address of none of them."""
    own, plain = make_task("own", **OWN), make_task("plain")
    await add(store, own, plain, lease_until=50.0)
    assert await store.leases.orphans(now=350, addresses=HERE) == [(plain, "me")]
    found = await store.leases.orphans(now=350, addresses=HERE, with_own_keys=True)
    assert {task.id for task, _ in found} == {"own", "plain"}


async def test_ended_cooldowns_are_deleted(store: Store, other: Store) -> None:
    """There are as many as there are accounts of callers."""
    for name, until in (("u#1", 100.0), ("u#2", 200.0)):
        await store.cooldowns.record(Cooldown(provider="journeyapi", base_url=name, until=until, reason="r"))
    await store.cooldowns.delete_ended(150.0)
    assert [one.base_url for one in (await other.cooldowns.active(0.0)).values()] == ["u#2"]
