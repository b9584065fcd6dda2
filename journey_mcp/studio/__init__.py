"""The use cases behind the tools."""

from journey_mcp.studio.assembly import Listening, open_studio
from journey_mcp.studio.studio import Studio

__all__ = ["Listening", "Studio", "open_studio"]
