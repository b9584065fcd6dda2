"""The gallery for a person without an MCP host: the page in a browser on this machine, and the calls it may make."""
