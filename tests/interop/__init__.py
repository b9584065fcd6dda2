"""Programs that use the server through other people's clients: what a model sees there of tools, results and errors."""
