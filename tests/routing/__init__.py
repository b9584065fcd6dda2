"""Tests of `journey_mcp.routing`."""
