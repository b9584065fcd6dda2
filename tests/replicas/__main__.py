"""`make load`: 500 sessions at three replicas behind a proxy, which die and are replaced while the sessions run."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from object_stores import running_object_store
from postgres import SOURCES, running_server

from replicas.trial import DISTURBANCES, run_trial, summary


def main() -> int:
    """Run the sessions and print what happened. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m replicas", description=__doc__)
    parser.add_argument("--sessions", type=int, default=500, help="concurrent sessions (%(default)s)")
    parser.add_argument("--source", choices=SOURCES, default="wheel", help="of PostgreSQL (%(default)s)")
    parser.add_argument("--keep", type=Path, help="an empty folder in which the logs are kept")
    names = list(dict.fromkeys(name for name, _ in DISTURBANCES))
    parser.add_argument("--only", choices=names, action="append", help="a disturbance; all of them without this option")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(options.source) as database,
        running_object_store() as store,
    ):
        chosen = [(name, disturb) for name, disturb in DISTURBANCES if name in (options.only or names)]
        running = run_trial(
            database, store, options.keep or Path(folder), sessions=options.sessions, disturbances=chosen
        )
        trial = asyncio.run(running)
    sys.stdout.write(summary(trial))
    return 1 if trial.problems else 0


if __name__ == "__main__":
    sys.exit(main())
