"""The tool definitions in the formats of model APIs, for programs that call a model without MCP."""

from collections.abc import Callable
from typing import Any, Literal

Format = Literal["mcp", "anthropic", "openai", "gemini"]
Tools = list[dict[str, Any]]

_GEMINI_KEYS = {
    *("type", "format", "title", "description", "nullable", "enum", "default", "example", "anyOf"),
    *("properties", "required", "propertyOrdering", "minProperties", "maxProperties"),
    *("items", "minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength", "pattern"),
}
"""The keys of Gemini's `Schema` (ai.google.dev/api/caching#Schema); any other key is answered with HTTP 400."""


def anthropic(tools: Tools) -> Tools:
    """Return `tools` of the Messages API."""
    return [
        {"name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"]}
        for tool in tools
    ]


def openai(tools: Tools) -> Tools:
    """Return `tools` of Chat Completions. Not strict: strict schemas require every parameter."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool["description"],
                "parameters": tool["inputSchema"],
            },
        }
        for tool in tools
    ]


def gemini(tools: Tools) -> dict[str, Tools]:
    """Return one element of `tools` of generateContent."""
    declarations = [
        {
            "name": tool["name"],
            "description": tool["description"],
            "parameters": gemini_schema(tool["inputSchema"]),
        }
        for tool in tools
    ]
    return {"functionDeclarations": declarations}


def gemini_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a JSON schema that Gemini supports: types in capitals, `enum` for strings only."""
    kept = {key: value for key, value in schema.items() if key in _GEMINI_KEYS}
    if "enum" in kept and kept.get("type") != "string":
        del kept["enum"]
    if "type" in kept:
        kept["type"] = kept["type"].upper()
    if "items" in kept:
        kept["items"] = gemini_schema(kept["items"])
    if "properties" in kept:
        kept["properties"] = {name: gemini_schema(value) for name, value in kept["properties"].items()}
    return kept


FORMATS: dict[Format, Callable[[Tools], Any]] = {
    "mcp": lambda tools: tools,
    "anthropic": anthropic,
    "openai": openai,
    "gemini": gemini,
}
