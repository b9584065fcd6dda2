"""A session without a key: a real MCP client over stdio makes an image, edits candidate 2, and saves both.

Run by `make demo`, or: python demo/session.py [folder]
"""
# ruff: noqa: T201, INP001  # a demonstration prints, and is not a package

import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.stdio import get_default_environment

from journey_mcp.cli.images import image_files
from journey_mcp.core.images import OutputImage
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.settings.trusted_hosts import TrustedHosts

ROOT = Path(__file__).resolve().parents[1]


async def main(folder: Path) -> None:
    """Run one session, from the list of tools to two files."""
    with tempfile.TemporaryDirectory() as data:
        # without a key in the environment, the built-in sandbox makes the images
        environment = {**get_default_environment(), "PYTHONPATH": str(ROOT), "JOURNEY_MCP_DATA_DIR": data}
        server = StdioServerParameters(command=sys.executable, args=["-m", "journey_mcp"], env=environment, cwd=data)
        print("Starting journey-mcp on stdio, without any key.")
        async with Client(stdio_client(server)) as client:
            print(f"MCP {client.protocol_version}. Tools:")
            for tool in (await client.list_tools()).tools:
                print(f"  {tool.name}: {tool.title}")

            made = await call(client, "imagine", prompt="a lighthouse at dusk, oil on canvas", model="midjourney")
            _, second, _, _ = made["images"]

            edited = await call(client, "edit_image", prompt="make the sky green, keep the rest", image=second["id"])
            [fetched] = (await call(client, "fetch_task", task_ids=[edited["task_id"]]))["tasks"]
            expect(links(fetched) == links(edited), "fetch_task returns the same image")

            print("\nSaved:")
            await save(second["url"], folder / "lighthouse.png")
            await save(fetched["images"][0]["url"], folder / "lighthouse-green-sky.jpg")


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool and print what a person in a chat would see."""
    print(f"\n> {tool} {arguments}")

    async def report(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001  # MCP's names
        print(f"  {progress:4.0%} {message}")

    result = await client.call_tool(tool, arguments, progress_callback=report)
    for line in (line for block in result.content if block.type == "text" for line in block.text.splitlines()):
        print(f"  {line}")
    expect(not result.is_error and isinstance(result.structured_content, dict), f"{tool} succeeds")
    plain: dict[str, Any] = result.structured_content or {}
    expect(all(task["status"] == "succeeded" for task in plain.get("tasks", [plain])), f"{tool} has its images")
    return plain


def links(task: dict[str, Any]) -> list[str]:
    """Return the URLs of a task's images; the paths of their copies may be added later."""
    return [image["url"] for image in task["images"]]


async def save(url: str, path: Path) -> None:
    """Save an image under this name and print the path."""
    safe_http = SafeHttpClient(TrustedHosts()).with_trusted(url)  # the sandbox is on this machine and uses plain HTTP
    saved = await image_files.save(OutputImage(url=url), path, safe_http, replace=True)
    print(f"  {saved.path}")


def expect(is_so: bool, what: str) -> None:  # noqa: FBT001  # reads like a sentence
    """End the demonstration unless the condition holds."""
    if not is_so:
        sys.exit(f"The demo failed. Expected: {what}.")


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1] if len(sys.argv) > 1 else "demo-images"))
