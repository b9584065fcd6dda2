"""Authentication of requests over HTTP: who sends one, and whether they may."""
