"""Tests of `journey_mcp.net`."""
