"""Tests of `journey_mcp.media`."""
