"""The common base of Replicate and KKIAI: an account with predictions that are created and polled."""

import string
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from journey_mcp.sandbox.faults import Fault, find
from journey_mcp.sandbox.render_specs import Edit, RenderSpec, Scene
from journey_mcp.sandbox.replicate.models import Model
from journey_mcp.sandbox.replicate.predictions import Prediction
from journey_mcp.sandbox.replicate.requests import Creation, InvalidError, accepts_key, find_official, read_creation
from journey_mcp.sandbox.replicate.serializers import Serializer
from journey_mcp.sandbox.replicate.settings import ReplicateSettings
from journey_mcp.sandbox.replicate.throttle import Throttle
from journey_mcp.sandbox.replicate.variants import Variant
from journey_mcp.sandbox.responses import HttpResponse, json_response
from journey_mcp.sandbox.service import Refused, Service, is_json, origin_of, read_object
from journey_mcp.sandbox.sources import SourceError
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import Task

_BLOCKED = "The prompt was refused by the content policy"
_LETTERS = string.ascii_lowercase + string.digits
_ID_CHARACTERS = 26


class Account(Service[Creation]):
    """One account and its predictions, without the features of only one service.

    Its methods are those that `Service` wants, and what the subclasses for single services share.
    """

    variant: ClassVar[Variant]

    def __init__(self, sandbox: Sandbox, settings: ReplicateSettings, *, body_limit_bytes: int) -> None:
        super().__init__(sandbox, self.variant.service, body_limit_bytes=body_limit_bytes)
        self.settings = settings
        self.balance = settings.balance
        """The balance in US dollars."""
        self.serializer = Serializer(
            variant=self.variant,
            calendar=sandbox.calendar,
            is_sparse_when_fresh=settings.fresh_fields == "recorded",
        )
        self._throttle = Throttle(sandbox.settings.clock, settings.creations_per_minute)

    def endpoints(self) -> list[Route]:
        """Return the fake endpoints."""
        return [
            Route("/models/{owner}/{name}/predictions", self.predict, methods=["POST"]),
            Route("/predictions", self.predict, methods=["POST"]),
            Route("/predictions/{prediction_id}", self.prediction, methods=["GET"]),
        ]

    def error(self, status: int, message: str) -> HttpResponse:
        """Return an error in the format of the service."""
        return self.variant.error_response(status, message)

    def unauthorized(self, request: Request) -> HttpResponse | None:
        """Return the response to a request without a valid key."""
        is_good = accepts_key(request.headers.get("authorization"), self.settings)
        return None if is_good else self.documented[401]

    async def predict(self, request: Request) -> Response:
        """Create a prediction of the model in the path or in the body."""
        return await self.create(request, "predictions")

    async def prediction(self, request: Request) -> Response:
        """Return a prediction."""
        return await self.handle(request, "prediction", "fetch", lambda _, faults: self._prediction(request, faults))

    async def read(self, request: Request, content: bytes) -> Creation:
        """Return the parsed request, if rate limit and balance allow it. Raises Refused."""
        wait_s = self._throttle.take()
        if wait_s is not None:
            raise Refused(self._throttled(wait_s))
        named = self._named(request)
        body = read_object(content) if is_json(request) else None
        if body is None:
            raise self.invalid("The body must be a JSON object, sent as application/json")
        try:
            creation = read_creation(body, request.headers, named, self.variant, self.settings)
        except InvalidError as error:
            raise self.invalid(str(error)) from error
        self.settle()
        if self.balance < self._price(creation):
            raise Refused(self.documented[402])
        return creation

    def accept(self, request: Request, creation: Creation, faults: tuple[Fault, ...]) -> Prediction:
        """Create and charge the prediction."""
        sandbox, model, parsed = self.sandbox, creation.model, creation.request
        failure = find(faults, "fail_task")
        is_blocked = sandbox.settings.blocked_word in parsed.prompt
        now, rolled = sandbox.now(), sandbox.rng.getrandbits(32)
        seed = rolled if parsed.seed is None else parsed.seed
        starts_at = now + sandbox.settings.shortened(self.settings.boot_s)
        deadline_s = creation.timing.deadline_s
        prediction = Prediction(
            task_id="".join(sandbox.rng.choices(_LETTERS, k=_ID_CHARACTERS)),
            service=self.name,
            kind="prediction",
            model=model.name,
            version=model.version or "hidden",
            input_values=creation.input_values,
            gives_list=model.gives_list,
            origin=origin_of(request),
            accepted_at=now,
            starts_at=starts_at,
            ends_at=now,
            deadline_at=None if deadline_s is None else now + sandbox.settings.shortened(deadline_s),
            lifetime_s=self.settings.lifetime_s,
            charged=self._price(creation),
            seed=seed,
            images=_images(creation, seed, None),
            failure=(failure and failure.error) or (_BLOCKED if is_blocked else None),
            is_held=parsed.source is not None or find(faults, "hang") is not None,
        ).ending_at(starts_at + sandbox.settings.shortened(sandbox.rng.uniform(*model.seconds)))
        self.balance -= prediction.charged
        sandbox.tasks.put(prediction)
        return prediction

    async def respond_to_creation(
        self, request: Request, creation: Creation, task: Task, faults: tuple[Fault, ...]
    ) -> HttpResponse:
        """Load the image to edit, and respond with the new prediction."""
        prediction = await self.prepared(request, creation, task, faults)
        return self.created(self.serializer.serialize_new(prediction), faults)

    async def prepared(self, request: Request, creation: Creation, task: Task, faults: tuple[Fault, ...]) -> Prediction:
        """Return the prediction once the image to edit is loaded; it fails if there is none."""
        # accept() has created it
        prediction, source, failure = cast("Prediction", task), None, task.failure
        if creation.request.source is not None:
            try:
                source = await self.load_source(request, creation.request.source)
            except SourceError as error:
                failure = failure or f"Could not fetch the input image: {error}"
        prediction = cast("Prediction", self.sandbox.tasks.find(task.task_id) or prediction)
        if prediction.ending is None:
            prediction = self._ready(prediction, creation, source, faults)
            prediction = replace(prediction, failure=prediction.failure or failure)
            self.sandbox.tasks.put(prediction)
        return prediction

    async def load_source(self, _request: Request, image: str) -> bytes:
        """Return an input image. Raises SourceError."""
        return (await self.sandbox.load_source(image)).content

    def created(self, body: Mapping[str, Any], faults: tuple[Fault, ...]) -> HttpResponse:
        """Return the response to an accepted creating request."""
        response = json_response(self.distorted(with_foreign_urls(body, faults), faults), self.variant.created)
        return replace(response, headers=self._throttle.headers())

    def invalid(self, detail: str) -> Refused:
        """Return the rejection of an invalid request."""
        return Refused(self.error(self.variant.invalid, detail))

    def unknown(self) -> Refused:
        """Return the rejection of a request for something unknown."""
        return Refused(self.documented[404])

    def _prediction(self, request: Request, faults: tuple[Fault, ...]) -> HttpResponse:
        found = self.find(request.path_params["prediction_id"], faults)
        if found is None:
            raise self.unknown()
        task, now = found
        return json_response(self.distorted(self.serializer.serialize(cast("Prediction", task), now), faults))

    def _ready(
        self, prediction: Prediction, creation: Creation, source: bytes | None, faults: tuple[Fault, ...]
    ) -> Prediction:
        """Return a prediction that waits for no input image any more."""
        prediction = replace(
            prediction,
            images=_images(creation, prediction.seed, source),
            kept_bytes=len(source or b"") + len(creation.request.source or ""),
            is_held=find(faults, "hang") is not None,
        ).within_deadline()
        # the deadline does not include the time of the image's server
        late = not prediction.ending and prediction.ends_at < self.sandbox.now() and source is not None
        return prediction.ending_at(self.sandbox.now()) if late else prediction

    def _named(self, request: Request) -> Model | None:
        """Return the model that the path names; None if it names none. Raises Refused."""
        path = request.path_params
        if not path:
            return None
        model = find_official(f"{path['owner']}/{path['name']}", self.settings)
        if model is None:
            raise self.unknown()
        return model

    def _throttled(self, wait_s: int) -> HttpResponse:
        texts = {
            "expected": f"Expected available in {wait_s} second{'' if wait_s == 1 else 's'}.",
            "resets": f"Your rate limit resets in ~{wait_s}s.",
        }
        response = self.error(429, f"Request was throttled. {texts[self.settings.throttle_wording]}")
        return replace(response, headers=self._throttle.headers())

    def _price(self, creation: Creation) -> float:
        return self.settings.prices.get(creation.model.name, creation.model.price) * creation.request.count


def with_foreign_urls(body: Mapping[str, Any], faults: tuple[Fault, ...]) -> dict[str, Any]:
    """Return a prediction object with the URLs of a `foreign_url` fault."""
    foreign = find(faults, "foreign_url")
    urls = {name: f"{foreign.origin}{urlsplit(url).path}" if foreign else url for name, url in body["urls"].items()}
    return {**body, "urls": urls}


def _images(creation: Creation, seed: int, source: bytes | None) -> dict[str, RenderSpec]:
    """Return the render specs: edits of the source, or generated images."""
    parsed = creation.request
    return {
        f"out-{variant}.{parsed.image_format}": _render_spec(creation, seed, source, variant)
        for variant in range(parsed.count)
    }


def _render_spec(creation: Creation, seed: int, source: bytes | None, variant: int) -> RenderSpec:
    parsed = creation.request
    common: dict[str, Any] = {
        "prompt": parsed.prompt,
        "model": creation.model.name,
        "seed": seed,
        "image_format": parsed.image_format,
        "variant": variant,
    }
    if source is None:
        return Scene(size=parsed.size, **common)
    return Edit(source=source, ratio=parsed.ratio, **common)
