"""`make attack`: attack the product for a few minutes, print what held; `--write` puts it into docs/reliability.md."""

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
from support import Authority, seclude

from attack import (
    addresses,
    calls,
    databases,
    files,
    hidden,
    hooks,
    idle_connections,
    images,
    leaks,
    lines,
    machines,
    outputs,
    prompts,
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
    "masses of images": upstreams.masses_of_images,
    "secrets": leaks.echoed_secrets,
    "arguments": calls.fuzzed_calls,
    "hidden data": hidden.hidden_data,
    "harmed databases": databases.harmed_databases,
    "registry files": registries.spoiled_registries,
    "forged webhooks": calls.forged_webhooks,
    "addresses of webhooks": hooks.webhook_addresses,
    "secrets of webhooks": hooks.webhook_secrets,
    "slow webhooks": hooks.slow_webhooks,
}
"""These wait for nothing but their own code: polls and retries come at once."""
IN_REAL_TIME: dict[str, Attack] = {
    "idle connections": idle_connections.idle_connections,
    "local files": files.hostile_paths,
    "secrets in commands": leaks.printed_secrets,
    "outputs": outputs.replaced_things,
    "malformed lines": lines.malformed_lines,
    "huge texts": prompts.huge_texts,
    "many names": images.many_names,
    "hostile images": images.hostile_images,
    "limits on spending": machines.budgets,
    "equal calls": machines.duplicates,
    "kills": machines.kills,
}
ATTACKS = IN_MANUAL_TIME | IN_REAL_TIME


def main() -> int:
    """Run them; 0 when nothing got through. Only then it is written."""
    parser = argparse.ArgumentParser(prog="python -m attack", description=__doc__)
    parser.add_argument("--seed", type=int, help="chooses the attempts; without it, the day does")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1 for fewer attempts (%(default)s)")
    parser.add_argument("--only", choices=ATTACKS, action="append", help="this one, and others that are named")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md too")
    options = parser.parse_args()
    today = dt.datetime.now(tz=dt.UTC).date()
    seed: int = int(f"{today:%Y%m%d}") if options.seed is None else options.seed
    count_threads()
    logging.disable(logging.CRITICAL)
    rows, through = [], 0
    with tempfile.TemporaryDirectory() as folder:
        authority = seclude(Path(folder))
        for name in options.only or ATTACKS:
            outcome, took_s = _run(name, f"{seed} {name}", authority, options.scale)
            through += len(outcome.through)
            rows.append(_row(name, outcome, took_s))
            sys.stdout.write(f"{rows[-1]}\n")
            sys.stdout.writelines(f"  through: {what}\n" for what in outcome.through[:MOST_SHOWN])
            sys.stdout.flush()
    if options.write and not through:
        head = f"{machine()}, {today}, seed {seed}.\n\n"
        table = ["| attack | tried | got through | took |", "| --- | --- | --- | --- |", *rows]
        write(head + "".join(f"{line}\n" for line in table), _DOCUMENT, part="attack")
    return 1 if through else 0


def _run(name: str, seed: str, authority: Authority, scale: float) -> tuple[Outcome, float]:
    loop = ManualLoop if name in IN_MANUAL_TIME else None
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=loop) as runner:
        started = time.monotonic()
        ground = Ground(random=Random(seed), folder=Path(folder), authority=authority, scale=scale)
        outcome = runner.run(ATTACKS[name](ground))
        return outcome, time.monotonic() - started


def _row(name: str, outcome: Outcome, took_s: float) -> str:
    remark = f"; {outcome.remark}" if outcome.remark else ""
    return f"| {name} | {outcome.tried:,} {outcome.unit}{remark} | {len(outcome.through)} | {took_s:.1f} s |"


if __name__ == "__main__":
    sys.exit(main())
