"""Signed, expiring links to stored images: `<server URL>/images/<file name>?e=<expiry>&s=<signature>`.

A link is a right to read one image, for anyone who has it. It names no principal.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from journey_mcp.core.images import ImageId, PublicLink, UploadId

PATH = "/images"
_FILE_NAME = re.compile(r"(?P<id>tsk_[A-Za-z0-9_-]{22}\.[1-9]\d{0,2}|up_[A-Za-z0-9_-]{22})\.[a-z]{3,4}", re.ASCII)
_EXPIRY = re.compile(r"[1-9]\d{0,11}", re.ASCII)
_SIGNATURE_LENGTH = 32
"""Hexadecimal digits: 128 bits."""
_HOUR_S = 3600
_DAY_H = 24


class ImageLinks:
    """Signer and verifier of links. Without a base URL there are none.

    The first key signs; all of them verify, so that a new key can be put before the old one.
    """

    def __init__(self, keys: Sequence[bytes], base_url: str | None) -> None:
        self._keys = tuple(keys)
        self.base_url = base_url.rstrip("/") if base_url else None

    def for_a_day(self, file_name: str, *, now: float) -> PublicLink | None:
        """Return a link that works for 23 to 24 hours; the same one within an hour, so that caches keep the image."""
        return self._link(file_name, (int(now) // _HOUR_S + _DAY_H) * _HOUR_S)

    def for_an_hour(self, file_name: str, *, now: float) -> PublicLink | None:
        """Return a link for a provider, which reads the image when its task begins."""
        return self._link(file_name, int(now) + _HOUR_S)

    def verify(self, file_name: str, expiry: str, signature: str, *, now: float) -> float | None:
        """Return when a link expires; `None` if it is not one of ours, or has expired."""
        if not (_FILE_NAME.fullmatch(file_name) and _EXPIRY.fullmatch(expiry) and signature.isascii()):
            return None
        # every key is tried, so that the time does not tell which one fits
        is_ours = [hmac.compare_digest(_signature(key, file_name, expiry), signature) for key in self._keys]
        return float(expiry) if any(is_ours) and float(expiry) > now else None

    def image_of(self, url: str) -> ImageId | UploadId | None:
        """Return the image that a link of this server names, expired or not; `None` for other URLs."""
        if self.base_url is None:
            return None
        ours, given = urlsplit(f"{self.base_url}{PATH}/"), urlsplit(url)
        if (given.scheme, given.netloc) != (ours.scheme, ours.netloc) or not given.path.startswith(ours.path):
            return None
        named = _FILE_NAME.fullmatch(given.path.removeprefix(ours.path))
        return (ImageId.parse(named["id"]) or UploadId.parse(named["id"])) if named else None

    def _link(self, file_name: str, expires_at: int) -> PublicLink | None:
        if self.base_url is None:
            return None
        signature = _signature(self._keys[0], file_name, str(expires_at))
        return PublicLink(f"{self.base_url}{PATH}/{file_name}?e={expires_at}&s={signature}", float(expires_at))


def _signature(key: bytes, file_name: str, expiry: str) -> str:
    signed = f"{PATH}/{file_name}?e={expiry}"
    return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()[:_SIGNATURE_LENGTH]
