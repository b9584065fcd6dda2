"""Paths that lead out of the allowed folders, and links created between check and use."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random

from anyio import to_thread

from attack.attempts import Ground, Outcome
from journey_mcp.media import local_files

_SECRET = b"\x89PNG\r\n\x1a\n the contents of a secret file"
_HARMLESS = b"\x89PNG\r\n\x1a\n a harmless image"


def _paths(random: Random, allowed: Path, secret: Path) -> Iterator[str]:
    """Yield paths that lead to the secret, or would lead there if parsed wrongly."""
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
def _repeating(swap: Callable[[], None]) -> Iterator[None]:
    """Let a thread swap repeatedly while the block runs."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            swap()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _swapping(place: Path, secret: Path) -> AbstractContextManager[None]:
    """Alternate between the file at `place` and a link to the secret."""
    file, link = place.with_name("file.tmp"), place.with_name("link.tmp")

    def swap() -> None:
        file.write_bytes(_HARMLESS)
        file.replace(place)
        link.unlink(missing_ok=True)
        link.symlink_to(secret)
        link.replace(place)

    return _repeating(swap)


def _swapping_folder(place: Path, secret: Path) -> AbstractContextManager[None]:
    """Alternate between the file's folder and a link to the secret's folder."""
    aside, link = place.with_name("aside"), place.with_name("aside-link")

    def swap() -> None:
        link.unlink(missing_ok=True)
        link.symlink_to(secret.parent)
        place.rename(aside)
        link.rename(place)
        place.unlink()
        aside.rename(place)

    return _repeating(swap)


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
    """Read hostile paths; a file outside the allowed folders is never read."""
    return await to_thread.run_sync(_attack, ground)
