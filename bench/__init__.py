"""`make bench`: time and memory, compared with a bare server of the same SDK. Not part of the tests."""
