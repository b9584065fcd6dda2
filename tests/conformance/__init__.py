"""The official conformance suite of MCP, run against the product's own server."""
