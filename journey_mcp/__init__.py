"""journey-mcp: an MCP server through which an assistant makes and edits images."""

__version__ = "0.1.0"
