"""Tests of `journey_mcp.registry`."""
