"""Paths: ways out of the allowed folders, and links that are put there between two looks."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from anyio import to_thread

from attack.attempts import Ground, Outcome
from journey_mcp import local_files

_SECRET = b"\x89PNG\r\n\x1a\n the contents of somebody's secret"
_HARMLESS = b"\x89PNG\r\n\x1a\n a harmless image"


def _paths(random: Random, allowed: Path, secret: Path) -> Iterator[str]:
    """Texts that lead to the secret, or would if they were read wrongly."""
    up = os.path.relpath(secret, allowed)
    yield from (str(secret), f"file://{secret}", f"FILE:///{secret}", f"file://localhost{secret}", f"{allowed}/{up}")
    yield from (f"{allowed}/./{up}", f"{allowed}//{up}", f"file://{allowed}/{up.replace('/', '%2f')}", f"'{secret}'")
    yield from (f"{allowed}/link.png", f"{allowed}/folder/secret.png", f"{allowed}/folder/../secret.png", f"@{secret}")
    yield from (
        f"{secret}\x00.png",
        f"{allowed}/a.png\x00/../{up}",
        f"/proc/self/root{secret}",
        f"/proc/self/cwd/{secret}",
    )
    yield from ("/proc/self/environ", "/proc/self/fd/0", "/dev/stdin", "/dev/zero", "/etc/passwd", "~root/.ssh/id_rsa")
    for _ in range(20):
        parts = [
            random.choice(["..", ".", "folder", "link.png", "%2e%2e", "..%2f", "~", "$HOME", "\\", ""])
            for _ in range(6)
        ]
        yield f"{allowed}/{'/'.join(parts)}/{secret.name}"


@contextmanager
def _swapping(place: Path, secret: Path) -> Iterator[None]:
    """The file at `place` is now itself, now a link to the secret."""
    is_over = threading.Event()

    def swap() -> None:
        file, link = place.with_name("file.tmp"), place.with_name("link.tmp")
        while not is_over.is_set():
            file.write_bytes(_HARMLESS)
            file.replace(place)
            link.unlink(missing_ok=True)
            link.symlink_to(secret)
            link.replace(place)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _swapping_folder(place: Path, secret: Path) -> Iterator[None]:
    """The folder of the file is now itself, now a link to the folder of the secret."""
    is_over = threading.Event()
    aside, link = place.with_name("aside"), place.with_name("aside-link")

    def swap() -> None:
        while not is_over.is_set():
            link.unlink(missing_ok=True)
            link.symlink_to(secret.parent)
            place.rename(aside)
            link.rename(place)
            place.unlink()
            aside.rename(place)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _read(text: str, allowed: Path) -> bytes:
    try:
        return local_files.content(local_files.locate([text], [allowed]), max_bytes=1000)
    except (local_files.NotAllowed, local_files.Unreadable):
        return b""


def _attack(ground: Ground) -> Outcome:
    outcome = Outcome(unit="reads of hostile paths, 5 of 6 in a race")
    allowed, private = ground.folder / "allowed", ground.folder / "private"
    (allowed / "folder").mkdir(parents=True)
    private.mkdir()
    secret = private / "secret.png"
    secret.write_bytes(_SECRET)
    (allowed / "link.png").symlink_to(secret)
    (allowed / "a.png").write_bytes(_HARMLESS)
    (allowed / "folder" / "secret.png").write_bytes(_HARMLESS)
    texts = [text for _ in range(ground.count(4)) for text in _paths(ground.random, allowed, secret)]
    for text in texts:
        outcome.attempt(held=_SECRET not in _read(text, allowed), what=repr(text))
    with _swapping(allowed / "a.png", secret):
        for _ in range(ground.count(500)):
            outcome.attempt(held=_SECRET not in _read(str(allowed / "a.png"), allowed), what="a swapped file")
    with _swapping_folder(allowed / "folder", secret):
        for _ in range(ground.count(500)):
            outcome.attempt(
                held=_SECRET not in _read(str(allowed / "folder" / "secret.png"), allowed), what="a swapped folder"
            )
    return outcome


async def hostile_paths(ground: Ground) -> Outcome:
    """The contents of a file outside of the allowed folders are never read."""
    return await to_thread.run_sync(_attack, ground)
