"""Tests of resources, prompts, completions and subscriptions."""
