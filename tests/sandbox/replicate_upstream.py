"""The common parts of the tests of Replicate and KKIAI: a client for either of them."""
# ruff: noqa: D102 - as for tests, the names say it

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from httpx2 import AsyncClient, Response

from journey_mcp.sandbox import Running, Settings, running

from .upstream import PLAIN

PRO = "black-forest-labs/flux-kontext-pro"
DEV = "black-forest-labs/flux-kontext-dev"
SCHNELL = "black-forest-labs/flux-schnell"
DIFFUSION = "ac732df83cea7fff18b8472768c88ad041fa750ff7682a21affe81863cbe77e4"


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A running sandbox and a client of one of its services with a valid key."""

    service: str
    running: Running
    client: AsyncClient

    @property
    def account(self) -> Any:
        return self.running.services[self.service]

    async def predict(self, model: str = PRO, *, headers: dict[str, str] | None = None, **inputs: Any) -> Response:
        body = {"input": {"prompt": "a paper boat", **inputs}}
        return await self.client.post(f"/models/{model}/predictions", json=body, headers=headers)

    async def run(self, version: str, **inputs: Any) -> Response:
        return await self.client.post("/predictions", json={"version": version, "input": inputs})

    async def made(self, model: str = PRO, **inputs: Any) -> Any:
        """Create a prediction and return it."""
        response = await self.predict(model, **inputs)
        assert response.status_code == (200 if self.service == "kkiai" else 201), response.text
        return response.json()

    async def fetch(self, prediction_id: str) -> Any:
        response = await self.client.get(f"/predictions/{prediction_id}")
        assert response.status_code == 200, response.text
        return response.json()

    async def image(self, url: str) -> Response:
        # without the key: images are public
        async with AsyncClient(**PLAIN) as client:
            return await client.get(url)


@asynccontextmanager
async def upstream(service: str, settings: Settings) -> AsyncIterator[Upstream]:
    """Start a sandbox with a client."""
    async with (
        running(settings) as sandbox,
        AsyncClient(
            base_url=sandbox.base_urls[service], headers={"Authorization": "Bearer r8_test"}, **PLAIN
        ) as client,
    ):
        yield Upstream(service=service, running=sandbox, client=client)
