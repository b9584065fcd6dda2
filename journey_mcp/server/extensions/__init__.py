"""Extensions of MCP that the server speaks."""
