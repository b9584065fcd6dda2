"""A local fake of each upstream service over real HTTP, for tests, demonstrations and benchmarks.

It is written from the services' documentation and imports nothing else of `journey_mcp`: an adapter and its fake must
not share one misreading. Importing this package is cheap; web server, HTTP client and Pillow are loaded by the first
sandbox that needs them.
"""

from journey_mcp.sandbox.bfl.settings import BflSettings
from journey_mcp.sandbox.clock import Clock
from journey_mcp.sandbox.events import Event, Observer, Point
from journey_mcp.sandbox.faults import Fault
from journey_mcp.sandbox.hosting import Running, create_app, running, serve
from journey_mcp.sandbox.journeyapi.requests import JourneyApiSettings
from journey_mcp.sandbox.replicate.settings import KkiaiSettings, ReplicateSettings
from journey_mcp.sandbox.settings import Settings
from journey_mcp.sandbox.vtrix.settings import VtrixSettings
from journey_mcp.sandbox.webhook_policy import WebhookPolicy

__all__ = [
    "BflSettings",
    "Clock",
    "Event",
    "Fault",
    "JourneyApiSettings",
    "KkiaiSettings",
    "Observer",
    "Point",
    "ReplicateSettings",
    "Running",
    "Settings",
    "VtrixSettings",
    "WebhookPolicy",
    "create_app",
    "running",
    "serve",
]
