"""Outbound webhooks: which receivers get the secret, which addresses are allowed, and what slow hosts delay."""

import base64
import string
from contextlib import AsyncExitStack
from random import Random

from engine.test_outbound_webhook_hosts import slow
from engine.test_outbound_webhooks import TRUSTED, Receiver, receiving
from support import Environment, make_environment, make_request

from attack.addresses import connections, forms, some_private
from attack.attempts import Ground, Outcome
from attack.leaks import sees
from journey_mcp.core.errors import InvalidWebhook
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.standard_webhooks import key_of
from journey_mcp.net.address_policy import FetchError
from journey_mcp.providers.base import WebhookDelivery
from journey_mcp.providers.webhook_auth import read_signed

_ALLOWED = "https://hooks.example.com,https://93.184.216.34:8443"
_LOOK_ALIKES = (
    *(
        "https://hooks.example.com.evil.test/",
        "https://hooks.example.com@evil.test/",
        "https://evil.test/hooks.example.com",
    ),
    *(
        "https://hooks.example.com:8443/",
        "https://hooks.example.com%2eevil.test/",
        "https://evil.test#@hooks.example.com/",
    ),
    *(
        "https://evil.test\\\\@hooks.example.com/",
        "https://xhooks.example.com/",
        "https://example.com/",
        "https://93.184.216.34/",
    ),
    *("http://hooks.example.com/", "//hooks.example.com/", "https:hooks.example.com", "https://hooks。example。com:1/"),
    *(
        "https://93.184.216.34:84430/",
        "https://[::ffff:93.184.216.34]:8443/",
        "ftp://hooks.example.com/",
        "javascript:1",
    ),
)
_SCHEMES = (
    "https://{}/hook",
    "https://{}:8443/hook",
    "http://{}/hook",
    "https://kim:pass@{}/",
    "HTTPS://{}#@example.com/",
)


async def webhook_addresses(ground: Ground) -> Outcome:
    """Private addresses in every notation, and look-alikes of an allowed origin, are rejected without cost."""
    outcome = Outcome(unit="webhook addresses")
    private = [host for address in some_private(ground.random, ground.count(8)) for host in forms(address)]
    urls = [ground.random.choice(_SCHEMES).format(host) for host in private]
    for folder, attempts, setting in (("open", urls, ""), ("limited", [*_LOOK_ALIKES, *urls], _ALLOWED)):
        more = {"JOURNEY_MCP_WEBHOOK_ORIGINS": setting} if setting else {}
        async with make_environment(ground.folder / folder, **more) as here:
            for url in attempts:
                with connections() as made:
                    is_refused = await _is_refused(here, url)
                outcome.attempt(held=is_refused and not made, what=f"{url}: {made}")
            outcome.attempt(held=not here.sent, what=f"{len(here.sent)} creating requests")
    return outcome


async def _is_refused(here: Environment, url: str) -> bool:
    try:
        await here.studio.create(make_request(webhook_url=url), LOCAL)
    except (InvalidWebhook, FetchError):
        return True
    return False


def _secret(random: Random) -> str:
    """Return a secret, as plain text or in the form of Standard Webhooks."""
    text = "".join(random.choices(string.ascii_letters + string.digits, k=random.randrange(16, 60)))
    return random.choice((text, f"whsec_{base64.b64encode(text.encode()).decode()}"))


def webhook_problems(receiver: Receiver, secret: str, *, is_trusted: bool) -> list[str]:
    """Return the problems of the webhooks that this receiver got: a secret in them, or an invalid signature."""
    wrong = []
    for (headers, _), body in zip(receiver.received, receiver.bodies, strict=True):
        readable = {name: value for name, value in headers.items() if not (is_trusted and name == "x-webhook-secret")}
        if sees(f"{readable} {body.decode()}", [secret, secret.removeprefix("whsec_"), key_of(secret).decode()]):
            wrong.append(f"a secret in {readable}")
        message = read_signed(
            WebhookDelivery(headers=headers, body=body, secret="", at=float(headers["webhook-timestamp"]))
        )
        if not (message and message.is_signed_with(key_of(secret))) or message.is_signed_with(b"another"):
            wrong.append(f"an invalid signature: {readable}")
        if is_trusted != (headers.get("x-webhook-secret") == secret):
            wrong.append("the secret in the clear, or missing where a setting requires it")
    return wrong


async def webhook_secrets(ground: Ground) -> Outcome:
    """Receivers respond with any status and cause retries: none gets a secret, each can verify the signature."""
    outcome = Outcome(unit="webhooks sent")
    for number in range(ground.count(12)):
        statuses = [ground.random.choice((200, 204, 301, 302, 307, 401, 404, 500, 503)) for _ in range(4)]
        secret = _secret(ground.random)
        async with receiving(ground.authority, *statuses) as one, receiving(ground.authority, *statuses) as old:
            settings = {
                "JOURNEY_MCP_WEBHOOK_SECRET": secret,
                "JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS": old.url.removesuffix("/hook"),
            }
            async with make_environment(ground.folder / f"{number}", **settings, **TRUSTED) as here:
                for receiver in (one, old):
                    prompt = ground.random.choice(("a kite", f"a kite with {secret}"))
                    await here.made(prompt=prompt, webhook_url=receiver.url)
                await here.clock.sleep(300)
                for receiver in (one, old):
                    outcome.attempts += len(receiver.received)
                    outcome.succeeded += webhook_problems(receiver, secret, is_trusted=receiver is old)
                held = bool(one.received and old.received)
                outcome.attempt(held=held, what="a webhook that was not sent")
    return outcome


async def slow_webhooks(ground: Ground) -> Outcome:
    """Hosts never respond while many webhooks are due at each: other receivers get theirs at once."""
    outcome = Outcome(unit="webhooks sent while other hosts never respond")
    tls = ground.authority.server("127.0.0.1")
    for number in range(ground.count(3)):
        async with AsyncExitStack() as stack:
            hanging = [await stack.enter_async_context(slow(tls)) for _ in range(ground.random.randrange(1, 70))]
            receiver = await stack.enter_async_context(receiving(ground.authority))
            here = await stack.enter_async_context(make_environment(ground.folder / f"{number}", **TRUSTED))
            for count in range(2 * len(hanging)):
                await here.made(webhook_url=ground.random.choice(hanging).url, prompt=f"kite {count}")
            for count in range(1, 6):
                before, attempts = here.clock.elapsed(), sum(len(host.begun_at) for host in hanging)
                await here.made(webhook_url=receiver.url, prompt=f"another {count}")
                await receiver.until_received(count)
                outcome.attempt(held=here.clock.elapsed() - before < 1, what=f"{len(hanging)} hosts, {attempts} tries")
                await here.clock.sleep(ground.random.uniform(0, 12))
    return outcome
