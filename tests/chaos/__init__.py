"""The proof that a server which is killed loses nothing that was paid for, and pays for nothing twice."""
