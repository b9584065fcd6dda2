"""The recipe of docs/new-provider.md: a provider with a new protocol, from facts to a finished image."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from manual_clock import ManualClock
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support import client_of, make_request, serving

from journey_mcp.core.errors import JourneyError, UnknownModel
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.providers.base import Account
from journey_mcp.providers.clients import ADAPTERS
from journey_mcp.providers.error_mapping import parse_submission, quoted_reason, refusal_of, unusable_response
from journey_mcp.providers.http import POLL_TIMEOUT_S, HttpResponse, bearer, http_request, read_id
from journey_mcp.providers.parsing import read_images
from journey_mcp.providers.payloads import write_fields
from journey_mcp.registry import Offer, load
from journey_mcp.registry.selection import catalog_of
from journey_mcp.routing.validation import offers_of
from journey_mcp.settings import read_settings
from journey_mcp.studio import open_studio

IMAGES = '{ support = "optional", fields = ["picture"], encodings = ["url"] }'
FACTS = f"""
[provider]
id = "acme"
title = "Acme Pictures"
wire = "acme"
base_url = "https://api.acme.test"
key_variable = "ACME_API_KEY"
base_url_variable = "ACME_BASE_URL"
sources = ["https://acme.test/docs"]
checked = 2026-11-21

[[offer]]
model = "flux-kontext-pro"
wire_id = "kontext"
synchronous = false
usd = 0.02
images = {IMAGES}
parameters.seed = {{ wire_name = "random_seed" }}
sources = ["https://acme.test/docs/kontext"]
checked = 2026-11-21
"""


class Acme:
    """The adapter: POST /jobs, GET /jobs/{id}."""

    def __init__(self, account: Account, http: httpx2.AsyncBaseTransport) -> None:
        self._account, self._http, self._auth = account, http, bearer(account.key)

    def submit(self, request: PreparedRequest, offer: Offer) -> Awaitable[Prediction]:
        """Create one job."""
        url = httpx2.URL(f"{self._account.base_url}/jobs")
        body = {"model": offer.wire_id, **write_fields(request, offer)}
        sending = http_request(self._http, "POST", url, auth=self._auth, timeout_s=60, body=body)
        return parse_submission(sending, self._account, refusal=self._refusal, read=read_job)

    async def fetch(self, handles: Sequence[Handle]) -> Mapping[str, Prediction]:
        """Fetch one job."""
        (handle,) = handles
        url = httpx2.URL(f"{self._account.base_url}/jobs/{handle.prediction_id}")
        response = await http_request(self._http, "GET", url, auth=self._auth, timeout_s=POLL_TIMEOUT_S)
        prediction = read_job(response.mapping)
        if prediction is None:
            raise self._refusal(response) or unusable_response(response, self._account)
        return {handle.prediction_id: prediction}

    def _refusal(self, response: HttpResponse) -> JourneyError | None:
        return refusal_of(response, self._account, quoted_reason(response.mapping.get("why"), response=response))


def read_job(body: Mapping[str, Any]) -> Prediction | None:
    """Read a job; `None` when it has no id."""
    prediction_id, url = read_id(body.get("job")), body.get("url")
    if prediction_id is None:
        return None
    images = read_images([url]).kept
    return Prediction(prediction_id=prediction_id, status=Status.SUCCEEDED if images else Status.RUNNING, images=images)


@asynccontextmanager
async def acme() -> AsyncIterator[tuple[str, list[Any]]]:
    """Acme's server, with the requests that it received."""
    seen: list[Any] = []

    async def create(request: Request) -> JSONResponse:
        seen.append((request.headers["authorization"], await request.json()))
        return JSONResponse({"job": "j1"})

    async def tell(_request: Request) -> JSONResponse:
        return JSONResponse({"job": "j1", "url": "https://cdn.acme.test/1.png"})

    routes = [Route("/jobs", create, methods=["POST"]), Route("/jobs/j1", tell)]
    async with serving(Starlette(routes=routes)) as address:
        yield address, seen


@pytest.mark.parametrize(
    ("images", "tools", "left_out"),
    [
        ('{ support = "none" }', ["imagine", "fetch_task", "cancel_task", "view_image", "keep_image"], "edit_image"),
        (
            IMAGES.replace("optional", "required"),
            ["edit_image", "fetch_task", "cancel_task", "view_image", "keep_image"],
            "imagine",
        ),
    ],
)
async def test_a_tool_without_a_model_is_left_out(tmp_path: Path, images: str, tools: list[str], left_out: str) -> None:
    """A provider may only make images, or only edit them; a call of the other tool is an error that says so."""
    (tmp_path / "acme.toml").write_text(
        FACTS.replace(IMAGES, images).replace("flux-kontext-pro", "z-image"), encoding="utf-8"
    )
    settings = read_settings(
        {
            "ACME_API_KEY": "acme-secret",
            "JOURNEY_MCP_REGISTRY": str(tmp_path / "acme.toml"),
            "JOURNEY_MCP_DATA_DIR": str(tmp_path),
        }
    )
    async with client_of(settings) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == tools
    request = make_request(
        tool=left_out, model="", image="https://example.test/a.png" if left_out == "edit_image" else None
    )
    with pytest.raises(UnknownModel, match=f"No configured provider has a model for {left_out}"):
        offers_of(request, catalog_of(settings, load(settings.registry)))


async def test_a_provider_is_its_facts_and_one_adapter(tmp_path: Path) -> None:
    """Its models are offered, its key is read, and its images are returned."""
    (tmp_path / "acme.toml").write_text(FACTS, encoding="utf-8")
    async with acme() as (address, seen):
        settings = read_settings(
            {
                "ACME_API_KEY": "acme-secret",
                "ACME_BASE_URL": address,
                "JOURNEY_MCP_REGISTRY": str(tmp_path / "acme.toml"),
                "JOURNEY_MCP_DATA_DIR": str(tmp_path),
            }
        )
        async with open_studio(settings, ManualClock(), {**ADAPTERS, "acme": Acme}) as studio:
            task = (await studio.create(make_request(model="flux-kontext-pro", prompt="a kite", seed=7), LOCAL)).task
            task = await studio.wait_for_new(task, 600)
        assert (task.status, task.provider, task.images[0].url) == (
            Status.SUCCEEDED,
            "acme",
            "https://cdn.acme.test/1.png",
        )
        assert seen == [("Bearer acme-secret", {"model": "kontext", "prompt": "a kite", "random_seed": 7})]
