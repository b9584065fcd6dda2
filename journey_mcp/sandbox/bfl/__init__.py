"""The imitation of Black Forest Labs."""
