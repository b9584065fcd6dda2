"""The commands of the command line, each a new process, beside `python -c "import sqlalchemy"`; help beside Typer."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from bench.measure import OURS, Samples, clean_environment, running_upstream

IMPORT = ("import", "sqlalchemy")
"""What the commands are compared with, as figure and server."""
TYPER = ("import", "typer")
"""The same for help."""
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "models": (),
    "tasks": (),
    "spend": (),
    "doctor": (),
    "imagine": ("a lighthouse at dusk", "--model", "z-image", "--fresh"),
}
"""The arguments of each measured command."""
HELP = ("--help", "imagine --help")


def measure_commands(samples: Samples, rounds: int) -> None:
    """Run the import and all commands in turn, on one database. The first round only fills caches."""
    with tempfile.TemporaryDirectory(prefix="journey-bench-") as folder, running_upstream() as port:
        environment = {**clean_environment(port), "JOURNEY_MCP_DATA_DIR": folder}
        for number in range(rounds + 1):
            kept = samples if number else Samples()
            for beside in (IMPORT, TYPER):
                kept.add(*beside, _time_ms(environment, "-c", " ".join(beside)))
            for line in HELP:
                kept.add(f"`{line}`", OURS, _time_ms(environment, "-m", OURS, *line.split()))
            for command, arguments in COMMANDS.items():
                kept.add(f"`{command}`", OURS, _time_ms(environment, "-m", OURS, command, *arguments))


def _time_ms(environment: Mapping[str, str], *arguments: str) -> float:
    """Return how long Python runs with these arguments.

    Raises:
        CalledProcessError: it failed.
    """
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=True)
    return (time.perf_counter() - began) * 1000
