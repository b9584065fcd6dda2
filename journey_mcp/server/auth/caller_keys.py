"""Provider keys that callers send in headers, one for each provider: checked, and taken out of the request."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from starlette.types import ASGIApp, Receive, Scope, Send

from journey_mcp.auth.identity import Identity
from journey_mcp.core.provider_keys import CallerKeys, fault_of_callers
from journey_mcp.providers.accounts import CALLER_KEY_HEADER
from journey_mcp.registry import load
from journey_mcp.server.transports.responses import error_response
from journey_mcp.settings import Settings

_BEGINS = CALLER_KEY_HEADER.rstrip("-").encode()
"""Also of a header in which the provider was forgotten."""
_MAX_SHOWN = 80
_BAD_REQUEST = 400
Headers = Sequence[tuple[bytes, bytes]]


class CallerKeyHeaders:
    """ASGI middleware behind authentication that puts the keys of a request into its identity.

    A request whose keys cannot be used is refused: it would be paid by another account than its sender expects.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with an error, or pass the request on without the headers."""
        headers: Headers = scope.get("headers", ())
        given = [(name, value) for name, value in headers if name.lower().startswith(_BEGINS)]
        if scope["type"] != "http" or not given:
            await self._app(scope, receive, send)
            return
        try:
            keys = self._read(given)
        except ValueError as error:
            problem = f"{error} Nothing was sent or charged"
            await error_response(_BAD_REQUEST, problem)(scope, receive, send)
            return
        identity: Identity = scope["state"]["identity"]
        identity = replace(identity, keys=identity.keys.replaced_by(keys))
        others = [header for header in headers if header not in given]
        await self._app({**scope, "headers": others, "state": {**scope["state"], "identity": identity}}, receive, send)

    def _read(self, given: Headers) -> CallerKeys:
        """Return the keys.

        Raises:
            ValueError: says which header is wrong and what is allowed, without a part of a key.
        """
        named = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in given]
        if self._settings.caller_keys == "off":
            first = named[0][0][:_MAX_SHOWN]
            raise ValueError(
                f"This server takes no provider keys of callers, and the request has {first}. Remove it, or ask "
                "the person who runs the server to set JOURNEY_MCP_CALLER_KEYS=on."
            )
        known = load(self._settings.registry).providers
        times = Counter(name for name, _ in named)
        for name, value in named:
            _check(name, value, known, times=times[name])
        return CallerKeys({name.removeprefix(CALLER_KEY_HEADER): value for name, value in named})


def _check(name: str, value: str, known: Mapping[str, object], *, times: int) -> None:
    provider = name.removeprefix(CALLER_KEY_HEADER)
    if provider not in known:
        raise ValueError(f"The header {name[:_MAX_SHOWN]} is for no provider; providers are {', '.join(known)}.")
    if times > 1:
        raise ValueError(f"The header {name} is there {times} times; send it once.")
    if fault := fault_of_callers(value):
        raise ValueError(f"The key in the header {name} {fault}.")
