"""Serialization of predictions for both services."""

import math
from dataclasses import dataclass, replace
from typing import Any

from journey_mcp.sandbox.dates import Calendar
from journey_mcp.sandbox.replicate.predictions import Prediction, Status
from journey_mcp.sandbox.replicate.variants import Variant
from journey_mcp.sandbox.services import PATHS

_REAL_API = "https://api.replicate.com/v1"
_REAL_STREAMS = "https://stream.replicate.com/v1/files"
_REAL_SITE = "https://replicate.com"


@dataclass(frozen=True, kw_only=True)
class Serializer:
    """Serializer of predictions, in the format of one of the services."""

    variant: Variant
    calendar: Calendar
    is_sparse_when_fresh: bool
    """Whether `output` and `urls.web` are missing while a prediction is starting."""

    def serialize(self, prediction: Prediction, now: float) -> dict[str, Any]:
        """Return the prediction as of `now`."""
        status, is_removed = prediction.status(now), prediction.is_removed(now)
        body = {
            "id": prediction.task_id,
            "model": prediction.model,
            "version": prediction.version,
            "input": {} if is_removed else prediction.input_values,
            "logs": "" if is_removed or now < prediction.starts_at else f"Using seed: {prediction.seed}\n",
            "output": None if is_removed or status != "succeeded" else _output(prediction),
            "data_removed": is_removed,
            "error": prediction.failure if status == "failed" else None,
            "status": status,
            "created_at": self.calendar.iso(prediction.accepted_at),
            "urls": self.urls(prediction),
            **self._dates(prediction, status),
        }
        if self.is_sparse_when_fresh and status == "starting":
            del body["output"], body["urls"]["web"]
        return body

    def serialize_new(self, prediction: Prediction) -> dict[str, Any]:
        """Return the prediction in its initial state, however fast it is: recorded creations contain no more."""
        return self.serialize(replace(prediction, is_held=True, starts_at=math.inf), prediction.accepted_at)

    def serialize_with_output(self, prediction: Prediction) -> dict[str, Any]:
        """Return the prediction with its output and the status `processing`."""
        body = self.serialize(replace(prediction, is_held=True), max(prediction.starts_at, prediction.ends_at))
        return body | {"output": _output(prediction)}

    def urls(self, prediction: Prediction) -> dict[str, str]:
        """Return the URLs of a prediction."""
        name = prediction.task_id
        if self.variant.is_gateway:
            # KKIAI forwards the URLs of the service behind it: they lead away from KKIAI
            return {
                "cancel": f"{_REAL_API}/predictions/{name}/cancel",
                "get": f"{_REAL_API}/predictions/{name}",
                "stream": f"{_REAL_STREAMS}/{name}",
                "web": f"{_REAL_SITE}/p/{name}",
            }
        home = f"{prediction.origin}{PATHS[self.variant.service]}/predictions/{name}"
        return {"cancel": f"{home}/cancel", "get": home, "web": f"{prediction.origin}/replicate/p/{name}"}

    def _dates(self, prediction: Prediction, status: Status) -> dict[str, Any]:
        """Return the optional fields, which depend on the status."""
        body: dict[str, Any] = {} if self.variant.is_gateway else {"source": "api"}
        if prediction.deadline_at is not None:
            body["deadline"] = self.calendar.iso(prediction.deadline_at)
        has_started = prediction.starts_at <= prediction.ends_at
        if status != "starting" and has_started:
            body["started_at"] = self.calendar.iso(prediction.starts_at)
        if status not in ("starting", "processing"):
            body["completed_at"] = self.calendar.iso(prediction.ends_at)
            predict_time = prediction.ends_at - prediction.starts_at if has_started else 0.0
            body["metrics"] = {"predict_time": predict_time, "total_time": prediction.duration_s}
        return body


def _output(prediction: Prediction) -> str | list[str]:
    urls = prediction.image_urls_of
    return urls if prediction.gives_list else urls[0]
