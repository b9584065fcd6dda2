"""Views as the caller reads them: an object, and the same facts as text. The pixels are beside it, never inside."""

from typing import Any

from journey_mcp.core.errors import JourneyError
from journey_mcp.core.plain import without_empty
from journey_mcp.core.views import Seen, View
from journey_mcp.tools.results import Rendered, error_object


def render(view: View) -> Rendered:
    """Return what a view shows, with an error for each image that it does not show."""
    errors = [_error(one.error, one.id) for one in view.unseen]
    images = [_image(one) for one in view.seen]
    plain: dict[str, Any] = {"images": images, "layout": view.layout, "size": view.size, "errors": errors}
    lines = [_line(one) for one in view.seen]
    if view.seen:
        lines.append(f"Layout: {view.layout}. Size: {view.size} pixels on the longest side.")
    return Rendered(without_empty(plain), "\n".join([*lines, *map(_error_line, errors)]))


def render_error(error: JourneyError) -> Rendered:
    """Return the same shape for a call that fails as a whole."""
    plain = _error(error)
    return Rendered({"errors": [plain]}, _error_line(plain))


def legend(view: View) -> str:
    """Return which number on a preview is which image."""
    return f"Preview: {', '.join(f'{number} is {seen.id}' for number, seen in enumerate(view.seen, start=1))}."


def _image(seen: Seen) -> dict[str, Any]:
    return without_empty({"id": seen.id, "width": seen.width, "height": seen.height, "label": seen.label})


def _line(seen: Seen) -> str:
    where = f", number {seen.label} on the sheet" if seen.label else ""
    return f"Image {seen.id}: {seen.width}x{seen.height}{where}"


def _error(error: JourneyError, image_id: str | None = None) -> dict[str, Any]:
    failure = error.failure
    return without_empty({"id": image_id, **error_object(failure), "next_step": failure.next_step})


def _error_line(error: dict[str, Any]) -> str:
    about = f" ({error['id']})" if "id" in error else ""
    retry = "may be retried" if error["retryable"] else "do not retry unchanged"
    step = f" Next: {error['next_step']}" if "next_step" in error else ""
    return f"Error {error['code']}{about}: {error['message']} ({retry}){step}"
