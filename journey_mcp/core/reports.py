"""Reports: an exception that our code did not expect is logged under an id, and callers get only the id."""

import logging
import secrets

from journey_mcp.core.errors import InternalError

_log = logging.getLogger(__name__)


def report(what_failed: str, error: Exception) -> str:
    """Log the exception; return the id of its record."""
    report_id = secrets.token_hex(4)
    _log.error("%s (report %s)", what_failed, report_id, exc_info=error)
    return report_id


def internal_error(what_failed: str, error: Exception) -> InternalError:
    """Log the exception at the outermost boundary of a call; return the error for its caller."""
    return InternalError(f"journey-mcp failed; report id {report(what_failed, error)}.")
