"""The differences between Replicate's API and KKIAI's compatible one, apart from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from journey_mcp.sandbox.responses import HttpResponse, json_response

Service = Literal["kkiai", "replicate"]

_TITLES: Mapping[int, str] = {
    401: "Unauthenticated",
    # the bodies of these two are not documented; a title as for 401
    402: "Insufficient credit",
    422: "Input validation failed",
}

_DETAILS: Mapping[int, str] = {
    401: "You did not pass a valid authentication token",
    # neither service documents the response to an empty balance
    402: "You have insufficient credit to run this model",
    404: "The requested resource could not be found.",
    429: "Request was throttled. Expected available in 1 second.",
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the two variants of the API."""

    service: Service
    is_gateway: bool
    """Whether it only forwards requests: no waiting, deadlines, webhooks, cancellation, lists or uploads."""
    created: int
    """The HTTP status of an accepted prediction."""
    invalid: int
    """The HTTP status of an invalid request."""

    def error_response(self, status: int, detail: str) -> HttpResponse:
        """Return an error response in the format of the service."""
        if self.is_gateway:
            # KKIAI documents no error body; this is what most similar gateways send
            return json_response({"error": {"message": detail}}, status)
        body: dict[str, str | int] = {"title": _TITLES[status]} if status in _TITLES else {}
        # recorded 429s contain only the text
        body |= {"detail": detail} | ({} if status == 429 else {"status": status})  # noqa: PLR2004
        return replace(json_response(body, status), media_type="application/problem+json")

    def documented(self) -> dict[int, HttpResponse]:
        """Return the constant responses by HTTP status."""
        return {status: self.error_response(status, detail) for status, detail in _DETAILS.items()}


KKIAI = Variant(service="kkiai", is_gateway=True, created=200, invalid=400)
# 422 for input is not documented either: the schema declares no error responses for predictions
REPLICATE = Variant(service="replicate", is_gateway=False, created=201, invalid=422)
