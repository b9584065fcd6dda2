"""Tests of `journey_mcp.cli.terminal`."""
