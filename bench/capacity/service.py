"""A service to measure: replicas on one PostgreSQL and at one upstream, and the CPU time of each part."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from postgres import Server, running_server

from bench.measure import clean_environment, free_port, running_upstream
from bench.over_http import HttpServer, cpu_s, running_http


@dataclass(frozen=True, kw_only=True)
class Used:
    """CPU seconds since some moment."""

    replicas_s: float
    database_s: float
    client_s: float
    """Of this process, which makes the calls."""

    def since(self, before: "Used") -> "Used":
        """Return what was used since then."""
        return Used(
            replicas_s=self.replicas_s - before.replicas_s,
            database_s=self.database_s - before.database_s,
            client_s=self.client_s - before.client_s,
        )


@dataclass(frozen=True, kw_only=True)
class Service:
    """Replicas that run."""

    replicas: Sequence[HttpServer]
    database: Server
    database_url: str
    upstream_url: str

    def used(self) -> Used:
        """Return what was used until now."""
        return Used(
            replicas_s=sum(replica.cpu_s() for replica in self.replicas),
            database_s=self._database_s(),
            client_s=time.process_time(),
        )

    def transactions(self) -> int:
        """Return how many transactions the database has committed; its processes report that once a second."""
        time.sleep(2.0)
        ((transactions,),) = self.database.execute("SELECT sum(xact_commit) FROM pg_stat_database")
        return int(transactions)

    def _database_s(self) -> float:
        """Return the CPU time of all processes of the database, also of those that have ended."""
        ((text,),) = self.database.execute("SELECT pg_read_file('postmaster.pid')")
        postmaster = int(text.split()[0])
        stat = Path(f"/proc/{postmaster}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ended_s = sum(map(int, stat[13:15])) / os.sysconf("SC_CLK_TCK")
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split()
        running_s = cpu_s(postmaster)
        for pid in map(int, children):
            with suppress(OSError):  # it has just ended
                running_s += cpu_s(pid)
        return ended_s + running_s


@contextmanager
def running_service(size: int, *, image_s: float = 0.0, more: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Run so many replicas, whose upstream needs `image_s` for an image; `more` are variables of theirs."""
    with ExitStack() as stack:
        upstream_port = stack.enter_context(running_upstream(image_s))
        # what is measured is CPU time, and waiting for the disk uses none
        database = stack.enter_context(running_server("wheel"))
        environment = {
            **clean_environment(upstream_port),
            "JOURNEY_MCP_DATABASE_URL": database.new_database(),
            "JOURNEY_MCP_LOG_LEVEL": "error",
            **(more or {}),
        }
        replicas = []
        for _ in range(size):
            port, folder = free_port(), stack.enter_context(tempfile.TemporaryDirectory(prefix="journey-bench-"))
            arguments = ["journey_mcp", "serve", "--port", str(port)]
            mine = {**environment, "JOURNEY_MCP_DATA_DIR": folder}
            replicas.append(stack.enter_context(running_http(arguments, port, mine)))
        yield Service(
            replicas=replicas,
            database=database,
            database_url=environment["JOURNEY_MCP_DATABASE_URL"],
            upstream_url=environment["JOURNEYAPI_BASE_URL"],
        )
