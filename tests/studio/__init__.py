"""Tests of `journey_mcp.studio`."""
