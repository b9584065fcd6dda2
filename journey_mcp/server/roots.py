"""The folders in which a client's user works (`roots/list`), requested when a path is in no other allowed folder.

Only for clients on this machine, because paths of another machine mean other files. In revision 2026-07-28 a result
requests the roots as input, and no notification reports a change.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server import ServerRequestContext
from pydantic import ValidationError

if TYPE_CHECKING:
    from journey_mcp.studio.image_sources import Roots

_TIMEOUT_S = 1.0
"""How long a call waits for a client that does not respond."""
_CACHE_S = 60.0
_MAX_ROOTS = 64
_KEY = "roots"


class ClientRoots:
    """The roots of the one client of this process, cached."""

    def __init__(self) -> None:
        self._folders: Sequence[Path] = ()
        self._expires_at = 0.0

    def forget(self) -> None:
        """Drop the cached roots after a change: the next call that needs them requests them again."""
        self._expires_at = 0.0

    def for_call(self, ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> "Roots | None":
        """Return what requests roots through this call's client, or `None` when the client declares no roots."""
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.roots is None:
            return None

        async def folders() -> Sequence[Path]:
            if anyio.current_time() >= self._expires_at:
                self._folders = await self._request_roots(ctx, params)
                self._expires_at = anyio.current_time() + _CACHE_S
            return self._folders

        return folders

    async def _request_roots(
        self, ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> Sequence[Path]:
        from journey_mcp.server.elicitation import MULTI_ROUND_TRIP_SINCE, Elicited  # noqa: PLC0415  # not before the first answer

        if ctx.protocol_version < MULTI_ROUND_TRIP_SINCE:
            return await _send_request(ctx)
        answers = params.input_responses
        if answers is None:
            raise Elicited(types.InputRequiredResult(input_requests={_KEY: types.ListRootsRequest()}))
        answer = answers.get(_KEY)
        # the answers are to another question: only the roots from before are known
        return _folders(answer) if isinstance(answer, types.ListRootsResult) else self._folders


async def _send_request(ctx: ServerRequestContext[Any, Any]) -> Sequence[Path]:
    with anyio.move_on_after(_TIMEOUT_S):
        try:
            # not `list_roots`, which emits a deprecation warning
            return _folders(await ctx.session.send_request(types.ListRootsRequest(), types.ListRootsResult))
        except (MCPError, ValidationError):
            return ()
    return ()


def _folders(result: types.ListRootsResult) -> Sequence[Path]:
    from journey_mcp.media.file_names import spellings  # noqa: PLC0415  # not before the first answer

    paths = [Path(path) for root in result.roots[:_MAX_ROOTS] for path in spellings(str(root.uri))[-1:]]
    return [path for path in paths if path.is_absolute()]  # other paths belong to another machine
