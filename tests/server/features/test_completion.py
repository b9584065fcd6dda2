"""Completion through a real client, in both eras: names of models, and ids."""

from pathlib import Path

import mcp_types as types
import pytest
from mcp import Client, MCPError
from support import client_of, settings_for

from journey_mcp.core.images import OutputImage
from journey_mcp.core.principals import Principal
from journey_mcp.server.features import uris
from server.test_listing import client_with, make_task

ERAS = ["auto", "legacy"]


async def of_prompt(client: Client, value: str, *, prompt: str = "product_photo", name: str = "model") -> list[str]:
    """Return the values for a prompt's argument."""
    ref = types.PromptReference(type="ref/prompt", name=prompt)
    return (await client.complete(ref, {"name": name, "value": value})).completion.values


async def of_uri(client: Client, template: str, value: str) -> types.Completion:
    """Return the completion of a template's variable."""
    ref = types.ResourceTemplateReference(type="ref/resource", uri=template)
    return (await client.complete(ref, {"name": "id", "value": value})).completion


@pytest.mark.parametrize("mode", ERAS)
async def test_models_are_completed(mode: str, tmp_path: Path) -> None:
    """Those that begin so come first, then those that contain it, in any case."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path), mode) as client:
        assert await of_prompt(client, "Mid") == ["midjourney"]
        kontext = await of_prompt(client, "kontext")
        assert kontext == ["flux-kontext-pro", "flux-kontext-max"]
        assert len(await of_prompt(client, "")) > 20
        assert await of_prompt(client, "teapot", name="product") == []
        assert (await of_uri(client, uris.MODEL, "midj")).values == ["midjourney", "midjourney-blend"]


async def test_the_last_of_several_models_is_completed(tmp_path: Path) -> None:
    """Without those that are given, and without those that need an image."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path)) as client:

        async def completed(value: str) -> list[str]:
            return await of_prompt(client, value, prompt="compare_models", name="models")

        assert await completed("midjourney,flux-2-d") == ["midjourney, flux-2-dev"]
        assert await completed("midjourney, midj") == []
        assert await completed("seeded") == []
        assert "midjourney" in await completed("")
        assert await completed(f"{'x' * 1_000},") == []


@pytest.mark.parametrize("mode", ERAS)
async def test_ids_are_completed_newest_first(mode: str, tmp_path: Path) -> None:
    """At most 100, and only those of the principal."""
    two = (OutputImage(url="https://example.test/1.png"), OutputImage(url="https://example.test/2.png"))
    tasks = [make_task(f"kite {number}", age_s=number, images=two) for number in range(60)]
    foreign = make_task("kite", principal=Principal("another"))
    async with client_with(tmp_path, *tasks, foreign, mode=mode) as client:
        found = await of_uri(client, uris.IMAGE, "tsk_")
        assert found.values == [f"{task.id}.{number}" for task in tasks[:50] for number in (1, 2)]
        assert (found.total, found.has_more) == (120, True)
        found = await of_uri(client, uris.IMAGE, tasks[3].id)
        assert (found.values, found.has_more) == ([f"{tasks[3].id}.1", f"{tasks[3].id}.2"], False)
        assert (await of_uri(client, uris.TASK, tasks[7].id[:20])).values == [tasks[7].id]
        assert (await of_uri(client, uris.IMAGE, foreign.id)).values == []
        assert (await of_uri(client, "journey://other/{id}", "t")).values == []


async def test_an_unknown_prompt_is_an_error(tmp_path: Path) -> None:
    """It names those that there are."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path)) as client:
        with pytest.raises(MCPError, match="Unknown prompt: nothing"):
            await of_prompt(client, "", prompt="nothing")
