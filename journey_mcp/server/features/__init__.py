"""Resources, prompts, completions and subscriptions: what clients offer to people, besides the tools for models.

Only registered here: most handlers are imported when they are first called, not before the first answer.
"""

# ruff: noqa: PLC0415  # see above

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from journey_mcp.auth.identity import ADMIN
from journey_mcp.core.errors import JourneyError
from journey_mcp.core.principals import LOCAL
from journey_mcp.server.auth.identity import identity_of
from journey_mcp.server.extensions import apps
from journey_mcp.server.features.subscriptions import LISTEN, Subscriptions
from journey_mcp.server.tool_sets import tool_set_of

if TYPE_CHECKING:
    from journey_mcp.server.features.resources import Reader
    from journey_mcp.server.lifespan import Lifespan
    from journey_mcp.studio import Studio

Context: TypeAlias = "ServerRequestContext[Lifespan, Any]"
_Handler = Callable[[Context, Any], Awaitable[Any]]


def install(server: Server[Any], *, is_stateful: bool) -> Subscriptions:
    """Add the features to a server; return its subscriptions, which the caller runs and closes.

    `is_stateful`: a connection outlasts a request, as on stdio, so that clients of revisions up to 2025-11-25 can
    subscribe. Later clients have a request for that.
    """
    features = _Features(is_stateful=is_stateful)
    handlers: list[tuple[str, type[Any], _Handler]] = [
        ("resources/list", types.PaginatedRequestParams, features.list_resources),
        ("resources/templates/list", types.PaginatedRequestParams, _list_templates),
        ("resources/read", types.ReadResourceRequestParams, features.read_resource),
        ("prompts/list", types.PaginatedRequestParams, _list_prompts),
        ("prompts/get", types.GetPromptRequestParams, _get_prompt),
        ("completion/complete", types.CompleteRequestParams, features.complete),
        (LISTEN, types.SubscriptionsListenRequestParams, features.listen),
    ]
    if is_stateful:
        handlers += [
            ("resources/subscribe", types.SubscribeRequestParams, features.subscribe),
            ("resources/unsubscribe", types.UnsubscribeRequestParams, features.unsubscribe),
        ]
    for method, params, handler in handlers:
        server.add_request_handler(method, params, handler)
    return features.subscriptions


class _Features:
    """The handlers that need the studio, for the principal of each request."""

    def __init__(self, *, is_stateful: bool) -> None:
        self._is_stateful = is_stateful
        self.subscriptions = Subscriptions()

    async def list_resources(self, ctx: Context, _params: types.PaginatedRequestParams) -> types.ListResourcesResult:
        from journey_mcp.server.features import resources

        try:
            studio = await self._studio(ctx)
            listed = await self._reader(ctx, studio).list()
        except JourneyError:
            # the others say what is wrong when they are read
            return types.ListResourcesResult(resources=[*resources.without_images()])
        if self._is_stateful and ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            self.subscriptions.notify_of_lists(ctx.session)
            self.subscriptions.open(studio)
        return types.ListResourcesResult(resources=listed)

    async def read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        from journey_mcp.server.features import resources

        if page := apps.read(params.uri, ctx):
            return page
        try:
            return await self._reader(ctx, await self._studio(ctx)).read(params.uri)
        except JourneyError as error:
            raise resources.failure(params.uri, error) from error

    async def complete(self, ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        from journey_mcp.server.features import completion, resources

        tool_set = tool_set_of(ctx)
        if isinstance(params.ref, types.PromptReference):
            return completion.complete_prompt(tool_set, params.ref, params.argument)
        try:
            studio = await self._studio(ctx)
            principal = identity_of(ctx).principal
            return await completion.complete_uri(tool_set, studio, principal, params.ref, params.argument)
        except JourneyError as error:
            raise resources.failure(params.ref.uri, error) from error

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        self.subscriptions.open(await self._opened(ctx))
        return await self.subscriptions.listen(ctx, params, identity_of(ctx).principal)

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        studio = await self._opened(ctx)
        self.subscriptions.subscribe(ctx.session, params.uri)
        self.subscriptions.open(studio)
        return types.EmptyResult()

    async def unsubscribe(self, _ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self.subscriptions.unsubscribe(params.uri)
        return types.EmptyResult()

    async def _studio(self, ctx: Context) -> "Studio":
        return await ctx.lifespan_context.studio()

    async def _opened(self, ctx: Context) -> "Studio":
        """Return the studio, for requests without a resource.

        Raises:
            MCPError: it cannot be opened.
        """
        from journey_mcp.server.features import resources

        try:
            return await self._studio(ctx)
        except JourneyError as error:
            raise resources.failure("", error) from error

    def _reader(self, ctx: Context, studio: "Studio") -> "Reader":
        from journey_mcp.server.features.resources import Reader

        identity = identity_of(ctx)
        # the person at this machine has `journey-mcp spend` for that
        sees_totals = ADMIN in identity.scopes and identity.principal != LOCAL
        return Reader(studio, tool_set_of(ctx), identity.principal, sees_totals=sees_totals)


async def _list_templates(_ctx: Context, _params: types.PaginatedRequestParams) -> types.ListResourceTemplatesResult:
    from journey_mcp.server.features import resources

    return types.ListResourceTemplatesResult(resource_templates=[*resources.templates()])


async def _list_prompts(ctx: Context, _params: types.PaginatedRequestParams) -> types.ListPromptsResult:
    from journey_mcp.server.features import prompts

    return prompts.list_prompts(tool_set_of(ctx))


async def _get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    from journey_mcp.server.features import prompts

    return prompts.get_prompt(tool_set_of(ctx), params.name, params.arguments or {})
