"""The use cases behind the tools."""

from journey_mcp.studio.studio import Listening, Studio, open_studio

__all__ = ["Listening", "Studio", "open_studio"]
