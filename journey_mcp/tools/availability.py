"""The availability of finished tasks' images: by their link, or as a copy on this machine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio import to_thread

from journey_mcp.core.images import OutputImage
from journey_mcp.core.tasks import SANDBOX, Task

_SANDBOX_ENDED = "sandbox ended"
"""Why a link of a sandbox is dead."""
_CONNECT_WITHIN_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """The result of a check of sandboxes and copies; without a check, all count as available."""

    dead_origins: frozenset[str] = frozenset()
    """Host and port of sandboxes that no longer run."""
    missing_paths: frozenset[str] = frozenset()
    """Paths of copies that no longer exist."""

    def dead_reason(self, image: OutputImage, *, now: float) -> str | None:
        """Return in two words why the image's link is dead, or `None`."""
        if image.expires_at is not None and image.expires_at <= now:
            return "link expired"
        return _SANDBOX_ENDED if self.dead_origins and urlsplit(image.url).netloc in self.dead_origins else None

    def stored_copy(self, image: OutputImage) -> str | None:
        """Return the path of an existing copy, or `None`."""
        return None if image.path in self.missing_paths else image.path

    def has_copy(self, image: OutputImage) -> bool:
        """Return whether a copy exists, on this machine or in an object store."""
        return image.is_stored or self.stored_copy(image) is not None


async def check_availability(tasks: Sequence[Task]) -> Availability:
    """Check the copies of these tasks' images, and once each sandbox that made some; takes a second at most."""
    paths = [image.path for task in tasks for image in task.images if image.path is not None]
    origins = {urlsplit(image.url).netloc for task in tasks if task.provider == SANDBOX for image in task.images}
    if not paths and not origins:
        return Availability()
    dead_origins: set[str] = set()

    async def ask(origin: str) -> None:
        if not await is_listening(f"//{origin}"):
            dead_origins.add(origin)

    async with anyio.create_task_group() as group:
        for origin in origins:
            group.start_soon(ask, origin)
    return Availability(
        dead_origins=frozenset(dead_origins),
        missing_paths=await to_thread.run_sync(_missing, paths) if paths else frozenset(),
    )


async def is_listening(url: str) -> bool:
    """Return whether a server accepts connections at the URL's host and port."""
    parts = urlsplit(url)
    try:
        with anyio.fail_after(_CONNECT_WITHIN_S):
            await (await anyio.connect_tcp(str(parts.hostname), parts.port or 80)).aclose()
    except (OSError, TimeoutError):
        return False
    return True


def _missing(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path for path in paths if not Path(path).is_file())
