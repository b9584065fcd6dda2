"""Tests of `journey_mcp.tools`."""
