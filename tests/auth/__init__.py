"""Tests of `journey_mcp.auth`."""
