"""Sealing of callers' provider keys: what is stored of a key can be opened with the fleet's secret only."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

_ID_LENGTH = 16


class KeySealer:
    """Cipher for keys: AES-SIV (RFC 5297), which authenticates, and seals equal keys in one context equally.

    A key is bound to its context: whose it is, and where it is sent. In another row or for another address it does not
    open.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Use these secrets of 32 bytes: the first one seals, all of them open."""
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415  # only if a caller has a key

        self._ciphers = [AESSIV(secret) for secret in secrets]

    def seal(self, key: str, context: Sequence[str]) -> str:
        """Return what may be stored of a key."""
        return urlsafe_b64encode(self._ciphers[0].encrypt(key.encode(), _bytes(context))).decode()

    def open(self, sealed: str, context: Sequence[str]) -> str | None:
        """Return the key; `None` if none of the secrets opens it in this context."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # as above

        for cipher in self._ciphers:
            try:
                return cipher.decrypt(urlsafe_b64decode(sealed), _bytes(context)).decode()
            except (InvalidTag, ValueError):
                continue
        return None


def account_id(sealed: str) -> str:
    """Return 16 hexadecimal digits by which the account of a sealed key is known; they say nothing about the key."""
    return sha256(sealed.encode()).hexdigest()[:_ID_LENGTH]


def _bytes(context: Sequence[str]) -> list[bytes]:
    return [part.encode() for part in context]
