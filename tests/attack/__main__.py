"""`make attack`: attack the product for some minutes and print the results; `--write` also puts them into the docs."""

import argparse
import asyncio
import datetime as dt
import logging
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from chaos.__main__ import write
from manual_clock import ManualLoop, count_threads
from support import Authority, isolate

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
from attack.attempts import MOST_SHOWN, Attack, Ground, Outcome
from bench.report import machine

_DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
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


def main() -> int:
    """Run the attacks. Return 0 if none succeeded; only then the results are written."""
    parser = argparse.ArgumentParser(prog="python -m attack", description=__doc__)
    parser.add_argument("--seed", type=int, help="selects the attempts; the default is derived from the date")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1 for fewer attempts (%(default)s)")
    parser.add_argument("--only", choices=ATTACKS, action="append", help="run this attack only; may be repeated")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md too")
    options = parser.parse_args()
    today = dt.datetime.now(tz=dt.UTC).date()
    seed: int = int(f"{today:%Y%m%d}") if options.seed is None else options.seed
    count_threads()
    logging.disable(logging.CRITICAL)
    rows, succeeded = [], 0
    with tempfile.TemporaryDirectory() as folder:
        authority = isolate(Path(folder))
        for name in options.only or ATTACKS:
            outcome, took_s = _run(name, f"{seed} {name}", authority, options.scale)
            succeeded += len(outcome.succeeded)
            rows.append(_row(name, outcome, took_s))
            sys.stdout.write(f"{rows[-1]}\n")
            sys.stdout.writelines(f"  succeeded: {what}\n" for what in outcome.succeeded[:MOST_SHOWN])
            sys.stdout.flush()
    if options.write and not succeeded:
        head = f"{machine()}, {today}, seed {seed}.\n\n"
        table = ["| attack | attempts | succeeded | duration |", "| --- | --- | --- | --- |", *rows]
        write(head + "".join(f"{line}\n" for line in table), _DOCUMENT, part="attack")
    return 1 if succeeded else 0


def _run(name: str, seed: str, authority: Authority, scale: float) -> tuple[Outcome, float]:
    loop = ManualLoop if name in IN_MANUAL_TIME else None
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=loop) as runner:
        started = time.monotonic()
        ground = Ground(random=Random(seed), folder=Path(folder), authority=authority, scale=scale)
        outcome = runner.run(ATTACKS[name](ground))
        return outcome, time.monotonic() - started


def _row(name: str, outcome: Outcome, took_s: float) -> str:
    remark = f"; {outcome.remark}" if outcome.remark else ""
    return f"| {name} | {outcome.attempts:,} {outcome.unit}{remark} | {len(outcome.succeeded)} | {took_s:.1f} s |"


if __name__ == "__main__":
    sys.exit(main())
