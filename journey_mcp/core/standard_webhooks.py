"""Signatures of webhooks by Standard Webhooks (standardwebhooks.com), whoever sends them."""

import base64
import hashlib
import hmac

_PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: what `whsec_<Base64>` encodes; of any other text its bytes.

    Raises:
        ValueError: it begins with `whsec_`, and what follows is no Base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError(f"begins with {_PREFIX}, and what follows is no Base64")
    return key


def signature_of(key: bytes, id_: str, timestamp: str, body: bytes) -> str:
    """The header `webhook-signature`: HMAC-SHA256 of `id.timestamp.body`, in Base64."""
    signed = hmac.new(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"
