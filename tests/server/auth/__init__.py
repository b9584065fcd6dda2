"""Tests of `journey_mcp.server.auth`."""
