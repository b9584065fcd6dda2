"""The fakes of Replicate's HTTP API and of KKIAI's, which is compatible with a part of it."""

import base64
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from journey_mcp.sandbox.faults import Fault
from journey_mcp.sandbox.replicate.account import Account, with_foreign_urls
from journey_mcp.sandbox.replicate.files import Files, StoredFile, read_upload
from journey_mcp.sandbox.replicate.pages import created_within, page_at
from journey_mcp.sandbox.replicate.predictions import Prediction
from journey_mcp.sandbox.replicate.requests import Creation, InvalidError
from journey_mcp.sandbox.replicate.variants import KKIAI, REPLICATE
from journey_mcp.sandbox.replicate.webhooks import WebhookSender
from journey_mcp.sandbox.responses import HttpResponse, json_response
from journey_mcp.sandbox.service import origin_of
from journey_mcp.sandbox.services import PATHS
from journey_mcp.sandbox.sources import SourceError
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.tasks import KEPT_TASKS, Task
from journey_mcp.sandbox.wire import hold

KKIAI_ENDPOINTS = ("predictions", "prediction")
"""The names of KKIAI's endpoints in the request log; creating is `predictions`."""
ENDPOINTS = (*KKIAI_ENDPOINTS, "list", "cancel", "files", "file", "secret")
"""The names of Replicate's."""

_KKIAI_BODY_BYTES = 20_000_000
_FORM_BYTES = 1_000_000
"""The size allowed in addition to an upload."""


class Kkiai(Account):
    """An account at KKIAI: predictions are created and polled; its pages describe nothing else.

    KKIAI's pages do not state the path for polling; pages of similar services do.
    """

    variant = KKIAI
    documented = KKIAI.documented()

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox, sandbox.settings.kkiai, body_limit_bytes=_KKIAI_BODY_BYTES)


class Replicate(Account):
    """An account at Replicate."""

    variant = REPLICATE
    documented = REPLICATE.documented()

    def __init__(self, sandbox: Sandbox) -> None:
        settings = sandbox.settings.replicate
        super().__init__(sandbox, settings, body_limit_bytes=settings.file_limit_bytes + _FORM_BYTES)
        self._webhook_sender = WebhookSender(
            sandbox=sandbox, settings=settings, serializer=self.serializer, distort=self.distorted
        )
        self._files = Files()
        self._latest: deque[str] = deque(maxlen=KEPT_TASKS)

    def endpoints(self) -> list[Route]:
        """Return the fake endpoints."""
        return [
            *super().endpoints(),
            Route("/predictions", self.history, methods=["GET"]),
            Route("/predictions/{prediction_id}/cancel", self.cancel, methods=["POST"]),
            Route("/files", self.upload, methods=["POST"]),
            Route("/files/{file_id}", self.file, methods=["GET"]),
            Route("/webhooks/default/secret", self.secret, methods=["GET"]),
        ]

    def too_large(self) -> HttpResponse:
        """Return the response to a body that is too large; documented for uploads only."""
        return self.error(413, f"Files must be less than {self.settings.file_limit_bytes // 1_000_000}MB in size")

    async def history(self, request: Request) -> Response:
        """Return a page of the latest predictions."""
        return await self.handle(request, "list", "fetch_many", lambda _, faults: self._list(request, faults))

    async def cancel(self, request: Request) -> Response:
        """Cancel a prediction."""
        return await self.handle(request, "cancel", "cancel", lambda _, faults: self._cancel(request, faults))

    async def upload(self, request: Request) -> Response:
        """Store an image that inputs can refer to."""
        return await self.handle(
            request, "files", "upload", lambda content, faults: self._upload(request, content, faults)
        )

    async def file(self, request: Request) -> Response:
        """Return an upload."""
        return await self.handle(request, "file", "fetch", lambda _, faults: self._file(request, faults))

    async def secret(self, request: Request) -> Response:
        """Return the secret that signs webhooks."""
        body = {"key": self.settings.webhook_secret}
        return await self.handle(request, "secret", "account", lambda *_: json_response(body))

    def accept(self, request: Request, creation: Creation, faults: tuple[Fault, ...]) -> Prediction:
        """Create and charge the prediction."""
        prediction = super().accept(request, creation, faults)
        self._latest.appendleft(prediction.task_id)
        return prediction

    async def respond_to_creation(
        self, request: Request, creation: Creation, task: Task, faults: tuple[Fault, ...]
    ) -> HttpResponse:
        """Load the image to edit, start the webhooks, and wait for the prediction if requested."""
        prediction = await self.prepared(request, creation, task, faults)
        if creation.webhook is not None:
            self.sandbox.deliveries.start(partial(self._webhook_sender.follow, prediction.task_id, creation.webhook))
        if creation.timing.preference is None:
            return self.created(self.serializer.serialize_new(prediction), faults)
        wait_until = prediction.accepted_at + self.sandbox.settings.shortened(creation.timing.wait_s)
        until = wait_until if prediction.is_held else min(wait_until, prediction.ends_at)
        await hold(request, self.sandbox.settings.clock, until=until)
        response = self._waited(cast("Prediction", self.sandbox.tasks.find(task.task_id) or prediction), faults)
        return replace(response, headers={**response.headers, "Preference-Applied": creation.timing.preference})

    async def load_source(self, request: Request, image: str) -> bytes:
        """Return an input image, which may be an upload. Raises SourceError."""
        files_url = self._url(request, "files/")
        if not image.startswith(files_url):
            return await super().load_source(request, image)
        stored = self._files.find(image.removeprefix(files_url), self.sandbox.now())
        if stored is None:
            raise SourceError("this file does not exist")
        # through the same checks as any other image
        return await super().load_source(request, base64.b64encode(stored.upload.content).decode())

    def on_ended(self, task: Task) -> None:
        """Refund a prediction that has not started; a canceled run is billed."""
        if cast("Prediction", task).ending == "aborted":
            self.balance += task.charged

    def _waited(self, prediction: Prediction, faults: tuple[Fault, ...]) -> HttpResponse:
        """Return the response to a creating request that has waited."""
        now = self.sandbox.now()
        if not prediction.is_over(now):
            body = self.serializer.serialize(prediction, now)
            if self.settings.timed_out_status == "starting":
                body = self.serializer.serialize_new(prediction)
            response = self.created(body, faults)
            location = with_foreign_urls(body, faults)["urls"]["get"]
            return replace(response, status=202, headers={**response.headers, "Location": location})
        body = self.serializer.serialize(prediction, prediction.ends_at)
        if prediction.has_result and self.settings.sync_status == "processing":
            body = self.serializer.serialize_with_output(prediction)
        return self.created(body, faults)

    def _list(self, request: Request, faults: tuple[Fault, ...]) -> HttpResponse:
        self.settle()
        query, now = request.query_params, self.sandbox.now()
        found = [task for name in self._latest if isinstance(task := self.sandbox.tasks.find(name), Prediction)]
        try:
            page = page_at(
                created_within(found, query, self.sandbox.calendar), query.get("cursor"), self.settings.page_size
            )
        except InvalidError as error:
            raise self.invalid(str(error)) from error
        return json_response(
            {
                "previous": self._page_url(request, page.previous),
                "next": self._page_url(request, page.next),
                "results": [
                    self.distorted(self.serializer.serialize(prediction, now), faults) for prediction in page.results
                ],
            }
        )

    def _page_url(self, request: Request, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        return f"{self._url(request, 'predictions')}?{urlencode({**request.query_params, 'cursor': cursor})}"

    def _cancel(self, request: Request, faults: tuple[Fault, ...]) -> HttpResponse:
        self.settle()
        prediction, now = self.sandbox.tasks.find(request.path_params["prediction_id"]), self.sandbox.now()
        if not isinstance(prediction, Prediction) or prediction.service != self.name:
            raise self.unknown()
        if not prediction.is_over(now):
            prediction = prediction.ended(now, "canceled")
            self.sandbox.tasks.put(prediction)
        return json_response(self.distorted(self.serializer.serialize(prediction, now), faults))

    def _upload(self, request: Request, content: bytes, faults: tuple[Fault, ...]) -> HttpResponse:
        try:
            upload = read_upload(content, request.headers.get("content-type", ""))
        except InvalidError as error:
            raise self.invalid(str(error)) from error
        if len(upload.content) > self.settings.file_limit_bytes:
            return self.too_large()
        now = self.sandbox.now()
        stored = StoredFile(
            file_id=self.sandbox.new_id(),
            upload=upload,
            created_at=now,
            expires_at=now + self.settings.file_lifetime_s,
        )
        self._files.put(stored)
        return json_response(self._serialize_file(request, stored, faults), 201)

    def _file(self, request: Request, faults: tuple[Fault, ...]) -> HttpResponse:
        stored = self._files.find(request.path_params["file_id"], self.sandbox.now())
        if stored is None:
            raise self.unknown()
        return json_response(self._serialize_file(request, stored, faults))

    def _serialize_file(self, request: Request, stored: StoredFile, faults: tuple[Fault, ...]) -> dict[str, Any]:
        url = self._url(request, f"files/{stored.file_id}")
        return self.distorted(stored.serialize(url, self.sandbox.calendar), faults)

    def _url(self, request: Request, path: str) -> str:
        return f"{origin_of(request)}{PATHS[self.name]}/{path}"
