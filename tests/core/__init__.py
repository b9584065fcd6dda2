"""Tests of `journey_mcp.core`."""
