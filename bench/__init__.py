"""`make bench`: where time and memory go, measured beside a bare server of the same SDK. No part of the tests."""
