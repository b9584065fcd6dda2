"""Webhooks of Replicate: their events, bodies and signatures.

The signature is Svix's scheme with its headers' names without the `svix-` prefix.
"""

import base64
import hashlib
import hmac
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from journey_mcp.sandbox.clock import wait_until
from journey_mcp.sandbox.faults import Fault, find
from journey_mcp.sandbox.replicate.predictions import Prediction
from journey_mcp.sandbox.replicate.requests import EVENTS, Webhook
from journey_mcp.sandbox.replicate.serializers import Serializer
from journey_mcp.sandbox.replicate.settings import ReplicateSettings
from journey_mcp.sandbox.responses import corrupt, json_response
from journey_mcp.sandbox.state import Sandbox
from journey_mcp.sandbox.webhooks import Delivery

Distort = Callable[[Mapping[str, Any], Iterable[Fault]], dict[str, Any]]


def sign(secret: str, message_id: str, timestamp: int, content: bytes) -> str:
    """Return the `webhook-signature` of a message; `secret` reads `whsec_<base64>`."""
    key = base64.b64decode(secret.partition("_")[2])
    signed = f"{message_id}.{timestamp}.".encode() + content
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@dataclass(frozen=True, kw_only=True)
class WebhookSender:
    """Sender of the webhooks of predictions."""

    sandbox: Sandbox
    settings: ReplicateSettings
    serializer: Serializer
    distort: Distort
    """Applies the changes of faults to a prediction object."""

    async def follow(self, task_id: str, webhook: Webhook) -> None:
        """Send the requested events of one prediction to its receiver, until it has ended."""
        for event in EVENTS:
            prediction = await self._wait_for(task_id, event)
            body = self._body(prediction, event) if prediction and event in webhook.events else None
            if prediction and body:
                await self._send(prediction, event, webhook.url, body)

    async def _wait_for(self, task_id: str, event: str) -> Prediction | None:
        """Wait until the prediction has reached an event and return it; None if it was dropped."""
        while isinstance(prediction := self.sandbox.tasks.find(task_id), Prediction):
            now = self.sandbox.now()
            if prediction.is_over(now) or (event in ("start", "logs") and now >= prediction.starts_at):
                return prediction
            # a held or canceled prediction is replaced by another value
            due = [time for time in (prediction.starts_at, prediction.ends_at) if time > now]
            await self.sandbox.tasks.wait_for_change(min(due, default=math.inf) - now)
        return None

    def _body(self, prediction: Prediction, event: str) -> dict[str, Any] | None:
        """Return the body of an event; None if the event does not occur."""
        if event == "completed":
            return self.serializer.serialize(prediction, prediction.ends_at)
        if event == "output":
            return self.serializer.serialize_with_output(prediction) if prediction.has_result else None
        if prediction.ends_at < prediction.starts_at:
            return None
        return self.serializer.serialize(replace(prediction, is_held=True), prediction.starts_at)

    async def _send(self, prediction: Prediction, event: str, url: str, body: dict[str, Any]) -> None:
        faults = self.sandbox.faults.take("replicate/webhook")
        if find(faults, "lost"):
            return
        response = corrupt(json_response(self.distort(body, faults)), faults, {})
        delivery = Delivery(
            task_id=prediction.task_id,
            url=url,
            content=response.content,
            headers={"Content-Type": "application/json", **self._signature(response.content)},
        )
        await wait_until(self.sandbox.settings.clock, self.sandbox.now() + response.delay_s)
        # by the only source, only the last event is retried
        policy = self.settings.webhooks
        policy = policy if event == "completed" else replace(policy, retry_gaps_s=())
        for _ in range(2 if find(faults, "duplicate") else 1):
            await self.sandbox.deliveries.deliver(delivery, policy)

    def _signature(self, content: bytes) -> dict[str, str]:
        message_id = f"msg_{self.sandbox.new_id()}"
        timestamp = int(self.serializer.calendar.unix(self.sandbox.now()))
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self.settings.webhook_secret, message_id, timestamp, content),
        }
