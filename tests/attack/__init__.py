"""Attacks on a running product: on loopback only, chosen by a seed, bounded in time. `make attack` runs them."""
