"""The folders that a client's person works in (`roots/list`), asked for when a path leads into no other folder.

Only for a client on this machine: on another one its paths would mean something else. The protocol of 2026-07-28 has
roots still, as input that a result asks for, and tells of no change.
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

_WITHIN_S = 1.0
"""A client that does not answer holds no call longer than this."""
_KEPT_S = 60.0
_MOST = 64
_KEY = "roots"


class ClientRoots:
    """What the one client of this process told of its roots."""

    def __init__(self) -> None:
        self._folders: Sequence[Path] = ()
        self._good_until = 0.0

    def forget(self) -> None:
        """They have changed: the next call that needs them asks again."""
        self._good_until = 0.0

    def of_call(self, ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> "Roots | None":
        """Return what asks through this call's client; `None` when that declares no roots."""
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.roots is None:
            return None

        async def folders() -> Sequence[Path]:
            if anyio.current_time() >= self._good_until:
                self._folders = await self._asked(ctx, params)
                self._good_until = anyio.current_time() + _KEPT_S
            return self._folders

        return folders

    async def _asked(self, ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> Sequence[Path]:
        from journey_mcp.server.elicitation import SEVERAL_ROUND_TRIPS, Asked  # noqa: PLC0415  # not before the first answer

        if ctx.protocol_version < SEVERAL_ROUND_TRIPS:
            return await _requested(ctx)
        answers = params.input_responses
        if answers is None:
            raise Asked(types.InputRequiredResult(input_requests={_KEY: types.ListRootsRequest()}))
        answer = answers.get(_KEY)
        # an answer to another question: what was told before is all there is
        return _folders(answer) if isinstance(answer, types.ListRootsResult) else self._folders


async def _requested(ctx: ServerRequestContext[Any, Any]) -> Sequence[Path]:
    with anyio.move_on_after(_WITHIN_S):
        try:
            # not `list_roots`, which warns of being deprecated
            return _folders(await ctx.session.send_request(types.ListRootsRequest(), types.ListRootsResult))
        except (MCPError, ValidationError):
            return ()
    return ()


def _folders(told: types.ListRootsResult) -> Sequence[Path]:
    from journey_mcp.media.file_names import spellings  # noqa: PLC0415  # not before the first answer

    paths = [Path(path) for root in told.roots[:_MOST] for path in spellings(str(root.uri))[-1:]]
    return [path for path in paths if path.is_absolute()]  # others are of another machine
