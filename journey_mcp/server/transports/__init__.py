"""How messages reach the server: stdio, HTTP, and the listener for webhooks."""
