"""System tests of stored images."""
