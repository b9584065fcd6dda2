"""The client's roots: requested when a path is in no other allowed folder, in each revision, and never over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client
from studio.test_inputs import image_bytes
from support import client_of, coarse, environment_of

from journey_mcp import sandbox
from journey_mcp.settings import read_settings

pytestmark = pytest.mark.on_disk
BOTH_REVISIONS = pytest.mark.parametrize("mode", ["auto", "legacy"])


@dataclass
class User:
    """A user with an open project in a client."""

    project: Path
    roots: list[str] = field(default_factory=list)
    requests: int = 0
    confirmations: int = 0

    async def list_roots(self, _context: Any) -> types.ListRootsResult | types.ErrorData:
        """Respond to `roots/list`."""
        self.requests += 1
        return types.ListRootsResult.model_validate({"roots": [{"uri": uri} for uri in self.roots]})

    async def confirm(self, _context: Any, _params: Any) -> types.ElicitResult:
        """Confirm the cost."""
        self.confirmations += 1
        return types.ElicitResult(action="accept", content={"agree": True})


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    """Return a user with an image in the project; the server runs in another folder."""
    project = tmp_path / "my project"
    (project / "assets").mkdir(parents=True)
    (project / "assets" / "cat.png").write_bytes(image_bytes())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return User(project, [project.as_uri()])


@asynccontextmanager
async def connected(user: User, mode: str, *, is_local: bool = True, **more: Any) -> AsyncIterator[Client]:
    """Connect the user's client to a server."""
    environment = {name: more.pop(name) for name in list(more) if name.isupper()}
    async with sandbox.running(coarse(speed=0)) as upstream:
        settings = read_settings(environment_of(upstream, user.project.parent / "data", "bfl", **environment))
        more = {"list_roots_callback": user.list_roots, **more}
        async with client_of(settings, mode, is_local=is_local, **more) as client:
            yield client


async def edit(client: Client, image: str) -> dict[str, Any]:
    """Call edit_image with an image, and return the result."""
    arguments = {"prompt": "blue", "model": "flux-kontext-pro", "image": image}
    return (await client.call_tool("edit_image", arguments)).structured_content or {}


@BOTH_REVISIONS
async def test_a_file_in_the_users_project_is_read(user: User, mode: str) -> None:
    """By its absolute path and by its path in the project; roots are requested once."""
    async with connected(user, mode) as client:
        for text in (str(user.project / "assets" / "cat.png"), "assets/cat.png", "@assets/cat.png"):
            result = await edit(client, text)
            assert result["status"] == "succeeded", result
        assert user.requests == 1


@BOTH_REVISIONS
async def test_roots_are_not_requested_without_need(user: User, mode: str) -> None:
    """Not for a file that is found, nor for a URL."""
    Path("cat.png").write_bytes(image_bytes())
    async with connected(user, mode) as client:
        assert (await edit(client, "cat.png"))["status"] == "succeeded"
        await edit(client, "https://example.com/cat.png")
        assert user.requests == 0


@BOTH_REVISIONS
async def test_a_root_that_is_too_wide_is_ignored(user: User, mode: str) -> None:
    """The disk, a hidden folder, another machine: the error is the same as without roots."""
    hidden = user.project.parent / ".hidden"
    hidden.mkdir()
    (hidden / "cat.png").write_bytes(image_bytes())
    user.roots = ["file:///", Path.home().as_uri(), hidden.as_uri(), f"file://nas{user.project}"]
    async with connected(user, mode) as client:
        for path in (hidden / "cat.png", user.project / "assets" / "cat.png"):
            result = await edit(client, str(path))
            assert result["error"]["code"] == "file_not_allowed"
            assert "my project" not in result["error"]["message"].replace(str(path), "")


@BOTH_REVISIONS
async def test_the_data_folder_is_not_read_through_a_root_around_it(user: User, mode: str) -> None:
    """It may hold copies of other callers."""
    user.roots = [user.project.parent.as_uri()]
    async with connected(user, mode) as client:
        secret = user.project.parent / "data" / "pictures" / "secret.png"
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_bytes(image_bytes())
        assert (await edit(client, str(secret)))["error"]["code"] == "file_not_allowed"
        assert (await edit(client, str(user.project / "assets" / "cat.png")))["status"] == "succeeded"


@BOTH_REVISIONS
async def test_over_http_roots_are_not_requested(user: User, mode: str) -> None:
    """They would be paths of another machine."""
    async with connected(user, mode, is_local=False) as client:
        result = await edit(client, str(user.project / "assets" / "cat.png"))
        assert result["error"]["code"] == "file_not_allowed"
        assert "over HTTP" in result["error"]["message"]
        if mode == "legacy":
            await client.session.send_notification(types.RootsListChangedNotification())
            assert (await edit(client, "https://example.com/cat.png"))["status"] == "failed"
        assert user.requests == 0


@BOTH_REVISIONS
async def test_a_client_without_roots_gets_no_request(user: User, mode: str) -> None:
    """The file is rejected at once."""
    async with connected(user, mode, list_roots_callback=None) as client:
        assert (await edit(client, "assets/cat.png"))["error"]["code"] == "unusable_image"
        assert user.requests == 0


async def test_roots_are_requested_again_after_a_change(user: User) -> None:
    """In revisions with a notification for it."""
    path = str(user.project / "assets" / "cat.png")
    user.roots = []
    async with connected(user, "legacy") as client:
        for _ in range(2):
            assert (await edit(client, path))["error"]["code"] == "file_not_allowed"
        assert user.requests == 1
        user.roots = [user.project.as_uri()]
        await client.session.send_notification(types.RootsListChangedNotification())
        assert (await edit(client, path))["status"] == "succeeded"
        assert user.requests == 2


@BOTH_REVISIONS
async def test_roots_are_requested_again_after_a_minute(user: User, mode: str) -> None:
    """Also in a revision without the notification."""
    path = str(user.project / "assets" / "cat.png")
    user.roots = []
    async with connected(user, mode) as client:
        assert (await edit(client, path))["error"]["code"] == "file_not_allowed"
        user.roots = [user.project.as_uri()]
        await anyio.sleep(61)
        assert (await edit(client, path))["status"] == "succeeded"


async def test_a_client_that_does_not_respond_does_not_block_a_call(user: User) -> None:
    """The call waits a second; the next call does not wait."""

    async def hang(_context: Any) -> types.ListRootsResult:
        user.requests += 1
        await anyio.sleep_forever()
        raise AssertionError

    async with connected(user, "legacy", list_roots_callback=hang) as client:
        for _ in range(3):
            with anyio.fail_after(5):
                assert (await edit(client, "assets/cat.png"))["error"]["code"] == "unusable_image"
        assert user.requests == 1


async def test_a_call_continues_when_the_client_rejects_the_request(user: User) -> None:
    """Without roots."""

    async def refuse(_context: Any) -> types.ErrorData:
        user.requests += 1
        return types.ErrorData(code=types.INTERNAL_ERROR, message="no")

    async with connected(user, "legacy", list_roots_callback=refuse) as client:
        assert (await edit(client, "assets/cat.png"))["error"]["code"] == "unusable_image"
        assert user.requests == 1


@BOTH_REVISIONS
async def test_roots_and_the_confirmation_of_cost_work_together(user: User, mode: str) -> None:
    """With multi-round-trip requests the answers arrive one after the other, after any time."""

    async def confirm(context: Any, params: Any) -> types.ElicitResult:
        await anyio.sleep(120)
        return await user.confirm(context, params)

    more: dict[str, Any] = {"JOURNEY_MCP_CONFIRM_ABOVE": "0.001usd", "elicitation_callback": confirm}
    async with connected(user, mode, **more) as client:
        result = await edit(client, "assets/cat.png")
        assert result["status"] == "succeeded", result
        assert (user.requests, user.confirmations) == (1, 1)
