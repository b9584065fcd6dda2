"""`make conformance`, its third part: OAuth with a real authorization server and the client of the SDK."""
