"""The caller's webhook, posted by a server process that ends."""

from pathlib import Path

from engine.test_outbound_webhooks import TRUSTED, receiving
from processes import in_thread, server_process
from support import Authority, coarse, environment_for

from journey_mcp import sandbox


async def test_a_server_whose_client_disconnects_stays_until_the_webhook_is_posted(
    tmp_path: Path, authority: Authority
) -> None:
    """No other process would post it."""
    async with receiving(authority) as receiver, sandbox.running(coarse(speed=30)) as upstream:
        environment = environment_for(upstream.base_url, tmp_path, **TRUSTED, SSL_CERT_FILE=str(authority.file))
        with server_process(environment) as server:
            task = await in_thread(
                server.call, "imagine", prompt="a kite", model="midjourney", wait_s=0, webhook_url=receiver.url
            )
            assert task["status"] == "running"
            await in_thread(server.close)
        assert [task["status"] for task in receiver.objects] == ["succeeded"]
