"""The imitation of JourneyAPI."""
