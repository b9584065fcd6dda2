"""Every fault of the sandbox at every provider and every stage, and what becomes of the call: a table."""
