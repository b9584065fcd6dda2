"""Adapters: one module per protocol of an upstream, all with the same methods."""
