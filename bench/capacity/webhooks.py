"""How soon a webhook at one replica wakes a caller at another, over a whole call of a real client."""

import asyncio
import tempfile
from pathlib import Path

from postgres import running_server
from replicas.wakeups import wake_callers


def measure_wakeups(calls: int) -> list[float]:
    """Return the milliseconds from each webhook's post to the result at the client."""
    with tempfile.TemporaryDirectory(prefix="journey-bench-") as folder, running_server("wheel") as database:
        seen = asyncio.run(wake_callers(database, Path(folder), calls=calls))
    return [delay_s * 1000 for delay_s in seen.delays_s]
