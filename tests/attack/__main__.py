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

from attack import addresses, calls, files, machines, upstreams
from attack.attempts import MOST_SHOWN, Attack, Ground, Outcome
from bench.report import machine

_DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
ATTACKS: dict[str, Attack] = {
    "private addresses": addresses.private_addresses,
    "redirects": addresses.redirects,
    "rebinding": addresses.rebinding,
    "local files": files.hostile_paths,
    "providers": upstreams.hostile_answers,
    "arguments": calls.fuzzed_calls,
    "forged webhooks": calls.forged_webhooks,
    "limits on spending": machines.budgets,
    "equal calls": machines.duplicates,
    "kills": machines.kills,
}

IN_MANUAL_TIME = {"providers", "arguments", "forged webhooks", "redirects", "rebinding", "private addresses"}
"""These wait for nothing but their own code: polls and retries come at once."""


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
    lines, through = [], 0
    for name in options.only or ATTACKS:
        outcome, took_s = _run(name, f"{seed} {name}", options.scale)
        through += len(outcome.through)
        lines.append(_row(name, outcome, took_s))
        sys.stdout.write(f"{lines[-1]}\n")
        sys.stdout.writelines(f"  through: {what}\n" for what in outcome.through[:MOST_SHOWN])
        sys.stdout.flush()
    if options.write and not through:
        head = f"{machine()}, {today}, seed {seed}.\n\n"
        table = ["| attack | tried | got through | took |", "| --- | --- | --- | --- |", *lines]
        write(head + "".join(f"{line}\n" for line in table), _DOCUMENT, part="attack")
    return 1 if through else 0


def _run(name: str, seed: str, scale: float) -> tuple[Outcome, float]:
    loop = ManualLoop if name in IN_MANUAL_TIME else None
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=loop) as runner:
        started = time.monotonic()
        outcome = runner.run(ATTACKS[name](Ground(random=Random(seed), folder=Path(folder), scale=scale)))
        return outcome, time.monotonic() - started


def _row(name: str, outcome: Outcome, took_s: float) -> str:
    remark = f"; {outcome.remark}" if outcome.remark else ""
    return f"| {name} | {outcome.tried:,} {outcome.unit}{remark} | {len(outcome.through)} | {took_s:.1f} s |"


if __name__ == "__main__":
    sys.exit(main())
