"""The secret that all servers on one database share: what one of them seals or signs, each of them accepts."""

from dataclasses import dataclass, field
from typing import Literal

_SHORTEST = 32
_MOST = 2
"""The new one and the old one, during a rotation."""
_KEY_BYTES = 32

Purpose = Literal["confirmations", "image links", "keys of callers"]
"""What a key is for; the keys of two purposes say nothing about each other."""


@dataclass(frozen=True, slots=True)
class FleetSecret:
    """One secret, or two during a rotation. It is never shown."""

    values: tuple[str, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "FleetSecret":
        """Parse `SECRET`, or `FIRST,SECOND`.

        Raises:
            ValueError: says what is wrong, without a part of the text.
        """
        values = tuple(part.strip() for part in text.split(","))
        if len(values) > _MOST:
            raise ValueError("must be one secret, or two during a rotation, with a comma between them")
        if any(len(value) < _SHORTEST for value in values):
            raise ValueError(f"each secret must have at least {_SHORTEST} characters; `openssl rand -hex 32` makes one")
        if len(set(values)) < len(values):
            raise ValueError("has the same secret twice")
        return cls(values)

    def keys(self, purpose: Purpose) -> list[bytes]:
        """Return keys of 32 bytes for one purpose: the first one seals and signs, all of them open and verify."""
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  # only if there is a secret
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415  # the same

        info = f"journey-mcp/{purpose}".encode()
        return [HKDF(SHA256(), _KEY_BYTES, salt=None, info=info).derive(value.encode()) for value in self.values]

    def __str__(self) -> str:
        return "(secret)"
