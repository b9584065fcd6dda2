"""Tests of `journey_mcp.handshake`."""
