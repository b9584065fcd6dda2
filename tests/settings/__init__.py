"""Tests of `journey_mcp.settings`."""
