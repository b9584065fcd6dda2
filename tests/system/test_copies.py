"""Copies and saved files of real processes: killed ones, and several on one folder."""

from pathlib import Path

import anyio
import pytest
from processes import TIMEOUT_S, ServerProcess, in_thread, server_process
from support import coarse, environment_for

from journey_mcp import sandbox


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def until_there(folder: Path, count: int) -> list[str]:
    """Wait for so many files that are complete."""
    with anyio.fail_after(TIMEOUT_S):
        while len(names := [name for name in names_in(folder) if not name.startswith(".")]) < count:
            await anyio.sleep(0.05)
    return names


@pytest.mark.parametrize("after", [0, 2])
async def test_the_next_server_copies_what_a_killed_one_did_not(tmp_path: Path, after: int) -> None:
    """Before the first image, or between two; each is saved once, though some were saved before."""
    images, copies = tmp_path / "Images", tmp_path / "data" / "pictures"
    fault = sandbox.Fault.parse(f"image:delay=3600,times=always,after={after}")
    async with sandbox.running(coarse(speed=0, faults=(fault,))) as upstream:
        environment = environment_for(upstream.base_url, tmp_path / "data", JOURNEY_MCP_SAVE_DIR=str(images))
        with server_process(environment) as server:
            made = await in_thread(server.call, "imagine", prompt="a kite", wait_s=60)
            assert made["status"] == "succeeded"
            await until_there(images, after)
            server.kill()
        assert len(names_in(copies)) == after
        upstream.sandbox.faults.replace(())
        with server_process(environment) as server:
            await in_thread(server.call, "fetch_task")
            assert [name[10:] for name in await until_there(images, 4)] == [f" a kite {n}.png" for n in range(1, 5)]
            await in_thread(server.close)
        assert len(names_in(copies)) == len(names_in(images)) == 4


async def test_several_servers_save_into_one_folder(tmp_path: Path) -> None:
    """Each image once, whoever made it; none replaces another of its name."""
    images = tmp_path / "Images"
    async with sandbox.running(coarse(speed=0)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path / "data", JOURNEY_MCP_SAVE_DIR=str(images))
        with server_process(environment) as one, server_process(environment) as other:
            async with anyio.create_task_group() as group:
                for server in (one, other):
                    group.start_soon(in_thread, make_three, server)
            for server in (one, other):
                await in_thread(server.close)
        expected = [f" a kite{suffix}.jpg" for suffix in ("", *(f" ({n})" for n in range(2, 7)))]
        assert sorted(name[10:] for name in names_in(images)) == sorted(expected)
        assert len(names_in(tmp_path / "data" / "pictures")) == 6
        with server_process(environment) as server:
            await in_thread(server.call, "fetch_task")
            await anyio.sleep(3)  # nothing is to happen: no event shows when that is over
        assert len(names_in(images)) == 6


def make_three(server: ServerProcess) -> None:
    """Make three images of one prompt."""
    for _ in range(3):
        made = server.call("imagine", prompt="a kite", model="z-image", fresh=True, wait_s=60)
        assert made["images"][0]["saved_to"]
