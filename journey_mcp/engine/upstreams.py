"""Which provider runs a task, as the engine needs to know it."""

from typing import Protocol

from journey_mcp.core.tasks import Task
from journey_mcp.providers.clients import Upstream
from journey_mcp.registry import Offer


class Upstreams(Protocol):
    """The configured providers."""

    def serves(self, task: Task) -> bool:
        """Return whether this process may poll the task, with the key that made it."""
        ...

    def upstream_of(self, task: Task) -> Upstream:
        """Return where the task is polled: at the provider and base URL where it was created."""
        ...

    def offer_of(self, task: Task) -> Offer | None:
        """Return the offer that the task was created with; `None` if it is not configured any more."""
        ...

    def accepts_webhooks(self, task: Task) -> bool:
        """Return whether the task's provider calls webhooks, and this process is set up to poll it."""
        ...
