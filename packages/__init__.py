"""What people install journey-mcp from: wheel, sdist, bundle, and the manifests of registries and clients.

RELEASING.md says how a release is made of them.
"""
