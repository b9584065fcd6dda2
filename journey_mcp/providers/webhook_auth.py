"""Verification of webhooks: secrets and signatures of providers, all compared in constant time."""

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
"""How far the time of a signature may be from ours; Standard Webhooks leaves it to the receiver."""
_SECONDS = re.compile(r"[0-9]{1,12}")
_REFRESH_S = 60.0
"""The shortest time between two requests for the key: it may change at any time, and a forger may send anything."""
_FIRST_KEY_S = 5.0
"""The same while no key is known, so that no webhook can be verified."""


def is_secret(given: str, secret: str) -> bool:
    """Return whether the given text is the secret itself."""
    return bool(secret) and _is_equal(given, secret)


def is_hex_signature(given: str, secret: str, body: bytes) -> bool:
    """Return whether the header is `sha256=` and the HMAC-SHA256 of the body in hex."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return bool(secret) and _is_equal(given.lower(), f"sha256={signature}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedMessage:
    """A message that may be signed."""

    id: str
    timestamp: str
    body: bytes
    signatures: tuple[str, ...]
    """One valid signature is enough; there are two while a key is being changed."""

    def is_signed_with(self, key: bytes) -> bool:
        """Return whether one of the signatures is of this key."""
        signature = signature_of(key, self.id, self.timestamp, self.body)
        return any([_is_equal(given, signature) for given in self.signatures])  # noqa: C419  # no early end


def read_signed(delivery: WebhookDelivery) -> SignedMessage | None:
    """Return the signed message; `None` when no key could verify it: without a signature, or not of this time."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    id_, timestamp, listed = (delivery.headers.get(name, "") for name in names)
    signatures = tuple(signature for signature in listed.split(" ") if signature.startswith("v1,"))
    if not (signatures and id_ and id_.isascii() and _SECONDS.fullmatch(timestamp)):
        return None
    if abs(delivery.at - int(timestamp)) > _TOLERANCE_S:
        return None
    return SignedMessage(id=id_, timestamp=timestamp, body=delivery.body, signatures=signatures)


def read_signing_key(given: Any) -> bytes | None:
    """Return the key in `whsec_<base64>`; `None` for anything else."""
    if not isinstance(given, str):
        return None
    try:
        return base64.b64decode(given.partition("_")[2], validate=True) or None
    except ValueError:
        return None


class SigningKey:
    """The key that signs the webhooks of an account: fetched when it is first needed, and then kept."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]]) -> None:
        self._fetch = fetch
        self._key: bytes | None = None
        self._fetched_at = -math.inf
        self._fetching = anyio.Lock()

    async def has_signed(self, message: SignedMessage, at: float) -> bool:
        """Return whether the key signed a message that arrived at this time; fetch it again if it did not.

        Raises:
            UpstreamError: no key is known, and it was requested a moment ago; also the errors of the request.
        """
        if self._fits(message):
            return True
        async with self._fetching:
            # another delivery may have fetched it meanwhile
            if not self._fits(message):
                # the clock may be set back
                if abs(at - self._fetched_at) >= (_FIRST_KEY_S if self._key is None else _REFRESH_S):
                    self._fetched_at = at
                    self._key = await self._fetch()
                elif self._key is None:
                    raise UpstreamError("The signing key of webhooks could not be fetched a moment ago.")
        return self._fits(message)

    def _fits(self, message: SignedMessage) -> bool:
        return self._key is not None and message.is_signed_with(self._key)


def _is_equal(given: str, expected: str) -> bool:
    # as bytes: `compare_digest` takes text only if it is ASCII, and a header may hold anything
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
