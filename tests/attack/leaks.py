"""Keys, and passwords in URLs, that providers repeat or commands could print: they are never shown."""

import re
import string
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from cli.command import CommandLine
from core.test_redaction import FORMS, readings
from providers.test_new_provider import FACTS
from support import SERVICES, coarse

from attack.attempts import Ground, Outcome
from attack.upstreams import MODELS, in_one_field, meddling
from journey_mcp import sandbox

_FRAMES = (
    "{}",
    "your key {} is wrong",
    "https://images.test/{}.png",
    "https://kim:{}@images.test/a.png",
    "{0} or {0}?",
)
_MALFORMED: tuple[Callable[[str], str], ...] = (
    lambda key: f"{key[:12]}\n{key[12:]}",
    lambda key: f"{key}ü",
    lambda key: f'"{key}"',
    lambda key: f"Bearer {key}",
    lambda key: f"{key[:12]}\u2028{key[12:]}",
    lambda key: f"{key[:12]}\x7f{key[12:]}",
)
"""Mistakes that people and files make with a key; most of them are not allowed in an HTTP header."""


def _secret(random: Random) -> str:
    return "".join(random.choices(string.ascii_letters + string.digits + "-_.", k=random.randrange(16, 48)))


def sees(text: str, secrets: list[str]) -> str | None:
    """Return the secret that a reader finds in this text, in any form."""
    found = {"".join(reading.split()) for seen in (text, re.sub(r"\\[nrt]", "", text)) for reading in readings(seen)}
    return next((secret for secret in secrets if any(secret.lower() in reading for reading in found)), None)


def _stored(folder: Path) -> str:
    content = b"".join(file.read_bytes() for file in folder.glob("tasks.db*"))
    return re.sub(r"[^!-~]", "", content.decode("latin-1")).lower()


async def echoed_secrets(ground: Ground) -> Outcome:
    """Let providers repeat the key, or the password in their URL, in every form and in any field.

    Neither a result nor the database contains it, and the key is sent in its header whatever the URL contains.
    """
    outcome = Outcome(unit="provider responses that repeat a secret")
    for service, model in MODELS.items():
        random, key, password = ground.random, _secret(ground.random), _secret(ground.random)
        # the password is not sent to the others
        known = [key, password] if service == "bfl" else [key]

        def echo(random: Random = random, known: list[str] = known) -> Any:
            echoed = random.choice(list(FORMS.values()))(random.choice(known))
            return random.choice((random.choice(_FRAMES).format(echoed), {echoed: echoed}, [echoed] * 3))

        variable, _ = SERVICES[service]
        folder = ground.folder / service
        meddle, userinfo = in_one_field(random, echo), random.choice((f"kim:{password}@", f"{password}@"))
        opened = meddling(folder, service, meddle, userinfo=userinfo, **{variable: key})
        async with opened as (client, meddler):
            for number in range(ground.count(40)):
                given = {"prompt": f"a kite, {number}", "model": model, "provider": service, "wait_s": 2}
                result = await client.call_tool("imagine", given)
                outcome.attempt(held=not sees(result.model_dump_json(), [key, password]), what=f"{service}: {result}")
            listed = await client.call_tool("fetch_task", {})
            outcome.attempt(held=not sees(listed.model_dump_json(), [key, password]), what=f"{service}: the listing")
            stored = _stored(folder)
        is_stored = any(secret.lower() in stored for secret in (key, password))
        outcome.attempt(held=not is_stored, what=f"{service}: the database has a secret")
        misplaced_keys = [one for one in meddler.request_log.misplaced_keys if one.reason == "image"]
        outcome.attempt(held=not misplaced_keys, what=f"{service}: the key went to {misplaced_keys}")
        for headers in meddler.headers:
            held = any(key in value for value in headers.values())
            outcome.attempt(held=held, what=f"{service}: a request without the key, {list(headers)}")
    return outcome


async def printed_secrets(ground: Ground) -> Outcome:
    """Run commands with providers that repeat secrets, and with invalid keys: no secret is printed."""
    outcome = Outcome(unit="commands with secrets in their settings")
    commands = [("doctor",), ("doctor", "--json"), ("tasks",), ("imagine", "a kite"), ("imagine", "a kite", "--json")]
    ground.folder.joinpath("acme.toml").write_text(FACTS, encoding="utf-8")
    line = CommandLine(home=ground.folder)
    async with sandbox.running(coarse(speed=0)) as upstream:
        for _ in range(ground.count(24)):
            key, password = _secret(ground.random), _secret(ground.random)
            echo = ground.random.choice(list(FORMS.values()))(ground.random.choice((key, password)))
            body = {"errors": [{"msg": f"bad key {echo}"}], "detail": echo}
            faults = [
                sandbox.Fault(on=on, kind="status", status=400, times=None, body=body) for on in ("submit", "account")
            ]
            upstream.sandbox.faults.replace(faults)
            malformed, base_url = ground.random.choice(_MALFORMED)(key), upstream.base_url
            settings = ground.random.choice(
                (
                    {"JOURNEYAPI_API_KEY": key, "JOURNEYAPI_BASE_URL": base_url.replace("://", f"://kim:{password}@")},
                    {"JOURNEYAPI_API_KEY": key, "JOURNEYAPI_BASE_URL": f"http://kim:{password}@127.0.0.1:99999/"},
                    {"JOURNEYAPI_API_KEY": malformed, "JOURNEYAPI_BASE_URL": base_url},
                    {"JOURNEYAPI_API_KEY": key, "HTTPS_PROXY": f"socks9://kim:{password}@127.0.0.1:1"},
                    {
                        "JOURNEYAPI_API_KEY": key,
                        "JOURNEY_MCP_DATABASE_URL": f"postgresql://kim:{password}@127.0.0.1:1/x",
                    },
                    {"ACME_API_KEY": malformed, "JOURNEY_MCP_REGISTRY": str(ground.folder / "acme.toml")},
                )
            )
            done = await line.given(**settings).run(*ground.random.choice(commands))
            found = sees(done.out + done.err, [key[:12], password[:12]])
            outcome.attempt(held=not found and "Traceback" not in done.err, what=f"{done.out}{done.err}"[:300])
        made = [entry for entry in upstream.sandbox.request_log.submissions if entry.outcome == "created"]
        outcome.attempt(held=not made, what=f"{len(made)} tasks were made")
    return outcome
