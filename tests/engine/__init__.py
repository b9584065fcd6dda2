"""Tests of `journey_mcp.engine`."""
