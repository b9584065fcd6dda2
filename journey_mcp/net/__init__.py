"""Requests to hosts that callers and providers name: SSRF guard, certificates, proxies."""
