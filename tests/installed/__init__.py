"""The packages of `make dist`, as people install them; `make conformance` runs this."""
