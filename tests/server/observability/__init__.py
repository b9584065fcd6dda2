"""Tests of journey_mcp.server.observability."""
