"""The folders of the client's person: asked for when a path leads nowhere else, in both eras, and never over HTTP."""

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
from support import client_of, environment_of

from journey_mcp import sandbox
from journey_mcp.settings import read_settings

BOTH_ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


@dataclass
class Person:
    """Somebody with a project open in a client."""

    project: Path
    roots: list[str] = field(default_factory=list)
    asked: int = 0
    agreed: int = 0

    async def tell(self, _context: Any) -> types.ListRootsResult | types.ErrorData:
        """Answer `roots/list`."""
        self.asked += 1
        return types.ListRootsResult.model_validate({"roots": [{"uri": uri} for uri in self.roots]})

    async def agree(self, _context: Any, _params: Any) -> types.ElicitResult:
        """Agree to the cost."""
        self.agreed += 1
        return types.ElicitResult(action="accept", content={"agree": True})


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    """A project with an image, while the server was started somewhere else."""
    project = tmp_path / "my project"
    (project / "assets").mkdir(parents=True)
    (project / "assets" / "cat.png").write_bytes(image_bytes())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return Person(project, [project.as_uri()])


@asynccontextmanager
async def connected(person: Person, mode: str, *, is_local: bool = True, **more: Any) -> AsyncIterator[Client]:
    """The person's client at a server."""
    environment = {name: more.pop(name) for name in list(more) if name.isupper()}
    async with sandbox.running(sandbox.Settings(speed=0)) as upstream:
        settings = read_settings(environment_of(upstream, person.project.parent / "data", "bfl", **environment))
        more = {"list_roots_callback": person.tell, **more}
        async with client_of(settings, mode, is_local=is_local, **more) as client:
            yield client


async def edit(client: Client, image: str) -> dict[str, Any]:
    """What comes of editing an image."""
    arguments = {"prompt": "blue", "model": "flux-kontext-pro", "image": image}
    return (await client.call_tool("edit_image", arguments)).structured_content or {}


@BOTH_ERAS
async def test_a_file_in_the_persons_project_is_read(person: Person, mode: str) -> None:
    """By its whole path and by the one in the project; the client is asked once."""
    async with connected(person, mode) as client:
        for text in (str(person.project / "assets" / "cat.png"), "assets/cat.png", "@assets/cat.png"):
            told = await edit(client, text)
            assert told["status"] == "succeeded", told
        assert person.asked == 1


@BOTH_ERAS
async def test_nobody_is_asked_without_need(person: Person, mode: str) -> None:
    """Not for a file that is found, nor for a URL."""
    Path("cat.png").write_bytes(image_bytes())
    async with connected(person, mode) as client:
        assert (await edit(client, "cat.png"))["status"] == "succeeded"
        await edit(client, "https://example.com/cat.png")
        assert person.asked == 0


@BOTH_ERAS
async def test_a_root_that_opens_too_much_is_none(person: Person, mode: str) -> None:
    """The disk, a hidden folder, another machine: the error is as without roots."""
    hidden = person.project.parent / ".hidden"
    hidden.mkdir()
    (hidden / "cat.png").write_bytes(image_bytes())
    person.roots = ["file:///", Path.home().as_uri(), hidden.as_uri(), f"file://nas{person.project}"]
    async with connected(person, mode) as client:
        for path in (hidden / "cat.png", person.project / "assets" / "cat.png"):
            told = await edit(client, str(path))
            assert told["error"]["code"] == "file_not_allowed"
            assert "my project" not in told["error"]["message"].replace(str(path), "")


@BOTH_ERAS
async def test_the_data_folder_is_not_read_through_a_root_around_it(person: Person, mode: str) -> None:
    """Copies of others may be there."""
    person.roots = [person.project.parent.as_uri()]
    async with connected(person, mode) as client:
        secret = person.project.parent / "data" / "pictures" / "secret.png"
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_bytes(image_bytes())
        assert (await edit(client, str(secret)))["error"]["code"] == "file_not_allowed"
        assert (await edit(client, str(person.project / "assets" / "cat.png")))["status"] == "succeeded"


@BOTH_ERAS
async def test_over_http_roots_are_not_asked_for(person: Person, mode: str) -> None:
    """They would be paths of another machine."""
    async with connected(person, mode, is_local=False) as client:
        told = await edit(client, str(person.project / "assets" / "cat.png"))
        assert told["error"]["code"] == "file_not_allowed"
        assert "over HTTP" in told["error"]["message"]
        if mode == "legacy":
            await client.session.send_notification(types.RootsListChangedNotification())
            assert (await edit(client, "https://example.com/cat.png"))["status"] == "failed"
        assert person.asked == 0


@BOTH_ERAS
async def test_a_client_without_roots_is_not_asked(person: Person, mode: str) -> None:
    """The file is refused at once."""
    async with connected(person, mode, list_roots_callback=None) as client:
        assert (await edit(client, "assets/cat.png"))["error"]["code"] == "unusable_image"
        assert person.asked == 0


async def test_roots_that_change_are_asked_for_again(person: Person) -> None:
    """Where the protocol tells of it."""
    path = str(person.project / "assets" / "cat.png")
    person.roots = []
    async with connected(person, "legacy") as client:
        for _ in range(2):
            assert (await edit(client, path))["error"]["code"] == "file_not_allowed"
        assert person.asked == 1
        person.roots = [person.project.as_uri()]
        await client.session.send_notification(types.RootsListChangedNotification())
        assert (await edit(client, path))["status"] == "succeeded"
        assert person.asked == 2


@BOTH_ERAS
async def test_after_a_minute_they_are_asked_for_again(person: Person, mode: str) -> None:
    """Where it does not tell, too."""
    path = str(person.project / "assets" / "cat.png")
    person.roots = []
    async with connected(person, mode) as client:
        assert (await edit(client, path))["error"]["code"] == "file_not_allowed"
        person.roots = [person.project.as_uri()]
        await anyio.sleep(61)
        assert (await edit(client, path))["status"] == "succeeded"


async def test_a_client_that_does_not_answer_holds_nothing(person: Person) -> None:
    """It is waited for a second, and not again for the next call."""

    async def hang(_context: Any) -> types.ListRootsResult:
        person.asked += 1
        await anyio.sleep_forever()
        raise AssertionError

    async with connected(person, "legacy", list_roots_callback=hang) as client:
        for _ in range(3):
            with anyio.fail_after(5):
                assert (await edit(client, "assets/cat.png"))["error"]["code"] == "unusable_image"
        assert person.asked == 1


async def test_a_client_that_refuses_to_answer_holds_nothing(person: Person) -> None:
    """The call goes on without."""

    async def refuse(_context: Any) -> types.ErrorData:
        person.asked += 1
        return types.ErrorData(code=types.INTERNAL_ERROR, message="no")

    async with connected(person, "legacy", list_roots_callback=refuse) as client:
        assert (await edit(client, "assets/cat.png"))["error"]["code"] == "unusable_image"
        assert person.asked == 1


@BOTH_ERAS
async def test_roots_and_the_question_of_cost_go_together(person: Person, mode: str) -> None:
    """In the era of round trips the answers come one after the other, and the person takes their time."""

    async def agree(context: Any, params: Any) -> types.ElicitResult:
        await anyio.sleep(120)
        return await person.agree(context, params)

    more: dict[str, Any] = {"JOURNEY_MCP_CONFIRM_ABOVE": "0.001usd", "elicitation_callback": agree}
    async with connected(person, mode, **more) as client:
        told = await edit(client, "assets/cat.png")
        assert told["status"] == "succeeded", told
        assert (person.asked, person.agreed) == (1, 1)
