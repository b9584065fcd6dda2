"""Files that only their owner reads, written completely or not at all."""

import os
import secrets
from pathlib import Path


def write(path: Path, content: bytes, *, made_at: float) -> None:
    """Write a file in place of one that may be there; create its folder if it is missing.

    `made_at`, in seconds of the Unix epoch, becomes its time.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
        os.utime(beside, (made_at, made_at))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
