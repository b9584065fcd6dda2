"""First responses on stdio, from a record, before the MCP SDK is imported.

These modules import only a few modules of the standard library.
"""
