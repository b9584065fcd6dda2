"""The baseline for journey-mcp: a server with one tool, written as in the SDK's documentation."""

import anyio
import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

ECHO = types.Tool(
    name="echo",
    description="Return the text.",
    input_schema={
        "type": "object",
        "properties": {"text": {"type": "string"}, "hold": {"type": "boolean", "description": "Never answer."}},
        "required": ["text"],
    },
)


async def list_tools(_ctx: ServerRequestContext, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    """Return the only tool."""
    return types.ListToolsResult(tools=[ECHO])


async def call_tool(_ctx: ServerRequestContext, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Return the text, or nothing for a call on hold."""
    arguments = params.arguments or {}
    if arguments.get("hold"):
        await anyio.sleep_forever()
    return types.CallToolResult(content=[types.TextContent(type="text", text=arguments["text"])])


async def main() -> None:
    """Serve one client on stdin and stdout."""
    server = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(main)
