"""The audit log: one record per tool call, upload and reading of an image, with who sent it and what it cost.

Never prompts, URLs or keys.
"""

import logging
from collections.abc import Mapping

from journey_mcp.core.telemetry import Operation

_log = logging.getLogger("journey_mcp.audit")
_KINDS = {"call", "upload", "read"}
_FIELDS = ("caller", "tool", "outcome", "model", "provider", "task_id", "image_id", "bytes", "cost", "unit")


class AuditLog:
    """Log of operations: each of them when it ends, at level info."""

    def started(self, operation: Operation) -> None:
        """Do nothing: the end says all."""

    def ended(self, operation: Operation, duration_s: float) -> None:
        """Log a request of a client."""
        if operation.kind not in _KINDS or not _log.isEnabledFor(logging.INFO):
            return
        known = {"outcome": operation.outcome, **operation.attributes, "duration_s": round(duration_s, 3)}
        fields = {name: known[name] for name in (*_FIELDS, "duration_s") if name in known}
        text = " ".join(f"{name}={value}" for name, value in fields.items())
        _log.info("%s %s", operation.kind, text, extra={"fields": {"kind": operation.kind, **fields}})

    def headers(self) -> Mapping[str, str]:
        """Return none."""
        return {}
