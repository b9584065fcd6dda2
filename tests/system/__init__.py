"""Tests of real processes, which live in real time."""
