"""Policy of outbound webhooks: which may be called, and the signature by which they know the caller."""

from journey_mcp.core.errors import InvalidWebhook
from journey_mcp.core.standard_webhooks import key_of, signature_of
from journey_mcp.net.address_policy import origin_of
from journey_mcp.settings import Settings

ORIGINS_SETTING, SECRET_ORIGINS_SETTING = "JOURNEY_MCP_WEBHOOK_ORIGINS", "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS"


class WebhookPolicy:
    """Which webhooks may be called, and how their requests are signed (Standard Webhooks)."""

    def __init__(self, settings: Settings) -> None:
        self.origins = settings.webhook_origins
        """The only origins that may be called; all, if there are none."""
        self._secret_origins = settings.webhook_secret_origins
        self._secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None

    def check(self, url: str) -> None:
        """Refuse a webhook of an origin that is not allowed.

        Raises:
            InvalidWebhook: names the origins that are allowed.
            FetchError: the URL cannot be parsed.
        """
        if self.origins and origin_of(url) not in self.origins:
            allowed = ", ".join(map(str, self.origins))
            raise InvalidWebhook(
                f"webhook_url: this server calls webhooks at {allowed} only ({ORIGINS_SETTING}).",
                next_step="Give a URL there, or omit webhook_url. Nothing was sent or charged.",
            )

    def headers(self, task_id: str, url: str, body: bytes, at: float) -> dict[str, str]:
        """Return the headers of one try: the same id in every try of a task, and the time of this one.

        Raises:
            FetchError: the URL cannot be parsed.
        """
        id_, timestamp = f"msg_{task_id.removeprefix('tsk_')}", str(int(at))
        headers = {"content-type": "application/json", "webhook-id": id_, "webhook-timestamp": timestamp}
        if self._secret is None:
            return headers
        headers["webhook-signature"] = signature_of(key_of(self._secret), id_, timestamp, body)
        return {**headers, "x-webhook-secret": self._secret} if origin_of(url) in self._secret_origins else headers
