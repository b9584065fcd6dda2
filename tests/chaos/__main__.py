"""`make chaos`: kill servers for some minutes and print a summary; `--write` also puts it into docs/reliability.md."""

import argparse
import asyncio
import datetime as dt
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from postgres import Server, running_server

from bench.report import machine
from chaos.audit import problems
from chaos.chain import run_all
from chaos.plan import KILLS, chains
from chaos.report import summary

DATABASES = ("sqlite", "postgresql")
_PARTS = {"sqlite": "chaos", "postgresql": "chaos on PostgreSQL"}
"""Where the figures of each database are in the document."""
_DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"


def main() -> int:
    """Run the kills and print the problems; with any problem nothing is written. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help=f"of {KILLS} kills each (%(default)s)")
    parser.add_argument("--seed", type=int, help="repeats a plan; the default is derived from the date")
    parser.add_argument("--at-once", type=int, default=6, help="chains of servers that run concurrently (%(default)s)")
    parser.add_argument("--keep", type=Path, help="an empty folder in which the databases and logs are kept")
    parser.add_argument("--database", choices=DATABASES, default=DATABASES[0], help="of the servers (%(default)s)")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md too")
    options = parser.parse_args()
    today = dt.datetime.now(tz=dt.UTC).date()
    seed: int = int(f"{today:%Y%m%d}") if options.seed is None else options.seed
    planned = [chain for round_ in range(options.rounds) for chain in chains(seed, round_)]
    with tempfile.TemporaryDirectory() as folder, _server_of(options.database) as database:
        started = time.monotonic()
        running = run_all(planned, options.keep or Path(folder), at_once=options.at_once, database=database)
        records = asyncio.run(running)
    text = summary(records, seed=seed, where=machine(), when=f"{today}", took_s=time.monotonic() - started)
    sys.stdout.write(text)
    found = [problem for chain in records for problem in problems(chain)]
    sys.stdout.writelines(f"{problem}\n" for problem in found)
    if not found and options.write:
        write(text, _DOCUMENT, _PARTS[options.database])
    return 1 if found else 0


def _server_of(database: str) -> AbstractContextManager[Server | None]:
    return running_server("wheel") if database == "postgresql" else nullcontext()


def write(text: str, document: Path, part: str = "chaos") -> None:
    """Write the summary into its part of the document."""
    start, end = f"<!-- {part} -->\n", f"<!-- /{part} -->"
    before, start, rest = document.read_text(encoding="utf-8").partition(start)
    _, end, after = rest.partition(end)
    if not end:
        raise ValueError(f"{document} has no part {part}")
    document.write_text(f"{before}{start}{text}{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
