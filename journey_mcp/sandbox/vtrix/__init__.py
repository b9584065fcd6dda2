"""The fake of Vtrix."""
