"""The baseline over HTTP: a stateless server whose one tool returns one result, without any work.

`python -m bench.bare_http PORT RESULT`: the result is JSON.
"""

import json
import sys
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server import Server, ServerRequestContext

SAME = types.Tool(name="same", description="Return a result.", input_schema={"type": "object"})


def main(port: int, result: types.CallToolResult) -> None:
    """Serve until a signal."""

    async def list_tools(
        _ctx: ServerRequestContext[Any, Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[SAME])

    async def call_tool(
        _ctx: ServerRequestContext[Any, Any], _params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        return result

    server = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
    app = server.streamable_http_app(stateless_http=True)
    uvicorn.run(app, host="127.0.0.1", port=port, http="h11", loop="asyncio", log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), types.CallToolResult.model_validate(json.loads(sys.argv[2])))
