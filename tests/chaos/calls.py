"""The calls that the servers get before they die: every provider, its models mixed, some with pictures of our own."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

SMALL, LARGE = "small.jpg", "large.png"
"""Pictures of this machine: one that goes with the request, one that Replicate wants uploaded first."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a tool. `mark` stands in its prompt and in no other: it finds the call on both sides."""

    tool: str
    model: str
    provider: str | None
    """None leaves the choice to the server, which may then move on to another one."""
    image: str | None = None
    mark: str = ""
    wait_s: int = 60
    is_slow: bool = False

    def arguments(self, folder: Path) -> dict[str, Any]:
        """What is sent; local pictures lie in `folder`."""
        told: dict[str, Any] = {"prompt": f"a paper kite with the words {self.mark} above a quiet beach"}
        told |= {"model": self.model, "wait_s": self.wait_s}
        if self.provider:
            told["provider"] = self.provider
        if self.image:
            told["image"] = str(folder / self.image)
        return told


def _imagine(provider: str | None, model: str, **more: Any) -> Call:
    return Call(tool="imagine", provider=provider, model=model, **more)


def _edit(provider: str | None, model: str, image: str = SMALL) -> Call:
    return Call(tool="edit_image", provider=provider, model=model, image=image)


POLLED: Mapping[str, tuple[Call, ...]] = {
    "journeyapi": (_imagine("journeyapi", "flux-pro"), _imagine("journeyapi", "flux-dev")),
    "vtrix": (_imagine("vtrix", "seedream-4.5"), _edit("vtrix", "flux-kontext-max")),
    "kkiai": (_imagine("kkiai", "imagen-4-fast"), _edit("kkiai", "flux-kontext-dev")),
    "replicate": (_imagine("replicate", "flux-schnell"), _edit("replicate", "flux-kontext-pro")),
    "bfl": (_imagine("bfl", "flux-2-pro"), _edit("bfl", "flux-kontext-pro")),
}
"""By provider, what it is asked about until it is done."""
TELLING = ("journeyapi", "replicate", "bfl")
"""Those that call webhooks."""
HELD: Mapping[str, tuple[Call, ...]] = {
    "journeyapi": (_imagine("journeyapi", "z-image"), _imagine("journeyapi", "gpt-image-1"))
}
"""The same of those that hold the creating request until the picture is there."""
UPLOADING = _edit("replicate", "flux-kontext-pro", LARGE)
GRID = _imagine("journeyapi", "midjourney", is_slow=True)
"""Four pictures and a sheet."""
MOVING: tuple[Call, ...] = (
    _imagine(None, "flux-2-max"),
    _imagine(None, "seedream-4"),
    _imagine(None, "recraft"),
    _imagine(None, "flux-1.1-pro"),
    _edit(None, "flux-kontext-pro"),
)
"""Models of several providers: the next one runs what the first one refuses."""


def any_of(service: str, dice: random.Random) -> Call:
    """A call that this provider gets, quick or held."""
    return dice.choice([*POLLED[service], *HELD.get(service, ())])


def marked(call: Call, mark: str, **changes: Any) -> Call:
    """The same call, to be told from all others."""
    return replace(call, mark=mark, **changes)


def make_images(folder: Path) -> None:
    """Draw the local pictures; noise does not compress, so the large one is large."""
    Image.linear_gradient("L").convert("RGB").save(folder / SMALL)
    Image.effect_noise((560, 560), 90).convert("RGB").save(folder / LARGE)
