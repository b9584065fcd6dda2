"""The MCP bundle (`.mcpb`), which Claude Desktop installs with one click: uv fetches the server from PyPI.

The manifest is of version 0.4 with the server type `uv`, for which the host brings Python and uv
(github.com/modelcontextprotocol/mcpb, README, 2026-11-29).
"""

import io
import zipfile
from typing import Any

from packages.project import NAME, ROOT, TITLE, Project, as_json, keys

FOLDER = ROOT / "packages" / "mcpb"
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of all files: the earliest one that the format knows."""
_MODE = 0o100644 << 16
_UNIX = 3


def manifest(project: Project) -> dict[str, Any]:
    """Return `manifest.json`. A key that is left empty becomes an empty variable, which counts as none."""
    return {
        "manifest_version": "0.4",
        "name": project.name,
        "display_name": TITLE,
        "version": project.version,
        "description": project.description,
        "author": {"name": project.author},
        "repository": {"type": "git", "url": project.repository},
        "license": project.license,
        "icon": "icon.png",
        "server": {
            "type": "uv",
            "entry_point": "server/main.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", "server/main.py"],
                "env": {key.variable: f"${{user_config.{key.name}}}" for key in keys()},
            },
        },
        "tools_generated": True,
        "prompts_generated": True,
        "compatibility": {
            "platforms": ["darwin", "win32", "linux"],
            "runtimes": {"python": project.requires_python},
        },
        "user_config": {
            key.name: {
                "type": "string",
                "title": key.title,
                "description": key.description,
                "sensitive": True,
                "required": False,
                "default": "",
            }
            for key in keys()
        },
    }


def requirements(project: Project) -> str:
    """Return the `pyproject.toml` of the bundle, which requires the server of the same version."""
    return f"""\
[project]
name = "{NAME}-bundle"
version = "{project.version}"
requires-python = "{project.requires_python}"
dependencies = ["{project.name}=={project.version}"]

[tool.uv]
package = false
"""


def texts(project: Project) -> dict[str, str]:
    """Return the generated files of the bundle, by their path in it."""
    return {"manifest.json": as_json(manifest(project)), "pyproject.toml": requirements(project)}


def files(project: Project) -> dict[str, bytes]:
    """Return all files of the bundle, by their path in it."""
    kept = {name: (FOLDER / name).read_bytes() for name in ("icon.png", "server/main.py")}
    return {**{name: text.encode() for name, text in texts(project).items()}, **kept}


def packed(project: Project) -> bytes:
    """Return the bundle: the same bytes everywhere, since nothing is compressed and all files have one time."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files(project).items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr, entry.create_system = _MODE, _UNIX
            archive.writestr(entry, content)
    return target.getvalue()
