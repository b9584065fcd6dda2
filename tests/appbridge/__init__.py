"""The gallery in a host on the official AppBridge, with the official client."""
