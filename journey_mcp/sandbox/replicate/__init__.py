"""The imitations of Replicate and of KKIAI, which speaks the same protocol."""
