"""Parsing of requests to Replicate and KKIAI, and their validation errors."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from journey_mcp.sandbox.replicate.inputs import ParsedRequest, input_errors, read_request
from journey_mcp.sandbox.replicate.models import MODELS, VERSIONS, Model, extra_model
from journey_mcp.sandbox.replicate.settings import ReplicateSettings
from journey_mcp.sandbox.replicate.variants import Variant

EVENTS = ("start", "logs", "output", "completed")
"""The values of `webhook_events_filter`, in the order of the events."""
SHORTEST_DEADLINE_S = 5
USUAL_WAIT_S = 60
"""The wait of `Prefer: wait` without a number."""

_FIELDS = ("input", "webhook", "webhook_events_filter", "stream")
_WAIT = re.compile(r"wait(?:=([1-9]\d?))?")
_DURATION = re.compile(r"(?=\d)(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s?)?")


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """The receiver of webhooks and their events."""

    url: str
    events: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The limits of a creating request and its prediction, in seconds at speed 1."""

    preference: str | None = None
    """The value of the Prefer header."""
    wait_s: float = 0.0
    """How long the request waits for the output."""
    deadline_s: float | None = None
    """How long after its creation the prediction may run."""


@dataclass(frozen=True, kw_only=True)
class Creation:
    """A validated creating request."""

    model: Model
    input_values: Mapping[str, Any]
    """The input as received."""
    request: ParsedRequest
    timing: Timing
    webhook: Webhook | None


class InvalidError(Exception):
    """An invalid request; the message says why."""


def find_official(name: str, settings: ReplicateSettings) -> Model | None:
    """Return the official model of that name; None if there is none."""
    model = MODELS.get(name)
    if model is None:
        return extra_model(name) if name in settings.extra_models else None
    return model if model.version is None else None


def find_version(version: Any, variant: Variant, settings: ReplicateSettings) -> Model | None:
    """Return the model of a body's `version`: an id, `owner/name:id`, at Replicate also `owner/name`."""
    if not isinstance(version, str):
        return None
    name, _, version_id = version.rpartition(":")
    model = VERSIONS.get(version_id)
    if model is not None and name in ("", model.name):
        return model
    return None if variant.is_gateway else find_official(version, settings)


def read_creation(
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    named: Model | None,
    variant: Variant,
    settings: ReplicateSettings,
) -> Creation:
    """Parse a creating request; if the path names no model, `version` does. Raises InvalidError."""
    model = named or find_version(body.get("version"), variant, settings)
    if model is None:
        raise InvalidError("Invalid version or not permitted: this version does not exist")
    input_values = body.get("input")
    if not isinstance(input_values, dict):
        raise InvalidError("input is required" if input_values is None else "input: Invalid type. Expected: object")
    errors = input_errors(input_values, model, settings)
    if variant.is_gateway:
        # KKIAI documents no further fields and headers: they are ignored, including webhooks
        webhook, timing = None, Timing()
    else:
        unknown = body.keys() - {*_FIELDS, *(() if named else ("version",))}
        errors += [f"Additional property {name} is not allowed" for name in sorted(unknown)]
        errors += _webhook_errors(body, settings)
        timing, timing_errors = _read_timing(headers, settings)
        errors += timing_errors
        webhook = None if errors else _read_webhook(body)
    if errors:
        raise InvalidError("\n".join(f"- {fault}" for fault in errors))
    return Creation(
        model=model,
        input_values=input_values,
        request=read_request(input_values, model),
        timing=timing,
        webhook=webhook,
    )


def accepts_key(header: str | None, settings: ReplicateSettings) -> bool:
    """Return whether an Authorization header is valid. Replicate's older scheme `Token` is not accepted."""
    word, _, key = (header or "").partition(" ")
    return word == "Bearer" and (bool(key) if settings.keys is None else key in settings.keys)


def _webhook_errors(body: Mapping[str, Any], settings: ReplicateSettings) -> list[str]:
    url, events = body.get("webhook"), body.get("webhook_events_filter", [])
    errors = []
    if "webhook" in body and not _is_receiver(url, settings):
        errors.append("webhook: Must be an HTTPS URL")
    if not isinstance(events, list) or any(event not in EVENTS for event in events):
        errors.append(f"webhook_events_filter: Must hold some of {', '.join(EVENTS)}")
    return errors


def _read_webhook(body: Mapping[str, Any]) -> Webhook | None:
    events = tuple(body.get("webhook_events_filter", EVENTS))
    return Webhook(url=body["webhook"], events=events) if "webhook" in body else None


def _is_receiver(url: Any, settings: ReplicateSettings) -> bool:
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that do not match, or a port beyond 65535
        return False
    if not host or port == 0:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and settings.allows_plain_webhooks and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_timing(headers: Mapping[str, str], settings: ReplicateSettings) -> tuple[Timing, list[str]]:
    preference, deadline = headers.get("prefer"), headers.get("cancel-after")
    errors = []
    wait_s, deadline_s = 0, None
    if preference is not None:
        wait_s = _wait_s(preference) or 0
        if not 0 < wait_s <= settings.longest_wait_s:
            errors.append(f"Prefer: Must be wait or wait=N with N from 1 to {settings.longest_wait_s}")
    if deadline is not None:
        deadline_s = _duration_s(deadline)
        if deadline_s is None or deadline_s < SHORTEST_DEADLINE_S:
            errors.append(f"Cancel-After: Must be a duration like 90, 5m or 1h30m, {SHORTEST_DEADLINE_S}s or more")
    return Timing(preference=preference, wait_s=wait_s, deadline_s=deadline_s), errors


def _wait_s(preference: str) -> int | None:
    match = _WAIT.fullmatch(preference)
    return match and int(match[1] or USUAL_WAIT_S)


def _duration_s(written: str) -> int | None:
    match = _DURATION.fullmatch(written)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (hours * 60 + minutes) * 60 + seconds
