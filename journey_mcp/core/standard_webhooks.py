"""Webhook signatures of Standard Webhooks (standardwebhooks.com), inbound and outbound."""

import base64
import hashlib
import hmac

_PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """Return the signing key of a secret: the decoded part of `whsec_<Base64>`, or the bytes of any other text.

    Raises:
        ValueError: the secret begins with `whsec_` and the rest is not Base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError(f"begins with {_PREFIX}, and the rest is not Base64")
    return key


def signature_of(key: bytes, id_: str, timestamp: str, body: bytes) -> str:
    """Return the header `webhook-signature`: HMAC-SHA256 of `id.timestamp.body`, in Base64."""
    signed = hmac.new(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"
