"""Which tokens are accepted, from the settings, and what each allows: bearer tokens of a file, or of OAuth."""
