"""Server processes over HTTP on one database and one object store: an image outlives the process that copied it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from object_stores import CREDENTIALS, ObjectStoreServer
from processes import ServerProcess
from support import environment_of, free_port, until_listening

from journey_mcp import sandbox

BFL: dict[str, Any] = {"model": "flux-2-pro", "prompt": "a red kite", "wait_s": 60}


@asynccontextmanager
async def replica(environment: Mapping[str, str], port: int) -> AsyncIterator[tuple[ServerProcess, Client]]:
    """Run a server over HTTP; yield it and a client of it."""
    origin = f"http://127.0.0.1:{port}"
    server = ServerProcess({**environment, "JOURNEY_MCP_SERVER_URL": origin}, "serve", "--http", f"127.0.0.1:{port}")
    try:
        await until_listening(port)
        async with Client(f"{origin}/mcp") as client:
            yield server, client
    finally:
        server.process.kill()
        server.process.communicate()


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the result of a call."""
    return (await client.call_tool(tool, arguments)).structured_content or {}


async def test_an_image_outlives_the_process_that_copied_it(
    server: ObjectStoreServer, prefix: str, tmp_path: Path
) -> None:
    """Its replica is killed: another one links, shows and edits the same image, and takes an upload of the first."""
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        more = {**CREDENTIALS, "JOURNEY_MCP_STORE": server.address(prefix)}
        environment = environment_of(upstream, tmp_path / "one", "bfl", "journeyapi", **more)
        database = {"JOURNEY_MCP_DATABASE_URL": f"sqlite:///{tmp_path}/tasks.db"}
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
            async with replica({**environment, **database}, port := free_port()) as (process, client):
                made = await called(client, "imagine", **BFL)
                uploaded = await http.post(
                    f"http://127.0.0.1:{port}/images", content=(await http.get(made["images"][0]["url"])).content
                )
                assert uploaded.status_code == 201, uploaded.text
                process.process.kill()
            other = {"JOURNEY_MCP_DATA_DIR": str(tmp_path / "other"), **database}
            upstream.sandbox.faults.replace([sandbox.Fault.parse("image:dead_image,times=always")])
            async with replica({**environment, **other}, free_port()) as (_, client):
                (task,) = (await called(client, "fetch_task", task_ids=[made["task_id"]]))["tasks"]
                assert task["images"][0]["url"] != made["images"][0]["url"]
                answer = await http.get(task["images"][0]["url"])
                assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
                shown = await called(client, "view_image", image_ids=[task["images"][0]["id"]])
                assert len(shown["images"]) == 1, shown
                upstream.sandbox.faults.replace(())
                # JourneyAPI takes URLs only: it fetches the image from the second replica
                edit = {"model": "flux-kontext-pro", "prompt": "blue", "provider": "journeyapi", "wait_s": 60}
                edited = await called(client, "edit_image", **edit, image=uploaded.json()["id"])
                assert edited["status"] == "succeeded", edited
        assert not (tmp_path / "one" / "pictures").exists()
        assert not (tmp_path / "other" / "pictures").exists()
