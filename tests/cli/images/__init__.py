"""Tests of `journey_mcp.cli.images`."""
