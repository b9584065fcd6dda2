"""Tests of `journey_mcp.store`."""
