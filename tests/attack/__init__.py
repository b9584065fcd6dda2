"""Attacks on a running product: on loopback only, derived from a seed, bounded in time. `make attack` runs them."""
