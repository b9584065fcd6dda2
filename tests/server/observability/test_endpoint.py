"""`/metrics` over HTTP: for operators, at any address, also while the database is away."""

import logging
import re
from pathlib import Path

import httpx2
import pytest

from server.auth.served import add_token, serving_service, serving_with


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Return a tokens file."""
    return tmp_path / "tokens"


async def test_metrics_are_for_operators(tmp_path: Path, tokens: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever makes images does not see what others spend; the log of calls says who called."""
    caplog.set_level(logging.INFO, "journey_mcp.audit")
    ana, operator = add_token(tokens, "ana"), add_token(tokens, "ops", "scopes=admin")
    async with serving_service(tmp_path, JOURNEY_MCP_TOKENS_FILE=str(tokens)) as served:
        called = await served.call(ana, "imagine", prompt="a private kite", model="z-image")
        assert called.status == 200
        async with httpx2.AsyncClient(base_url=served.address, headers={"host": "10.1.2.3:8000"}) as http:

            async def scraped(token: str | None) -> httpx2.Response:
                return await http.get("/metrics", headers={"authorization": f"Bearer {token}"} if token else {})

            assert (await scraped(None)).status_code == 401
            assert (await scraped(ana)).status_code == 403
            found = await scraped(operator)
        assert found.status_code == 200
        assert found.headers["content-type"].startswith("text/plain")
    assert re.search('mcp_server_operation_duration_seconds_count{.*gen_ai_tool_name="imagine".*} 1.0', found.text)
    assert "journey_database_up 1.0" in found.text
    assert "private kite" not in found.text
    assert '"ana"' not in found.text
    (logged,) = [record.getMessage() for record in caplog.records if record.name == "journey_mcp.audit"]
    assert logged.startswith(
        "call caller=ana tool=imagine outcome=succeeded model=z-image provider=journeyapi task_id="
    )
    assert "private kite" not in logged


async def test_without_authentication_metrics_are_for_this_machine(tmp_path: Path) -> None:
    """A page of another host, whose name leads here, gets none; without a service there are none."""
    async with serving_with(tmp_path) as served, httpx2.AsyncClient(base_url=served.address) as http:
        assert (await http.get("/metrics", headers={"host": "evil.test"})).status_code == 421
        missing = await http.get("/metrics")
        assert missing.status_code == 404
        assert "journey-mcp[telemetry]" in missing.text
        assert (await http.post("/metrics")).status_code == 405
