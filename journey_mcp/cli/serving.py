"""`serve`, `sandbox` and `specs`: the commands for clients and other programs."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from journey_mcp import sandbox
from journey_mcp.cli import console
from journey_mcp.cli.event_loop import run
from journey_mcp.cli.formats import FORMATS, Format
from journey_mcp.core.errors import InvalidArguments, SetupError
from journey_mcp.handshake.answers import recorded_tools
from journey_mcp.registry import load
from journey_mcp.settings import Settings
from journey_mcp.startup import checked_settings, ready_settings

if TYPE_CHECKING:
    from journey_mcp.server.lifespan import StudioOpener

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):(\d{1,5})")
_PORTS = range(1, 65536)


@dataclass(frozen=True, kw_only=True)
class SandboxRequest:
    """The options of the sandbox."""

    port: int
    speed: float
    seed: int | None
    faults: Sequence[str]
    credits: float
    plan: Literal["basic", "starter", "growth", "enterprise"]
    edit_without_image: Literal["strict", "lenient"]
    sync_answer: Literal["finished", "task_id"]
    unknown_task: Literal["400", "404", "empty"]


def serve(address: str | None, webhooks: str | None = None) -> None:
    """Serve MCP on stdio, or over HTTP on a local address; receive providers' webhooks on another.

    Raises:
        InvalidArguments: an address is invalid, or both use the same port.
        SetupError: a setting is invalid or missing, or listening on an address is not allowed or fails.
    """
    if webhooks is not None:
        _check_ports(webhooks, address)
    if address is None:
        from journey_mcp.handshake.front import Front  # noqa: PLC0415  # neither the sandbox nor specs needs a server

        front = Front(os.environ)
        front.start()
        from journey_mcp.server.transports import stdio  # noqa: PLC0415  # the same

        if code := stdio.serve(front, partial(_prepared, webhooks)):
            sys.exit(code)
        return
    from journey_mcp.server.transports import http  # noqa: PLC0415  # the same

    settings, opener = _prepared(webhooks)

    host, port = parse_address("--http", address)
    listeners = http.bind(host, port)
    console.info(f"Serving MCP at {_url(host, port)}/mcp: give this URL to clients. Ctrl-C stops it.")
    http.serve(settings, listeners, opener)


def _check_ports(webhooks: str, address: str | None) -> None:
    _, port = parse_address("--webhooks", webhooks)
    if address is not None and parse_address("--http", address)[1] == port:
        raise InvalidArguments(
            f"--webhooks {webhooks}: the port of --http is for MCP only.",
            next_step="Use another port, and let the public address lead to it.",
        )


def _prepared(webhooks: str | None) -> "tuple[Settings, StudioOpener | None]":
    settings = checked_settings()
    return settings, _webhook_opener(settings, webhooks) if webhooks is not None else None


def _webhook_opener(settings: Settings, address: str) -> "StudioOpener":
    """Return what opens a studio with webhooks on this address; the port is bound at once."""
    from journey_mcp.server.transports.webhooks import bind, listening_at  # noqa: PLC0415  # only with webhooks
    from journey_mcp.studio import open_studio  # noqa: PLC0415

    host, port = parse_address("--webhooks", address)
    if settings.public_url is None:
        raise SetupError(
            "--webhooks needs the public address that leads to it.",
            next_step=f"Set JOURNEY_MCP_PUBLIC_URL to an https:// address that leads to {address}.",
        )
    listener = bind(host, port)
    console.info(f"Receiving providers' webhooks at {_url(host, port)}; {settings.public_url} must lead there.")
    return partial(open_studio, listening=listening_at(listener))


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def parse_address(option: str, text: str) -> tuple[str, int]:
    """Parse the `HOST:PORT` of an option. An IPv6 host is in brackets, and is returned without them.

    Raises:
        InvalidArguments: it has another form.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match[2]) not in _PORTS:
        raise InvalidArguments(
            f"{option} {text!r} is not an address.",
            next_step="Give HOST:PORT, as in 127.0.0.1:8000 or [::1]:8000.",
        )
    return match[1].strip("[]"), int(match[2])


def serve_sandbox(request: SandboxRequest) -> None:
    """Run a sandbox until Ctrl-C.

    Raises:
        InvalidArguments: a fault is invalid.
        SetupError: the port cannot be bound.
    """
    try:
        run(_serve_sandbox, _sandbox_settings(request), request.port)
    except KeyboardInterrupt:
        # only if asyncio has no signal handlers; otherwise the sandbox ends by itself
        pass
    except OSError as error:
        raise SetupError(
            f"127.0.0.1:{request.port} cannot be listened on: {os.strerror(error.errno or 0)}.",
            next_step="Choose another --port; 0 picks a free one.",
        ) from error


def specs(form: Format) -> None:
    """Print the tool definitions in the format of a model API."""
    from journey_mcp.tools.gallery import is_for_models  # noqa: PLC0415  # not for the sandbox
    from journey_mcp.tools.tool_set import read_tool_set  # noqa: PLC0415  # not for the sandbox

    settings = ready_settings()
    tools = recorded_tools(os.environ) or read_tool_set(settings).tools
    console.result_json(FORMATS[form]([tool for tool in tools if is_for_models(tool)]))


async def _serve_sandbox(settings: sandbox.Settings, port: int) -> None:
    await sandbox.serve(settings, port=port, on_ready=_announce)


def _announce(running: sandbox.Running) -> None:
    console.info(f"The sandbox runs at {running.origin} until Ctrl-C. To use it, set one or more of:")
    providers = load().providers
    for name, base_url in running.base_urls.items():
        facts = providers[name]
        console.result(f"export {facts.key_variable}=anything {facts.base_url_variable}={base_url}")


def _sandbox_settings(request: SandboxRequest) -> sandbox.Settings:
    try:
        faults = tuple(sandbox.Fault.parse(text) for text in request.faults)
    except ValueError as error:
        raise InvalidArguments(f"--fault: {error}", next_step="See docs/sandbox.md for all faults.") from error
    fake = sandbox.JourneyApiSettings(
        credits=request.credits,
        plan=request.plan,
        edit_without_image=request.edit_without_image,
        sync_answer=request.sync_answer,
        unknown_task=request.unknown_task,
    )
    return sandbox.Settings(speed=request.speed, seed=request.seed, faults=faults, journeyapi=fake)
