"""What a token for some providers is shown: tools, models, prompts and completions name only what it may use."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.auth.served import ERAS, NEW, OLD, Served, add_token, serving_with

OTHERS = ("journeyapi", "replicate", "kkiai", "midjourney")
"""Names of providers and models that a token for Vtrix and Black Forest Labs cannot use."""


@asynccontextmanager
async def serving(folder: Path, *options: str) -> AsyncIterator[tuple[Served, str, str]]:
    """Serve; yield a token with these options, and one without any."""
    file = folder / "tokens"
    limited, free = add_token(file, "ada", *options), add_token(file, "bob")
    async with serving_with(folder, JOURNEY_MCP_TOKENS_FILE=str(file)) as served:
        yield served, limited, free


async def result_of(served: Served, token: str, method: str, era: str = NEW, **params: Any) -> Any:
    """Return the result of a request."""
    return (await served.send(token, method, params, era)).message["result"]


@pytest.mark.parametrize("era", ERAS)
async def test_only_usable_models_are_listed(era: str, tmp_path: Path) -> None:
    """In the tools, with another default, and in the list of models; other tokens see all."""
    async with serving(tmp_path, "providers=vtrix,bfl") as (served, limited, free):
        listed, whole = [(await result_of(served, token, "tools/list", era))["tools"] for token in (limited, free)]
        assert not [name for name in OTHERS if name in json.dumps(listed)]
        assert all(name in json.dumps(whole) for name in OTHERS)
        usable = listed[0]["inputSchema"]["properties"]
        every = whole[0]["inputSchema"]["properties"]["model"]["enum"]
        assert usable["model"]["enum"] == [model for model in every if model in usable["model"]["enum"]]
        assert set(usable["provider"]["enum"]) == {"vtrix", "bfl"}
        models, all_models = [
            (await result_of(served, token, "resources/read", era, uri="journey://models"))["contents"][0]["text"]
            for token in (limited, free)
        ]
        assert not [name for name in OTHERS if name in models]
        assert all(name in all_models for name in OTHERS)
        one = await served.send(limited, "resources/read", {"uri": "journey://models/midjourney"}, era)
        assert "Resource not found" in one.message["error"]["message"]


async def test_only_usable_models_are_completed(tmp_path: Path) -> None:
    """For arguments of prompts and for the template of models."""
    references = [
        ({"type": "ref/prompt", "name": "product_photo"}, "model"),
        ({"type": "ref/resource", "uri": "journey://models/{id}"}, "id"),
    ]
    async with serving(tmp_path, "providers=bfl") as (served, limited, free):
        for reference, name in references:
            argument = {"name": name, "value": "mid"}
            found = [
                (await result_of(served, token, "completion/complete", ref=reference, argument=argument))
                for token in (limited, free)
            ]
            assert [one["completion"]["values"][:1] for one in found] == [[], ["midjourney"]]


async def test_a_call_without_a_model_takes_the_default_that_was_listed(tmp_path: Path) -> None:
    """Its usual model is at a provider that this token cannot use."""
    async with serving(tmp_path, "providers=bfl") as (served, limited, _):
        (imagine, *_rest) = (await result_of(served, limited, "tools/list"))["tools"]
        made = (await served.call(limited, "imagine", prompt="a kite", wait_s=300)).structured
        assert made["provider"] == "bfl"
        assert f"Default {made['model']}." in imagine["inputSchema"]["properties"]["model"]["description"]


async def test_an_error_names_only_usable_models(tmp_path: Path) -> None:
    """Also one about an argument, which is found before the models are."""
    async with serving(tmp_path, "providers=bfl") as (served, limited, _):
        for wrong in ({"model": "dall-e"}, {"provider": "replicate"}, {"negative_prompt": "birds"}, {"style": "oil"}):
            error = json.dumps((await served.call(limited, "imagine", prompt="a kite", **wrong)).structured)
            assert not [name for name in ("journeyapi", "vtrix", "midjourney") if name in error]


async def test_a_token_without_any_configured_provider_can_read_only(tmp_path: Path) -> None:
    """What would make images is not listed, and an unknown tool."""
    async with serving(tmp_path, "providers=elsewhere") as (served, limited, _):
        listed = (await result_of(served, limited, "tools/list"))["tools"]
        assert [tool["name"] for tool in listed] == ["fetch_task", "cancel_task", "view_image", "keep_image"]
        assert (await result_of(served, limited, "prompts/list"))["prompts"] == []
        answer = await served.call(limited, "imagine", prompt="a kite")
        assert answer.message["error"]["message"].startswith("Unknown tool: imagine. Tools: fetch_task")


async def test_lists_of_one_token_are_not_for_another(tmp_path: Path) -> None:
    """A cache that serves several tokens must not share what depends on the token; without tokens all see the same."""
    lists = ("tools/list", "prompts/list")
    async with serving(tmp_path) as (served, _, free):
        scopes = [(await result_of(served, free, method))["cacheScope"] for method in lists]
        assert scopes == ["private", "private"]
        assert (await result_of(served, free, "server/discover"))["cacheScope"] == "public"
    async with serving_with(tmp_path / "open") as served:
        answers = [await served.send(None, method) for method in lists]
        assert [answer.message["result"]["cacheScope"] for answer in answers] == ["public", "public"]


async def test_the_tools_of_the_same_providers_are_built_once(tmp_path: Path) -> None:
    """Whatever the order in which tokens name them."""
    async with serving(tmp_path, "providers=vtrix,bfl") as (served, limited, _):
        other = add_token(tmp_path / "tokens", "eve", "providers=bfl,vtrix,elsewhere")
        first = await served.send(limited, "tools/list", {}, OLD)
        second = await served.send(other, "tools/list", {}, OLD)
        assert first.message == second.message
