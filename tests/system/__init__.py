"""Tests of real processes, in real time."""
