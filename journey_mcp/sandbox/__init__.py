"""A local imitation of the upstream services over real HTTP, for tests, demonstrations and benchmarks.

It is written from the services' documentation and imports nothing else of `journey_mcp`: an adapter and
its imitation must not share one misreading. Importing this package is cheap; web server, HTTP client and
Pillow are loaded by the first sandbox that needs them.
"""

from journey_mcp.sandbox.clock import Clock
from journey_mcp.sandbox.faults import Fault
from journey_mcp.sandbox.hosting import Running, create_app, running, serve
from journey_mcp.sandbox.journeyapi_requests import JourneyApiSettings
from journey_mcp.sandbox.settings import Settings
from journey_mcp.sandbox.webhook_policy import WebhookPolicy

__all__ = [
    "Clock",
    "Fault",
    "JourneyApiSettings",
    "Running",
    "Settings",
    "WebhookPolicy",
    "create_app",
    "running",
    "serve",
]
