"""The audit log: one record per tool call, with who called and what it cost; never prompts, URLs or keys."""

import logging
from collections.abc import Mapping

from journey_mcp.core.telemetry import Operation

_log = logging.getLogger("journey_mcp.audit")
_FIELDS = ("caller", "tool", "outcome", "model", "provider", "task_id", "cost", "unit")


class AuditLog:
    """Logs every tool call that ends, at level info."""

    def started(self, operation: Operation) -> None:
        """Do nothing: the end says all."""

    def ended(self, operation: Operation, duration_s: float) -> None:
        """Log a tool call."""
        if operation.kind != "call" or not _log.isEnabledFor(logging.INFO):
            return
        known = {"outcome": operation.outcome, **operation.attributes, "duration_s": round(duration_s, 3)}
        fields = {name: known[name] for name in (*_FIELDS, "duration_s") if name in known}
        _log.info("call %s", " ".join(f"{name}={value}" for name, value in fields.items()), extra={"fields": fields})

    def headers(self) -> Mapping[str, str]:
        """Return none."""
        return {}
