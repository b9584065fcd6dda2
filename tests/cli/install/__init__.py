"""Tests of `install` and `uninstall`."""
