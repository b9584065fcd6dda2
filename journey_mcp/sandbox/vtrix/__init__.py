"""The imitation of Vtrix."""
