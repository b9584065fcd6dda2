"""Images as bytes and files: reading, converting, worker processes, stored copies."""
