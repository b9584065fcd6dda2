"""The tools as the MCP server and the command line share them: definitions, arguments, defaults and results."""
