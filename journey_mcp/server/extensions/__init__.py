"""Extensions of MCP that the server supports."""
