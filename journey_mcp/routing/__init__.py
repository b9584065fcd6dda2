"""Which offers take a request: validation, sizes, prompt language, order."""
