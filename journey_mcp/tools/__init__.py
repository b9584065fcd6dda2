"""What the MCP server and the command line share of the tools: definitions, arguments, results."""
