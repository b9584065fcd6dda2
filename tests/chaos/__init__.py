"""Kill tests: a killed server loses nothing that was paid for and pays for nothing twice."""
