"""The MCP server: handlers of the tools, extensions and transports. The one place that imports the SDK of MCP."""
