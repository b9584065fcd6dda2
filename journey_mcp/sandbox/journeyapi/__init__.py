"""The fake of JourneyAPI."""
