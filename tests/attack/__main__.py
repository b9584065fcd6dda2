"""`make attack`: attack the product for some minutes and print the results; `--write` also puts them into the docs."""

import argparse
import datetime as dt
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from chaos.__main__ import write

from attack.all_attacks import ATTACKS, IN_MANUAL_TIME, IN_REAL_TIME, run
from attack.attempts import MOST_SHOWN, Outcome
from bench.report import machine

_DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
_STARTED = [*IN_REAL_TIME, *IN_MANUAL_TIME]
"""In this order: the longest is the first."""


def main() -> int:
    """Run the attacks. Return 0 if none succeeded, and none broke off; only then the results are written."""
    parser = argparse.ArgumentParser(prog="python -m attack", description=__doc__)
    parser.add_argument("--seed", type=int, help="selects the attempts; the default is derived from the date")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1 for fewer attempts (%(default)s)")
    parser.add_argument("--only", choices=ATTACKS, action="append", help="run this attack only; may be repeated")
    parser.add_argument("--at-once", type=int, default=2, help="attacks, each in a process (%(default)s)")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md too")
    options = parser.parse_args()
    today = dt.datetime.now(tz=dt.UTC).date()
    seed: int = int(f"{today:%Y%m%d}") if options.seed is None else options.seed
    chosen = [name for name in _STARTED if name in (options.only or ATTACKS)]
    rows: dict[str, str] = {}
    has_failed = False
    # a process for each: none inherits the memory, the variables or the limits of another one
    with ProcessPoolExecutor(options.at_once, get_context("spawn"), max_tasks_per_child=1) as processes:
        running = {processes.submit(run, name, f"{seed} {name}", options.scale): name for name in chosen}
        for ended in as_completed(running):
            name = running[ended]
            if error := ended.exception():
                sys.stdout.writelines([f"{name} broke off\n", *traceback.format_exception(error)])
                has_failed = True
                continue
            outcome, took_s = ended.result()
            has_failed |= bool(outcome.succeeded)
            rows[name] = _row(name, outcome, took_s)
            sys.stdout.write(f"{rows[name]}\n")
            sys.stdout.writelines(f"  succeeded: {what}\n" for what in outcome.succeeded[:MOST_SHOWN])
            sys.stdout.flush()
    if options.write and not has_failed:
        head = f"{machine()}, {today}, seed {seed}, {options.at_once} attacks at once.\n\n"
        table = ["| attack | attempts | succeeded | duration |", "| --- | --- | --- | --- |"]
        table += [rows[name] for name in ATTACKS if name in rows]
        write(head + "".join(f"{line}\n" for line in table), _DOCUMENT, part="attack")
    return 1 if has_failed else 0


def _row(name: str, outcome: Outcome, took_s: float) -> str:
    remark = f"; {outcome.remark}" if outcome.remark else ""
    return f"| {name} | {outcome.attempts:,} {outcome.unit}{remark} | {len(outcome.succeeded)} | {took_s:.1f} s |"


if __name__ == "__main__":
    sys.exit(main())
