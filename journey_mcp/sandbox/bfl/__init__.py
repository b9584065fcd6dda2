"""The fake of Black Forest Labs."""
