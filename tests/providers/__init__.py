"""Tests of `journey_mcp.providers`."""
