"""The first answers of the server on stdio, given from a record before the MCP SDK is imported.

Nothing here imports more than a few modules of the standard library.
"""
