"""`serve`, `sandbox` and `specs`: the commands for clients and other programs."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from journey_mcp import sandbox
from journey_mcp.cli.event_loop import run
from journey_mcp.cli.formats import FORMATS, Format
from journey_mcp.cli.terminal import console
from journey_mcp.core.errors import InvalidArguments, SetupError
from journey_mcp.core.limits import NO_PRINCIPAL_LIMITS, PrincipalLimits
from journey_mcp.core.urls import is_loopback
from journey_mcp.handshake.answers import recorded_tools
from journey_mcp.registry import load
from journey_mcp.registry.selection import configured
from journey_mcp.settings import Settings
from journey_mcp.startup import checked_settings, ready_settings

if TYPE_CHECKING:
    from journey_mcp.server.lifespan import StudioOpener
    from journey_mcp.studio.assembly import Listening

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):(\d{1,5})")
_PORTS = range(1, 65536)
_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8000


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


@dataclass(frozen=True, kw_only=True)
class ServeRequest:
    """The options of `serve`."""

    host: str | None = None
    port: int | None = None
    address: str | None = None
    """`HOST:PORT` of `--http`, in place of both."""
    webhooks: str | None = None
    server_url: str | None = None
    trust_proxy: bool = False

    def endpoint(self) -> "Endpoint | None":
        """Return where to serve HTTP; `None` is stdio.

        Raises:
            InvalidArguments: the address is invalid, or given twice.
        """
        if self.address is not None:
            if self.host is not None or self.port is not None:
                raise InvalidArguments("--http is --host and --port in one.", next_step="Leave one of them out.")
            return Endpoint("--http", *parse_address("--http", self.address))
        if self.host is None and self.port is None:
            return None
        return Endpoint("--host", (self.host or _DEFAULT_HOST).strip("[]"), self.port or _DEFAULT_PORT)

    def variables(self) -> dict[str, str]:
        """Return the settings that the options replace, by variable."""
        given = {"JOURNEY_MCP_SERVER_URL": self.server_url, "JOURNEY_MCP_TRUST_PROXY": "on" * self.trust_proxy}
        return {name: value for name, value in given.items() if value}

    @property
    def http_only(self) -> dict[str, bool]:
        """The options that have a meaning over HTTP only, and whether each is given."""
        return {"--server-url": self.server_url is not None, "--trust-proxy": self.trust_proxy}


class Endpoint(NamedTuple):
    """Where HTTP is served, and the option that says so."""

    option: str
    host: str
    port: int


def serve(request: ServeRequest) -> None:
    """Serve MCP on stdio, or over HTTP; receive providers' webhooks at another address.

    Raises:
        InvalidArguments: an address is invalid, both use the same port, or an option is for HTTP only.
        SetupError: a setting is invalid or missing, or listening on an address is not allowed or fails.
    """
    endpoint = request.endpoint()
    if request.webhooks is not None:
        _check_ports(request.webhooks, endpoint)
    if endpoint is None:
        _serve_stdio(request)
        return
    from journey_mcp.auth.access import access_of  # noqa: PLC0415  # neither the sandbox nor specs needs a server
    from journey_mcp.server.transports import http  # noqa: PLC0415  # the same

    settings = checked_settings(request.variables())
    access = access_of(settings)
    opener = _opener(settings, request.webhooks, access.limits if access else None)
    listeners = http.bind(*endpoint, has_authentication=access is not None)
    _announce_server(settings, endpoint)
    if access is not None and settings.sandbox == "auto" and not configured(settings, load(settings.registry)):
        console.info("No provider has a key: a sandbox draws test images, and /readyz answers 503 (no_provider).")
    if settings.save_dir is not None:
        console.info("JOURNEY_MCP_SAVE_DIR has no effect over HTTP: clients do not see the folders of this machine.")
    http.serve(settings, listeners, opener, access)


def _announce_server(settings: Settings, endpoint: Endpoint) -> None:
    """Say where MCP is served, and which URL clients can use."""
    url = settings.endpoint_url or f"{_url(endpoint.host, endpoint.port)}/mcp"
    if settings.endpoint_url or is_loopback(endpoint.host):
        console.info(f"Serving MCP at {url}: give this URL to clients. Ctrl-C stops it.")
        return
    console.info(f"Serving MCP at {url}. Ctrl-C stops it.")
    if not settings.allowed_hosts.named:
        console.info(
            "Clients on other machines are rejected until --server-url is the URL that they use, or "
            "JOURNEY_MCP_ALLOWED_HOSTS has its host."
        )


def _serve_stdio(request: ServeRequest) -> None:
    if given := [name for name, is_given in request.http_only.items() if is_given]:
        raise InvalidArguments(f"{given[0]} is for HTTP only.", next_step="Add --host or --port, or leave it out.")
    from journey_mcp.handshake.client_connection import ClientConnection  # noqa: PLC0415  # neither the sandbox nor specs needs a server

    client = ClientConnection(os.environ)
    client.start()
    from journey_mcp.server.transports import stdio  # noqa: PLC0415  # the same

    if code := stdio.serve(client, partial(_prepared, request)):
        sys.exit(code)


def _check_ports(webhooks: str, endpoint: Endpoint | None) -> None:
    _, port = parse_address("--webhooks", webhooks)
    if endpoint is not None and endpoint.port == port:
        raise InvalidArguments(
            f"--webhooks {webhooks}: port {port} is for MCP only.",
            next_step="Use another port, and let the public address lead to it.",
        )


def _prepared(request: ServeRequest) -> "tuple[Settings, StudioOpener | None]":
    settings = checked_settings(request.variables())
    return settings, _opener(settings, request.webhooks, None)


def _opener(settings: Settings, webhooks: str | None, principals: PrincipalLimits | None) -> "StudioOpener | None":
    """Return what opens a studio with webhooks at this address and these limits; `None` if there are neither."""
    if webhooks is None and principals is None:
        return None
    from journey_mcp.studio import open_studio  # noqa: PLC0415  # otherwise it is imported after the first answer

    listening = _listening(settings, webhooks) if webhooks is not None else None
    return partial(open_studio, listening=listening, principals=principals or NO_PRINCIPAL_LIMITS)


def _listening(settings: Settings, address: str) -> "Listening":
    """Return what receives webhooks at this address; the port is bound at once."""
    from journey_mcp.server.transports.webhooks import bind, listening_at  # noqa: PLC0415  # only with webhooks

    host, port = parse_address("--webhooks", address)
    if settings.public_url is None:
        raise SetupError(
            "--webhooks needs the public address that leads to it.",
            next_step=f"Set JOURNEY_MCP_PUBLIC_URL to an https:// address that leads to {address}.",
        )
    listener = bind(host, port)
    console.info(f"Receiving providers' webhooks at {_url(host, port)}; {settings.public_url} must lead there.")
    return listening_at(listener)


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
