"""Replicas for real: processes on one PostgreSQL behind a proxy, which die while many sessions use them."""
