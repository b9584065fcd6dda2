"""The routes to an image, and the cases: every fault of every stage on every route of the stage."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from support import make_request

from journey_mcp.core.requests import ImageRequest

from . import faults
from .faults import Fault
from .outcomes import Outcome, expected


@dataclass(frozen=True, kw_only=True)
class Route:
    """A provider, and the models that a call uses."""

    name: str
    service: str
    model: str
    polled: str
    """The endpoint of its polls in the sandbox's request log."""
    images: int = 1
    """The number of images that a call makes."""
    has_price: bool = True
    """Whether the cost is known when the request is sent."""
    size: int | None = None
    """Width and height in pixels: a small image is drawn faster."""
    edits: str | None = "flux-kontext-pro"
    """The model for edits; `None` if the provider has none."""

    def request(self, image: str | None = None) -> ImageRequest:
        """Return the request of a call; with an image, of an edit."""
        if image:
            assert self.edits is not None
            return make_request(tool="edit_image", model=self.edits, image=image)
        return make_request(model=self.model, width=self.size, height=self.size)


JOURNEYAPI = Route(name="journeyapi", service="journeyapi", model="midjourney", polled="fetch", images=4)
SYNCHRONOUS = Route(name="journeyapi (synchronous)", service="journeyapi", model="z-image", polled="fetch")
VTRIX = Route(name="vtrix", service="vtrix", model="flux-1.1-pro", polled="vtrix/task", has_price=False)
KKIAI = Route(
    name="kkiai", service="kkiai", model="stable-diffusion", polled="kkiai/prediction", has_price=False, size=256
)
REPLICATE = Route(
    name="replicate",
    service="replicate",
    model="flux-1.1-pro",
    polled="replicate/prediction",
    has_price=False,
    size=256,
)
BFL = Route(name="bfl", service="bfl", model="flux-2-pro", polled="bfl/get_result", size=256)
ROUTES = (JOURNEYAPI, SYNCHRONOUS, VTRIX, KKIAI, REPLICATE, BFL)
_POLLED = (JOURNEYAPI, VTRIX, KKIAI, REPLICATE, BFL)
"""A synchronous call is polled only if its response was incomplete."""
_COPIED = (KKIAI, REPLICATE, BFL)
"""Their links expire soon, so the server copies the images."""
_UPLOADED = (replace(BFL, edits="flux-fill-pro"),)
"""`flux-fill-pro` takes images as bytes only, so the server downloads them."""

STAGES: Mapping[str, tuple[tuple[Fault, ...], tuple[Route, ...]]] = {
    "submit": (faults.SUBMIT, ROUTES),
    "poll": (faults.POLL, _POLLED),
    "poll, twice": (faults.POLL_TWICE, _POLLED),
    "copy": (faults.COPY, _COPIED),
    "copy, once": (faults.COPY_ONCE, _COPIED),
    "source": (faults.SOURCE, _UPLOADED),
}
"""The faults of each stage, and the routes that have the stage."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault at one stage on one route."""

    stage: str
    fault: Fault
    route: Route

    def __str__(self) -> str:
        return f"{self.stage}: {self.route.name}: {self.fault.name}"

    @property
    def expected(self) -> Outcome:
        """The expected outcome of the call."""
        return expected(self.stage, self.fault.name, self.route.name)


CASES = tuple(
    Case(stage=stage, fault=fault, route=route)
    for stage, (listed, routes) in STAGES.items()
    for route in routes
    for fault in listed
    if not (fault.outlasts_limits and route.name != route.service)
    if not (fault.edits and route.edits is None)
)
