"""Authentication: who sends a request over HTTP, and what they may do. Bearer tokens of a file, or of OAuth."""
