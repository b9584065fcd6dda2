"""Uploads at Replicate: parsing and storage until they expire."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from journey_mcp.sandbox.dates import Calendar
from journey_mcp.sandbox.replicate.requests import InvalidError

KEPT_BYTES = 256 * 1024 * 1024
_FIELDS = {"content", "filename", "type", "metadata"}


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An upload as the client sends it."""

    content: bytes
    content_type: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A stored upload."""

    file_id: str
    upload: Upload
    created_at: float
    """By the sandbox's clock, like `expires_at`."""
    expires_at: float

    def serialize(self, url: str, calendar: Calendar) -> dict[str, Any]:
        """Return the file object; `url` is its address."""
        content = self.upload.content
        return {
            "id": self.file_id,
            "content_type": self.upload.content_type,
            "size": len(content),
            "checksums": {"sha256": hashlib.sha256(content).hexdigest()},
            "metadata": self.upload.metadata,
            "created_at": calendar.iso(self.created_at),
            "expires_at": calendar.iso(self.expires_at),
            "urls": {"get": url},
        }


class Files:
    """The stored uploads; the oldest are dropped if they are too large together."""

    def __init__(self, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._files: OrderedDict[str, StoredFile] = OrderedDict()
        self._kept_bytes = kept_bytes

    def put(self, stored: StoredFile) -> None:
        """Store a file."""
        self._files[stored.file_id] = stored
        while sum(len(kept.upload.content) for kept in self._files.values()) > self._kept_bytes:
            self._files.popitem(last=False)

    def find(self, file_id: str, now: float) -> StoredFile | None:
        """Return a file; None for an unknown or expired one."""
        stored = self._files.get(file_id)
        return stored if stored and now < stored.expires_at else None


def read_upload(content: bytes, content_type: str) -> Upload:
    """Parse a multipart body. Raises InvalidError."""
    parts = _parts(content, content_type)
    if unknown := parts.keys() - _FIELDS:
        raise InvalidError(f"Additional property {', '.join(sorted(unknown))} is not allowed")
    if "content" not in parts:
        raise InvalidError("content is required, in a body of multipart/form-data")
    given_type = _payload(parts["type"]).decode(errors="replace") if "type" in parts else None
    return Upload(
        content=_payload(parts["content"]),
        content_type=given_type or parts["content"].get_content_type(),
        metadata=_metadata(_payload(parts["metadata"])) if "metadata" in parts else {},
    )


def _parts(content: bytes, content_type: str) -> dict[str, EmailMessage]:
    """Return the parts by form field."""
    # starlette parses forms with a library that is not a dependency of ours; e-mail has the same format
    head = f"Content-Type: {content_type}\r\n\r\n".encode(errors="replace")
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + content)
    parts = [part for part in message.iter_parts() if isinstance(part, EmailMessage)]
    return {str(part.get_param("name", "", "content-disposition")): part for part in parts}


def _payload(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _metadata(content: bytes) -> dict[str, Any]:
    try:
        metadata = json.loads(content)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise InvalidError("metadata: Must be a JSON object")
    return metadata
