"""The baseline over HTTP: a stateless server whose one tool returns a result like that of `fetch_task`.

`python -m bench.bare_http PORT SIZE`: the result has about so many bytes, as text and as an object.
"""

import sys
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server import Server, ServerRequestContext

ECHO = types.Tool(name="echo", description="Return a text.", input_schema={"type": "object"})


def main(port: int, size: int) -> None:
    """Serve until a signal."""
    text = "x" * (size // 2)

    async def list_tools(
        _ctx: ServerRequestContext[Any, Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[ECHO])

    async def call_tool(
        _ctx: ServerRequestContext[Any, Any], _params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
        return types.CallToolResult(content=content, structured_content={"text": text})

    server = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
    app = server.streamable_http_app(stateless_http=True)
    uvicorn.run(app, host="127.0.0.1", port=port, http="h11", loop="asyncio", log_level="warning", access_log=False)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
