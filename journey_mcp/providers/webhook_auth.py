"""Whether a webhook is genuine: the proofs that providers send along, all compared in constant time."""

import base64
import hashlib
import hmac
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio

from journey_mcp.core.errors import UpstreamError
from journey_mcp.core.standard_webhooks import signature_of
from journey_mcp.providers.base import WebhookDelivery

_TOLERANCE_S = 300
"""How far the time of a signature may be from ours: Standard Webhooks leaves it to the receiver."""
_SECONDS = re.compile(r"[0-9]{1,12}")
_AGAIN_S = 60.0
"""A key may be changed at any time, and a forger may send what no key fits: it is not asked for more often."""
_UNTIL_KNOWN_S = 5.0
"""The same while there is no key at all, and nothing can be told from a forgery."""


def is_secret(told: str, secret: str) -> bool:
    """What was told is the secret itself."""
    return bool(secret) and _is_equal(told, secret)


def is_hex_signature(told: str, secret: str, body: bytes) -> bool:
    """The header is `sha256=` and the HMAC-SHA256 of the body in hex."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return bool(secret) and _is_equal(told.lower(), f"sha256={signature}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedMessage:
    """A message that may be signed."""

    id: str
    timestamp: str
    body: bytes
    signatures: tuple[str, ...]
    """Any of them is enough: while a key is being changed there are two."""

    def is_signed_with(self, key: bytes) -> bool:
        """Whether one of the signatures is of this key."""
        signature = signature_of(key, self.id, self.timestamp, self.body)
        return any([_is_equal(told, signature) for told in self.signatures])  # noqa: C419  # no early end


def read_signed(delivery: WebhookDelivery) -> SignedMessage | None:
    """What is signed, and how; `None` when no key could make it genuine: without a signature, or not of now."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    id_, timestamp, told = (delivery.headers.get(name, "") for name in names)
    signatures = tuple(signature for signature in told.split(" ") if signature.startswith("v1,"))
    if not (signatures and id_ and id_.isascii() and _SECONDS.fullmatch(timestamp)):
        return None
    if abs(delivery.at - int(timestamp)) > _TOLERANCE_S:
        return None
    return SignedMessage(id=id_, timestamp=timestamp, body=delivery.body, signatures=signatures)


def read_signing_key(told: Any) -> bytes | None:
    """The key in `whsec_<base64>`; `None` for anything else."""
    if not isinstance(told, str):
        return None
    try:
        return base64.b64decode(told.partition("_")[2], validate=True) or None
    except ValueError:
        return None


class SigningKey:
    """What an account's webhooks are signed with: asked for when it is first needed, and then kept."""

    def __init__(self, ask: Callable[[], Awaitable[bytes]]) -> None:
        self._ask = ask
        self._key: bytes | None = None
        self._asked_at = -math.inf
        self._asking = anyio.Lock()

    async def has_signed(self, message: SignedMessage, at: float) -> bool:
        """Whether it signed a message that came at this time. One that does not fit may tell of a new key.

        Raises:
            UpstreamError: there is no key, and it was asked for a moment ago; also what asking raises.
        """
        if self._fits(message):
            return True
        async with self._asking:
            # another delivery may have asked meanwhile
            if not self._fits(message):
                # the clock may be set back
                if abs(at - self._asked_at) >= (_UNTIL_KNOWN_S if self._key is None else _AGAIN_S):
                    self._asked_at = at
                    self._key = await self._ask()
                elif self._key is None:
                    raise UpstreamError("What webhooks are signed with could not be learned a moment ago.")
        return self._fits(message)

    def _fits(self, message: SignedMessage) -> bool:
        return self._key is not None and message.is_signed_with(self._key)


def _is_equal(told: str, expected: str) -> bool:
    # as bytes: text is compared only where it is ASCII, and a header may hold anything
    return hmac.compare_digest(told.encode("utf-8", "surrogatepass"), expected.encode())
