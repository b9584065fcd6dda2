"""All attacks, and a way to run one of them."""

import asyncio
import logging
import tempfile
import time
from pathlib import Path
from random import Random

from manual_clock import ManualLoop, count_threads
from support import isolate

from attack import (
    addresses,
    calls,
    databases,
    files,
    fuzzing,
    hidden,
    hooks,
    hostile_requests,
    idle_connections,
    images,
    leaks,
    lines,
    machines,
    outputs,
    prompts,
    public_images,
    registries,
    upstreams,
)
from attack.attempts import Attack, Ground, Outcome

IN_MANUAL_TIME: dict[str, Attack] = {
    "private addresses": addresses.private_addresses,
    "redirects": addresses.redirects,
    "rebinding": addresses.rebinding,
    "providers": upstreams.hostile_answers,
    "too many images": upstreams.too_many_images,
    "secrets": leaks.echoed_secrets,
    "arguments": calls.fuzzed_calls,
    "hidden data": hidden.hidden_data,
    "damaged databases": databases.damaged_databases,
    "registry files": registries.invalid_registries,
    "forged webhooks": calls.forged_webhooks,
    "swapped webhooks": calls.swapped_webhooks,
    "webhook addresses": hooks.webhook_addresses,
    "webhook secrets": hooks.webhook_secrets,
    "slow webhooks": hooks.slow_webhooks,
    "hostile headers": hostile_requests.hostile_headers,
    "hostile bodies": hostile_requests.hostile_bodies,
    "foreign ids": hostile_requests.foreign_ids,
    "image links": public_images.image_links,
    "disguised images": public_images.disguised_images,
}
"""Attacks without real processes: polls and retries take no real time."""
IN_REAL_TIME: dict[str, Attack] = {
    "fuzzed service": fuzzing.fuzzed_service,
    "idle connections": idle_connections.idle_connections,
    "local files": files.hostile_paths,
    "secrets in commands": leaks.printed_secrets,
    "outputs": outputs.replaced_things,
    "malformed lines": lines.malformed_lines,
    "huge texts": prompts.huge_texts,
    "many names": images.many_names,
    "hostile images": images.hostile_images,
    "hostile views": images.hostile_views,
    "budgets": machines.budgets,
    "duplicate calls": machines.duplicates,
    "kills": machines.kills,
}
ATTACKS = IN_MANUAL_TIME | IN_REAL_TIME


def run(name: str, seed: str, scale: float) -> tuple[Outcome, float]:
    """Run one attack in this process; return its outcome, and the seconds that it took."""
    count_threads()
    logging.disable(logging.CRITICAL)
    loop = ManualLoop if name in IN_MANUAL_TIME else None
    with (
        tempfile.TemporaryDirectory() as certificates,
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=loop) as runner,
    ):
        authority = isolate(Path(certificates))
        started = time.monotonic()
        ground = Ground(random=Random(seed), folder=Path(folder), authority=authority, scale=scale)
        outcome = runner.run(ATTACKS[name](ground))
        return outcome, time.monotonic() - started
