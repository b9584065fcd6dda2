"""What several tests of the store start from."""

from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task

TASK = Task(
    id="tsk_a",
    principal=LOCAL,
    request=ImageRequest(tool="imagine", prompt="p", model="m"),
    provider="journeyapi",
    base_url="u",
    created_at=100.0,
    updated_at=100.0,
)
