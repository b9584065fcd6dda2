"""Connections to hosts that others name: address policy, certificates, proxies."""
