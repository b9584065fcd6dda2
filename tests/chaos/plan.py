"""A round of kills, dealt to chains of lives: what each server is asked for, and when it dies. All of it by a seed."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from support import SERVICES

from chaos.calls import GRID, MOVING, POLLED, TELLING, UPLOADING, Call, any_of, marked
from chaos.kill_points import Aim
from journey_mcp.sandbox import Point

KILLS = 32
"""Of one round."""
FIRST_POLL = "take-over: first poll, before the answer"
_CHAIN = 5
_LISTENING = 3
"""So many chains of a round take webhooks."""
_REFUSALS = ("status=401", "status=429,header.Retry-After=60")
_COPIED = ("replicate", "bfl")
"""Their links die soon: pictures are copied before a task counts as finished."""
_SOON_S = 0.03
"""An answer that was sent is read, understood and stored within about this time."""
_WORDS: Mapping[Point, str] = {
    "headers": "headers received",
    "body": "request received",
    "answering": "before the answer",
    "answered": "answer sent",
}
_SUBMITTING: tuple[Point, ...] = ("headers", "body", "body", "answering", "answering", "answered")


@dataclass(frozen=True, kw_only=True)
class Life:
    """A server from its start to its death."""

    aim: Aim
    calls: tuple[Call, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Servers that follow each other on one database; after the last kill one more lives until all is at rest."""

    name: str
    seed: int
    lives: tuple[Life, ...]
    is_listening: bool = False
    """Its servers take webhooks: polls are rare, and an answer that died with one may still come."""


def chains(seed: int, round_: int) -> tuple[Chain, ...]:
    """One round: every point once or more, at providers that change from round to round."""
    dice = random.Random(f"{seed}/{round_}")
    polls, others, webhooks = list(_polls(round_, dice)), list(_aims(round_, dice)), list(_webhooks())
    dice.shuffle(others)
    listening = [*webhooks, *(others.pop() for _ in range(_LISTENING * _CHAIN - len(webhooks)))]
    dice.shuffle(listening)
    pairs = zip(_inheriting(round_, dice), polls, strict=True)
    asking = [[*pair, poll, others.pop(), others.pop()] for pair, poll in pairs]
    dealt = [(aims, False) for aims in [*asking, *_cut(others)]] + [(aims, True) for aims in _cut(listening)]
    return tuple(
        _chain(f"{round_}.{number}", aims, dice, is_listening=is_listening)
        for number, (aims, is_listening) in enumerate(dealt)
    )


def _cut(aims: Sequence[Aim]) -> list[Sequence[Aim]]:
    return [aims[start : start + _CHAIN] for start in range(0, len(aims), _CHAIN)]


def _aims(round_: int, dice: random.Random) -> Iterator[Aim]:
    """The kills of a round, but for those that need polls, webhooks, or a task left behind."""
    services = _turning(tuple(SERVICES), round_)
    yield Aim(name="connection made", exchange="connection", point="connected")
    for point in _SUBMITTING:
        name = f"creating request: {_WORDS[point]}"
        yield Aim(name=name, exchange="submission", point=point, service=next(services))
    for _ in range(2):
        name, after_s = f"creating request: within {_SOON_S * 1000:g} ms after the answer", dice.uniform(0, _SOON_S)
        service = next(services)
        yield Aim(name=name, exchange="submission", point="answered", service=service, after_s=after_s)
    yield Aim(name="upload of a picture: request received", exchange="upload", point="body")
    yield Aim(name="upload of a picture: answer sent", exchange="upload", point="answered")
    copied = _turning(_COPIED, round_)
    yield Aim(name="copy of a picture: headers received", exchange="picture", point="headers", service=next(copied))
    yield Aim(name="copy of a picture: before the answer", exchange="picture", point="answering", service=next(copied))
    yield Aim(
        name=f"copy of a picture: within {_SOON_S * 1000:g} ms after the answer",
        exchange="picture",
        point="answered",
        service=next(copied),
        after_s=dice.uniform(0, _SOON_S),
    )
    yield Aim(name="fail-over: refusal sent", exchange="submission", point="answered", refused="now")
    for point in _WORDS:
        name = f"fail-over: second provider, {_WORDS[point]}"
        yield Aim(name=name, exchange="submission", point=point, refused="before")
    yield Aim(name="while a call is queued", is_when_queued=True, service=next(services))
    yield Aim(name="random moment of the start", after_s=dice.uniform(0, 0.9))
    for _ in range(3):
        yield Aim(name="random moment of the work", after_s=dice.uniform(0, 4), is_awake=True)


def _polls(round_: int, dice: random.Random) -> Iterator[Aim]:
    """Kills of a server that asks how a task stands."""
    services = _turning(tuple(SERVICES), round_ + 4)
    yield Aim(name="poll: request received", exchange="poll", point="body", service=next(services))
    yield Aim(
        name=f"poll: within {_SOON_S * 1000:g} ms after the answer",
        exchange="poll",
        point="answered",
        service=next(services),
        after_s=dice.uniform(0, _SOON_S),
    )


def _webhooks() -> Iterator[Aim]:
    """Kills of a server that is told how a task ended."""
    yield Aim(name="webhook: before it is posted", exchange="webhook", point="posting")
    yield Aim(name="webhook: answered", exchange="webhook", point="posted")


def _inheriting(round_: int, dice: random.Random) -> Iterator[tuple[Aim, Aim]]:
    """Kills of a server whose tasks are still asked for, and of the one that takes them over."""
    services = _turning(tuple(SERVICES), round_ + 2)
    yield (
        Aim(name="poll: headers received", exchange="poll", point="headers", service=next(services)),
        Aim(name=FIRST_POLL, exchange="poll", point="answering", is_inherited=True),
    )
    yield (
        Aim(name="poll: before the answer", exchange="poll", point="answering", service=next(services)),
        # a lease lasts 6 s, and is looked at every 2 s
        Aim(name="take-over: random moment", after_s=dice.uniform(4, 8), is_awake=True, is_inherited=True),
    )


def _turning(services: Sequence[str], start: int) -> Iterator[str]:
    """One service after the other, for ever."""
    while True:
        yield services[start % len(services)]
        start += 1


def _chain(name: str, aims: Sequence[Aim], dice: random.Random, *, is_listening: bool) -> Chain:
    # a slow task has time to end before the last server does
    lives = tuple(_life(aim, f"{name}.{number}", dice, is_first=number == 0) for number, aim in enumerate(aims))
    return Chain(name=name, seed=dice.getrandbits(32), lives=lives, is_listening=is_listening)


def _life(aim: Aim, name: str, dice: random.Random, *, is_first: bool) -> Life:
    calls = [] if aim.is_inherited else _calls(aim, dice, is_first=is_first)
    faults: tuple[str, ...] = ()
    if aim.refused != "no":
        faults = (f"submit:{dice.choice(_REFUSALS)}",)
    if aim.is_when_queued:
        faults = (f"{aim.service}/submit:status=429,times=always,header.Retry-After=60",)
    # words and figures: a provider that understands English only must take it
    marks = (f"number {name.replace('.', ' ')} {number} {dice.getrandbits(32)}" for number in range(len(calls)))
    return Life(aim=aim, calls=tuple(map(marked, calls, marks)), faults=faults)


def _calls(aim: Aim, dice: random.Random, *, is_first: bool) -> list[Call]:
    """What brings the moment about, among other calls."""
    if aim.refused != "no":
        return [dice.choice(MOVING)]  # alone, so that it is this one that is refused
    others = [any_of(dice.choice(list(SERVICES)), dice) for _ in range(dice.randint(1, 3))]
    if is_first and dice.random() < 0.5:
        others.append(GRID)
    if aim.is_when_queued and aim.service:
        others = [call for call in others if call.provider != aim.service]
        # told at once how it stands
        return [marked(dice.choice(POLLED[aim.service]), "", wait_s=1), *others]
    if aim.exchange == "upload":
        others.append(UPLOADING)
    elif aim.exchange == "submission" and aim.service:
        others.append(any_of(aim.service, dice))
    elif aim.exchange == "webhook":
        others.append(dice.choice(POLLED[dice.choice(TELLING)]))
    elif aim.exchange in ("poll", "picture") and aim.service:
        others.append(dice.choice(POLLED[aim.service]))
    dice.shuffle(others)
    return others
