"""The part of the README that says how to install a release: commands, and links that open a client."""

import base64
import json
from textwrap import fill
from typing import Any
from urllib.parse import quote

from packages.project import NAME, Project, keys


def cursor(project: Project) -> str:
    """Return the link that adds the server to Cursor: in its web form, because GitHub removes other schemes."""
    config = base64.b64encode(_compact({"command": "uvx", "args": [project.name]})).decode()
    return f"https://cursor.com/en/install-mcp?name={NAME}&config={quote(config, safe='')}"


def vscode(project: Project) -> str:
    """Return the link that adds the server to VS Code, which asks for the key of the first provider."""
    key = next(keys())
    asked = {"type": "promptString", "id": key.name, "description": key.title, "password": True}
    config = {"command": "uvx", "args": [project.name], "env": {key.variable: f"${{input:{key.name}}}"}}
    inputs, config_text = (quote(_compact(plain), safe="") for plain in ([asked], config))
    return f"https://insiders.vscode.dev/redirect/mcp/install?name={NAME}&inputs={inputs}&config={config_text}"


def _compact(plain: Any) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def part_of_readme(project: Project) -> str:
    """Return the table of the ways to install a release, and the proof of ownership that the MCP registry looks for."""
    rows = {
        "uv, pipx": f"`uv tool install {project.name}`, `pipx install {project.name}`",
        "uv, without installing": f"`uvx {project.name}` in place of `{project.name}`, here and in a client's file",
        "Claude Desktop": f"download `{project.bundle}` from the [releases]({project.repository}/releases), "
        "and open it; Claude Desktop installs Python and the server",
        "Claude Code": f"`claude plugin marketplace add {project.owner}/{project.name}`, "
        f"then `claude plugin install {NAME}@{NAME}`",
        "Cursor": f"[Add to Cursor]({cursor(project)})",
        "VS Code": f"[Add to VS Code]({vscode(project)})",
        "Gemini CLI": f"`gemini extensions install {project.repository}`",
        "Docker": f"`docker run -i --rm -v {NAME}:/data {project.image}`",
    }
    table = "\n".join(f"| {name} | {way} |" for name, way in rows.items())
    return (
        f"{_state(project)}\n\n| with | a release |\n| --- | --- |\n{table}\n\n<!-- mcp-name: {project.server_name} -->"
    )


def _state(project: Project) -> str:
    """Return what holds for all of them."""
    first = (
        "The packages start the same server."
        if project.has_owner
        else f"No release is published yet, and `{project.owner}` stands for its publisher: these lines work from the "
        "first release on."
    )
    return fill(f"{first} Where a client asks for keys, leave empty those that you do not have.", 120)
