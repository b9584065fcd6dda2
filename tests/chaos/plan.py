"""The plan of a round, derived from a seed: chains of server runs, each with its calls and its kill point."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from support import SERVICES

from chaos.calls import FAIL_OVER, GRID, POLLED, SYNCHRONOUS, WITH_UPLOAD, WITH_WEBHOOKS, Call, any_of, marked
from chaos.kill_points import KillPoint
from journey_mcp.sandbox import Point

KILLS = 32
"""Kills in one round."""
FIRST_POLL = "take-over: first poll, before the response"
_CHAIN = 5
_WITH_WEBHOOKS = 3
"""The number of chains in a round that receive webhooks."""
_REFUSALS = ("status=401", "status=429,header.Retry-After=60")
_COPIED = ("replicate", "bfl")
"""Their links expire soon: images are copied before a task counts as finished."""
_SOON_S = 0.03
"""The approximate time in which a response is read, parsed and stored."""
_POINT_NAMES: Mapping[Point, str] = {
    "headers": "headers received",
    "body": "request received",
    "answering": "before the response",
    "answered": "response sent",
}
_SUBMISSION_POINTS: tuple[Point, ...] = ("headers", "body", "body", "answering", "answering", "answered")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A server from its start until it is killed."""

    kill_point: KillPoint
    calls: tuple[Call, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Servers that run one after another on one database; after the last kill one more finishes all tasks."""

    name: str
    seed: int
    runs: tuple[Run, ...]
    receives_webhooks: bool = False
    """Its servers receive webhooks: polls are rare, and a response lost with a server may still arrive."""


def chains(seed: int, round_: int) -> tuple[Chain, ...]:
    """Return one round: every kill point at least once, at providers that change from round to round."""
    rng = random.Random(f"{seed}/{round_}")
    polls, others, webhooks = list(_polls(round_, rng)), list(_kill_points(round_, rng)), list(_webhooks())
    rng.shuffle(others)
    with_webhooks = [*webhooks, *(others.pop() for _ in range(_WITH_WEBHOOKS * _CHAIN - len(webhooks)))]
    rng.shuffle(with_webhooks)
    pairs = zip(_take_over_points(round_, rng), polls, strict=True)
    asking = [[*pair, poll, others.pop(), others.pop()] for pair, poll in pairs]
    dealt = [(kill_points, False) for kill_points in [*asking, *_chunks(others)]] + [
        (kill_points, True) for kill_points in _chunks(with_webhooks)
    ]
    return tuple(
        _chain(f"{round_}.{number}", kill_points, rng, receives_webhooks=receives_webhooks)
        for number, (kill_points, receives_webhooks) in enumerate(dealt)
    )


def _chunks(kill_points: Sequence[KillPoint]) -> list[Sequence[KillPoint]]:
    return [kill_points[start : start + _CHAIN] for start in range(0, len(kill_points), _CHAIN)]


def _kill_points(round_: int, rng: random.Random) -> Iterator[KillPoint]:
    """Yield the kill points of a round that need no polls, webhooks or unfinished tasks."""
    services = _cycle(tuple(SERVICES), round_)
    yield KillPoint(name="connection accepted", kind="connection", point="connected")
    for point in _SUBMISSION_POINTS:
        name = f"creating request: {_POINT_NAMES[point]}"
        yield KillPoint(name=name, kind="submission", point=point, service=next(services))
    for _ in range(2):
        name, after_s = f"creating request: within {_SOON_S * 1000:g} ms after the response", rng.uniform(0, _SOON_S)
        service = next(services)
        yield KillPoint(name=name, kind="submission", point="answered", service=service, after_s=after_s)
    yield KillPoint(name="image upload: request received", kind="upload", point="body")
    yield KillPoint(name="image upload: response sent", kind="upload", point="answered")
    copied = _cycle(_COPIED, round_)
    yield KillPoint(name="image copy: headers received", kind="image", point="headers", service=next(copied))
    yield KillPoint(name="image copy: before the response", kind="image", point="answering", service=next(copied))
    yield KillPoint(
        name=f"image copy: within {_SOON_S * 1000:g} ms after the response",
        kind="image",
        point="answered",
        service=next(copied),
        after_s=rng.uniform(0, _SOON_S),
    )
    yield KillPoint(name="fail-over: rejection sent", kind="submission", point="answered", rejected="now")
    for point in _POINT_NAMES:
        name = f"fail-over: second provider, {_POINT_NAMES[point]}"
        yield KillPoint(name=name, kind="submission", point=point, rejected="before")
    yield KillPoint(name="while a call is queued", is_queued=True, service=next(services))
    yield KillPoint(name="random time during start-up", after_s=rng.uniform(0, 0.9))
    for _ in range(3):
        yield KillPoint(name="random time during work", after_s=rng.uniform(0, 4), is_awake=True)


def _polls(round_: int, rng: random.Random) -> Iterator[KillPoint]:
    """Yield the kill points of a server that polls a task."""
    services = _cycle(tuple(POLLED), round_ + 4)
    yield KillPoint(name="poll: request received", kind="poll", point="body", service=next(services))
    yield KillPoint(
        name=f"poll: within {_SOON_S * 1000:g} ms after the response",
        kind="poll",
        point="answered",
        service=next(services),
        after_s=rng.uniform(0, _SOON_S),
    )


def _webhooks() -> Iterator[KillPoint]:
    """Yield the kill points of a server that receives a webhook."""
    yield KillPoint(name="webhook: before the request", kind="webhook", point="posting")
    yield KillPoint(name="webhook: response received", kind="webhook", point="posted")


def _take_over_points(round_: int, rng: random.Random) -> Iterator[tuple[KillPoint, KillPoint]]:
    """Yield pairs: a kill point of a server that polls tasks, and one of the server that takes them over."""
    services = _cycle(tuple(POLLED), round_ + 2)
    yield (
        KillPoint(name="poll: headers received", kind="poll", point="headers", service=next(services)),
        KillPoint(name=FIRST_POLL, kind="poll", point="answering", is_take_over=True),
    )
    yield (
        KillPoint(name="poll: before the answer", kind="poll", point="answering", service=next(services)),
        # a lease lasts 6 s and is checked every 2 s
        KillPoint(name="take-over: random time", after_s=rng.uniform(4, 8), is_awake=True, is_take_over=True),
    )


def _cycle(services: Sequence[str], start: int) -> Iterator[str]:
    """Yield the services in turn, without end."""
    while True:
        yield services[start % len(services)]
        start += 1


def _chain(name: str, kill_points: Sequence[KillPoint], rng: random.Random, *, receives_webhooks: bool) -> Chain:
    # a slow task has time to end before the last server
    runs = tuple(
        _run(kill_point, f"{name}.{number}", rng, is_first=number == 0) for number, kill_point in enumerate(kill_points)
    )
    return Chain(name=name, seed=rng.getrandbits(32), runs=runs, receives_webhooks=receives_webhooks)


def _run(kill_point: KillPoint, name: str, rng: random.Random, *, is_first: bool) -> Run:
    calls = [] if kill_point.is_take_over else _calls(kill_point, rng, is_first=is_first)
    faults: tuple[str, ...] = ()
    if kill_point.rejected != "no":
        faults = (f"submit:{rng.choice(_REFUSALS)}",)
    if kill_point.is_queued:
        faults = (f"{kill_point.service}/submit:status=429,times=always,header.Retry-After=60",)
    # words and digits: a provider that accepts English only must accept it
    marks = (f"number {name.replace('.', ' ')} {number} {rng.getrandbits(32)}" for number in range(len(calls)))
    return Run(kill_point=kill_point, calls=tuple(map(marked, calls, marks)), faults=faults)


def _calls(kill_point: KillPoint, rng: random.Random, *, is_first: bool) -> list[Call]:
    """Return the calls that lead to the kill point, among others."""
    if kill_point.rejected != "no":
        return [rng.choice(FAIL_OVER)]  # alone, so that this call is the one rejected
    others = [any_of(rng.choice(list(SERVICES)), rng) for _ in range(rng.randint(1, 3))]
    if is_first and rng.random() < 0.5:
        others.append(GRID)
    if kill_point.is_queued and kill_point.service:
        others = [call for call in others if call.provider != kill_point.service]
        # its status is returned at once
        return [
            marked(rng.choice(POLLED.get(kill_point.service) or SYNCHRONOUS[kill_point.service]), "", wait_s=1),
            *others,
        ]
    if kill_point.kind == "upload":
        others.append(WITH_UPLOAD)
    elif kill_point.kind == "submission" and kill_point.service:
        others.append(any_of(kill_point.service, rng))
    elif kill_point.kind == "webhook":
        others.append(rng.choice(POLLED[rng.choice(WITH_WEBHOOKS)]))
    elif kill_point.kind in ("poll", "image") and kill_point.service:
        others.append(rng.choice(POLLED[kill_point.service]))
    rng.shuffle(others)
    return others
