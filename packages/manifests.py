"""The manifests that registries and clients read, and where each of them is kept in the repository."""

import hashlib
import re
from pathlib import Path
from typing import Any

from packages import bundle
from packages.project import NAME, ROOT, TITLE, Project, as_json, keys

_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
_DOCKERFILE = Path("deploy") / "Dockerfile"
_PLUGIN = Path("packages") / "plugin"
_TIMEOUT_MS = 300_000
"""How long Gemini CLI waits for a call: the longest that a call of ours waits for its images."""


def written(project: Project) -> dict[Path, str]:
    """Return the text of each generated file, by its path in the repository."""
    return {
        Path("server.json"): as_json(server(project)),
        Path("gemini-extension.json"): as_json(gemini_extension(project)),
        Path(".claude-plugin") / "marketplace.json": as_json(marketplace(project)),
        _PLUGIN / ".claude-plugin" / "plugin.json": as_json(plugin(project)),
        **{(bundle.FOLDER / name).relative_to(ROOT): text for name, text in bundle.texts(project).items()},
        _DOCKERFILE: labelled((ROOT / _DOCKERFILE).read_text(encoding="utf-8"), project),
    }


def stale(project: Project) -> list[Path]:
    """Return the generated files that differ from what the project says now."""
    return [path for path, text in written(project).items() if _read(ROOT / path) != text]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def server(project: Project) -> dict[str, Any]:
    """Return `server.json`, for the MCP registry: three ways to the same server."""
    variables = [
        {"name": key.variable, "description": f"{key.title}. {key.description}", "isSecret": True, "isRequired": False}
        for key in keys()
    ]
    return {
        "$schema": _SCHEMA,
        "name": project.server_name,
        "title": TITLE,
        "description": project.description,
        "version": project.version,
        "repository": {"url": project.repository, "source": "github"},
        "packages": [
            {
                "registryType": "pypi",
                "identifier": project.name,
                "version": project.version,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "environmentVariables": variables,
            },
            {
                "registryType": "oci",
                "identifier": project.image,
                "runtimeHint": "docker",
                "transport": {"type": "stdio"},
                "runtimeArguments": [{"type": "named", "name": "-v", "value": f"{NAME}:/data"}],
                "environmentVariables": variables,
            },
            {
                "registryType": "mcpb",
                "identifier": project.bundle_url,
                "fileSha256": hashlib.sha256(bundle.packed(project)).hexdigest(),
                "transport": {"type": "stdio"},
            },
        ],
    }


def marketplace(project: Project) -> dict[str, Any]:
    """Return `marketplace.json`, by which the repository is a marketplace of Claude Code."""
    return {
        "name": NAME,
        "owner": {"name": project.author},
        "metadata": {"description": project.description, "version": project.version},
        "plugins": [{"name": NAME, "source": f"./{_PLUGIN.as_posix()}", "description": project.description}],
    }


def plugin(project: Project) -> dict[str, Any]:
    """Return the manifest of the plugin of Claude Code."""
    return {
        "name": NAME,
        "version": project.version,
        "description": project.description,
        "author": {"name": project.author},
        "repository": project.repository,
        "license": project.license,
        "mcpServers": {
            NAME: {
                "type": "stdio",
                **_by_uvx(project),
                "env": {key.variable: f"${{user_config.{key.name}}}" for key in keys()},
            }
        },
        "userConfig": {
            key.name: {
                "type": "string",
                "title": key.title,
                "description": key.description,
                "sensitive": True,
                "default": "",
            }
            for key in keys()
        },
    }


def gemini_extension(project: Project) -> dict[str, Any]:
    """Return `gemini-extension.json`, by which the repository is an extension of Gemini CLI."""
    return {
        "name": NAME,
        "version": project.version,
        "description": project.description,
        "mcpServers": {NAME: {**_by_uvx(project), "timeout": _TIMEOUT_MS}},
        "settings": [
            {"name": key.title, "description": key.description, "envVar": key.variable, "sensitive": True}
            for key in keys()
        ],
    }


def _by_uvx(project: Project) -> dict[str, Any]:
    """Return how a client starts this version, which uv fetches from PyPI once."""
    return {"command": "uvx", "args": [f"{project.name}@{project.version}"]}


def labelled(dockerfile: str, project: Project) -> str:
    """Return a container file with the labels that the registries ask for.

    The MCP registry takes the first one as the proof that the image belongs to the server; GHCR links the image to its
    repository by the second one.
    """
    labels = {
        "io.modelcontextprotocol.server.name": project.server_name,
        "org.opencontainers.image.source": project.repository,
        "org.opencontainers.image.version": project.version,
    }
    for label, value in labels.items():
        dockerfile = re.sub(rf'({re.escape(label)})="[^"]*"', rf'\1="{value}"', dockerfile)
    return dockerfile
