"""Shared values: errors, requests, tasks, money, limits, time, text and URLs. Imports no other package."""
