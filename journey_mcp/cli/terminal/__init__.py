"""What a command prints, draws and opens, and how it asks."""
