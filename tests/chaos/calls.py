"""The calls that the servers receive before they are killed: every provider, several models, some with local images."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

SMALL, LARGE = "small.jpg", "large.png"
"""Local images: one that fits into the request, and one that Replicate requires as an upload."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One tool call. Its prompt contains `mark`, which identifies the call on both sides."""

    tool: str
    model: str
    provider: str | None
    """None: the server chooses, and may fail over to another provider."""
    image: str | None = None
    mark: str = ""
    wait_s: int = 60
    is_slow: bool = False

    def arguments(self, folder: Path) -> dict[str, Any]:
        """Return the arguments; local images are in `folder`."""
        arguments: dict[str, Any] = {"prompt": f"a paper kite with the words {self.mark} above a quiet beach"}
        arguments |= {"model": self.model, "wait_s": self.wait_s}
        if self.provider:
            arguments["provider"] = self.provider
        if self.image:
            arguments["image"] = str(folder / self.image)
        return arguments


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
"""By provider: calls whose tasks are polled. A provider that only answers at once is not among them."""
WITH_WEBHOOKS = ("journeyapi", "replicate", "bfl")
"""The providers that send webhooks."""
SYNCHRONOUS: Mapping[str, tuple[Call, ...]] = {
    "journeyapi": (_imagine("journeyapi", "z-image"), _imagine("journeyapi", "gpt-image-1"))
}
"""The same for models that answer the creating request only when the image is finished."""
WITH_UPLOAD = _edit("replicate", "flux-kontext-pro", LARGE)
GRID = _imagine("journeyapi", "midjourney", is_slow=True)
"""Four images and a grid."""
FAIL_OVER: tuple[Call, ...] = (
    _imagine(None, "flux-2-max"),
    _imagine(None, "seedream-4"),
    _imagine(None, "recraft"),
    _imagine(None, "flux-1.1-pro"),
    _edit(None, "flux-kontext-pro"),
)
"""Models of several providers: the next provider runs what the first one rejects."""


def any_of(service: str, rng: random.Random) -> Call:
    """Return a random call for this provider, polled or synchronous."""
    return rng.choice([*POLLED.get(service, ()), *SYNCHRONOUS.get(service, ())])


def marked(call: Call, mark: str, **changes: Any) -> Call:
    """Return the same call with its mark."""
    return replace(call, mark=mark, **changes)


def make_images(folder: Path) -> None:
    """Draw the local images. Noise does not compress, so the large one is large."""
    Image.linear_gradient("L").convert("RGB").save(folder / SMALL)
    Image.effect_noise((560, 560), 90).convert("RGB").save(folder / LARGE)
