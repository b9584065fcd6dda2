"""What a caller's webhook is sent besides the result: proof that it comes from this server, by Standard Webhooks."""

from journey_mcp.core.errors import InvalidWebhook
from journey_mcp.core.standard_webhooks import key_of, signature_of
from journey_mcp.net.address_policy import origin_of
from journey_mcp.settings import Settings

ORIGINS_SETTING, SECRET_ORIGINS_SETTING = "JOURNEY_MCP_WEBHOOK_ORIGINS", "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS"


class WebhookPolicy:
    """Which webhooks may be called, and how they know who calls."""

    def __init__(self, settings: Settings) -> None:
        self.origins = settings.webhook_origins
        """The only ones that may be called; any, if there are none."""
        self._secret_origins = settings.webhook_secret_origins
        self._secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None

    def check(self, url: str) -> None:
        """Refuse a webhook of an origin that may not be called.

        Raises:
            InvalidWebhook: names those that may.
            FetchError: the address cannot be read.
        """
        if self.origins and origin_of(url) not in self.origins:
            allowed = ", ".join(map(str, self.origins))
            raise InvalidWebhook(
                f"webhook_url: this server calls webhooks at {allowed} only ({ORIGINS_SETTING}).",
                next_step="Give an address there, or leave webhook_url out. Nothing was sent and nothing was charged.",
            )

    def headers(self, task_id: str, url: str, body: bytes, at: float) -> dict[str, str]:
        """The headers of one try at telling a task's end: the same id in every try, and the time of this one.

        Raises:
            FetchError: the address cannot be read.
        """
        id_, timestamp = f"msg_{task_id.removeprefix('tsk_')}", str(int(at))
        headers = {"content-type": "application/json", "webhook-id": id_, "webhook-timestamp": timestamp}
        if self._secret is None:
            return headers
        headers["webhook-signature"] = signature_of(key_of(self._secret), id_, timestamp, body)
        return {**headers, "x-webhook-secret": self._secret} if origin_of(url) in self._secret_origins else headers
