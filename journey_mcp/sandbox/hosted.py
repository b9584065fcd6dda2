"""Images that the process of the sandbox hosts at it: those of earlier sandboxes, whose links ended with them."""

import secrets
from collections import OrderedDict

KEPT_BYTES = 64 * 1024 * 1024


class HostedImages:
    """The latest images, in memory."""

    def __init__(self, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._images: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = kept_bytes

    def add(self, content: bytes) -> str:
        """Host an image; return its name, which cannot be guessed."""
        name = secrets.token_hex(16)
        self._images[name] = content
        while len(self._images) > 1 and sum(map(len, self._images.values())) > self._kept_bytes:
            self._images.popitem(last=False)
        return name

    def find(self, name: str) -> bytes | None:
        """Return an image; None if it is unknown, or was dropped."""
        return self._images.get(name)
