"""Principals: who a call belongs to, as its transport says."""

LOCAL = "local"
"""The person at this machine: on stdio, on the command line, and over HTTP as long as nobody signs in."""
