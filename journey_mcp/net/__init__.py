"""Requests to hosts that callers and providers name: SSRF guard, connections, certificates, proxies."""
