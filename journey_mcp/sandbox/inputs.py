"""Loading all input images of a request: errors reject the request or fail its task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from journey_mcp.sandbox.parameters import Parameter, images_in
from journey_mcp.sandbox.sources import Source, SourceError, form_of
from journey_mcp.sandbox.state import Sandbox


class UnreadableInput(Exception):
    """Image data in the request itself is invalid or too large; the request is rejected at once."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name = name
        self.message = message


@dataclass(frozen=True, kw_only=True)
class InputImages:
    """The input images of a request, in the order of the model's parameters."""

    sources: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    """The images by parameter."""
    failure: str | None = None
    """Why the task fails: a URL led to no image."""

    def all_but(self, *names: str) -> tuple[Source, ...]:
        """Return the images of all other parameters."""
        return tuple(source for name, group in self.sources.items() if name not in names for source in group)

    @property
    def size_bytes(self) -> int:
        """The memory that they use."""
        return sum(len(source.content) for group in self.sources.values() for source in group)


async def load_inputs(
    sandbox: Sandbox,
    values: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    *,
    limit_bytes: int | None,
) -> InputImages:
    """Return the images that valid parameters name. Raises UnreadableInput."""
    sources: dict[str, tuple[Source, ...]] = {}
    failure = None
    for name, parameter in parameters.items():
        for image in images_in(values.get(name), parameter):
            try:
                source = await sandbox.load_source(image, limit_bytes=limit_bytes)
            except SourceError as error:
                if form_of(image) != "url":
                    raise UnreadableInput(name, str(error)) from error
                failure = failure or f"Could not fetch {name}: {error}"
            else:
                sources[name] = (*sources.get(name, ()), source)
    return InputImages(sources=sources, failure=failure)
