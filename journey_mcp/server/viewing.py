"""The tool `view_image`: the facts of images as text and object, their pixels as image blocks."""

from base64 import b64encode

import mcp_types as types

from journey_mcp.core.errors import JourneyError
from journey_mcp.core.principals import Principal
from journey_mcp.server import tool_results
from journey_mcp.studio import Studio
from journey_mcp.tools import view_results
from journey_mcp.tools.arguments import ViewImage


async def view_image(studio: Studio, given: ViewImage, principal: Principal) -> types.CallToolResult:
    """Return small JPEGs of finished images; it is an error only if none can be shown."""
    view = await studio.views.look(given.image_ids, principal, size=given.size, layout=given.layout)
    result = tool_results.result(view_results.render(view), [], is_error=not view.seen)
    return result.model_copy(update={"content": [*result.content, *map(image_block, view.jpegs)]})


def error_result(error: JourneyError) -> types.CallToolResult:
    """Return the result of a call that fails as a whole."""
    return tool_results.result(view_results.render_error(error), [], is_error=True)


def image_block(jpeg: bytes) -> types.ImageContent:
    """Return a JPEG as content."""
    return types.ImageContent(type="image", data=b64encode(jpeg).decode(), mime_type="image/jpeg")
