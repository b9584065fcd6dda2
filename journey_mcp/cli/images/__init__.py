"""The commands that make images, wait for them, and save them as files."""
