"""`gallery` as a process: its address, the browser that it opens, and its end."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import socket
import sys
from pathlib import Path

import anyio
import httpx2
import pytest
from cli.command import PATIENCE_S, CommandLine, first_line, interrupted
from processes import TIMEOUT_S
from support import free_port

_WITHOUT_DESKTOP = pytest.mark.skipif(sys.platform in {"darwin", "win32"}, reason="there is always a display here")


async def test_the_gallery_is_served_until_ctrl_c(journey: CommandLine) -> None:
    port = free_port()
    async with journey.started("gallery", "--no-open", "--port", str(port)) as process:
        url = (await first_line(process.stdout)).strip()
        assert url.startswith(f"http://127.0.0.1:{port}/?token=")
        assert "works once and only on this machine. Ctrl-C ends it." in await first_line(process.stderr)
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE_S) as http:
            entered = await http.get(url)
            assert entered.status_code == 200
            assert (await http.get(url)).status_code == 403
        done = await interrupted(process)
    assert (done.code, done.out, done.err) == (0, "", "")


async def test_a_port_in_use_is_an_error(journey: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = await journey.run("gallery", "--port", str(listener.getsockname()[1]))
    assert (done.code, done.out) == (2, "")
    assert "cannot be listened on: Address already in use." in done.err


@_WITHOUT_DESKTOP
async def test_the_browser_is_opened_with_the_address(journey: CommandLine, tmp_path: Path) -> None:
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}.new && mv {seen}.new {seen}\n', encoding="utf-8")
    browser.chmod(0o755)
    opened = journey.given(BROWSER=str(browser), DISPLAY=":0", SSH_CONNECTION="", SSH_CLIENT="", SSH_TTY="")
    async with opened.started("gallery") as process:
        url = await first_line(process.stdout)
        with anyio.fail_after(TIMEOUT_S):
            while not seen.exists():
                await anyio.sleep(0.05)
        assert seen.read_text(encoding="utf-8") == url


@_WITHOUT_DESKTOP
async def test_without_a_display_the_address_is_only_printed(journey: CommandLine) -> None:
    hidden = journey.given(DISPLAY="", WAYLAND_DISPLAY="", SSH_CONNECTION="", SSH_CLIENT="", SSH_TTY="")
    async with hidden.started("gallery") as process:
        assert "/?token=" in await first_line(process.stdout)
        await first_line(process.stderr)
        assert await first_line(process.stderr) == "No browser is opened: there is no display.\n"


async def test_in_a_remote_session_the_port_is_to_be_forwarded(journey: CommandLine) -> None:
    remote = journey.given(DISPLAY=":10", SSH_TTY="/dev/pts/1")
    async with remote.started("gallery") as process:
        assert "/?token=" in await first_line(process.stdout)
        await first_line(process.stderr)
        assert await first_line(process.stderr) == (
            "No browser is opened: this is a remote session; forward the port, as in ssh -L PORT:127.0.0.1:PORT HOST, "
            "and open the address.\n"
        )
