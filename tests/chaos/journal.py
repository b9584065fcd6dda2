"""The journal, read without the server: a SQLite database on disk, or a PostgreSQL database."""

import json
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

_COLUMNS = ("id", "provider", "status", "final", "submission", "prediction_id", "lease_worker", "request", "outcome")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM tasks"
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_ENDED_WITHIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One task of the journal."""

    id: str
    provider: str
    status: str
    final: bool
    submission: str
    prediction_id: str | None
    worker_id: str
    """The worker that has, or had, the lease."""
    prompt: str
    outcome: Any
    """The result: `images`, `grid_url`, `cost`, `failure` and more, as far as known."""

    @property
    def code(self) -> str | None:
        """The code of its failure."""
        return (self.outcome.get("failure") or {}).get("code")

    @property
    def awaits_webhook(self) -> bool:
        """Whether it was sent without a response and its webhook may still arrive."""
        return (self.status, self.submission) == ("running", "sent") and "callback_deadline" in self.outcome

    @property
    def urls(self) -> frozenset[str]:
        """Its image URLs, including the grid image."""
        urls = {image["url"] for image in self.outcome.get("images", ())}
        return frozenset(urls | ({self.outcome["grid_url"]} if "grid_url" in self.outcome else set()))


def read_journal(folder: Path) -> tuple[Row, ...]:
    """Return the rows of a data folder that no server has open, read from a copy: the original stays unchanged."""
    with tempfile.TemporaryDirectory() as copy:
        for path in folder.glob("tasks.db*"):
            # the index of the write-ahead log belongs to processes that ran
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy)
        with closing(sqlite3.connect(Path(copy) / "tasks.db")) as connection:
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tasks'").fetchall()
            rows = connection.execute(_SELECT).fetchall() if known else []
    return tuple(_read(dict(zip(_COLUMNS, row, strict=True))) for row in rows)


def read_postgresql_journal(url: str) -> tuple[Row, ...]:
    """Return the rows of a PostgreSQL database."""
    with psycopg.connect(url, autocommit=True) as connection:
        [(table,)] = connection.execute("SELECT to_regclass('tasks')").fetchall()
        rows = connection.execute(_SELECT).fetchall() if table else []
    return tuple(_read(dict(zip(_COLUMNS, row, strict=True))) for row in rows)


def await_last_statements(url: str) -> None:
    """Wait until nobody is connected any more: what a killed server had sent last may be stored after its death."""
    deadline = time.monotonic() + _ENDED_WITHIN_S
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(_OTHERS).fetchall() != [(0,)]:
            if time.monotonic() > deadline:
                raise TimeoutError("somebody is still connected to the database")
            time.sleep(0.01)


def _read(row: dict[str, Any]) -> Row:
    request, outcome = json.loads(row.pop("request")), json.loads(row.pop("outcome"))
    row["final"], row["worker_id"] = bool(row["final"]), row.pop("lease_worker")
    return Row(**row, prompt=request["prompt"], outcome=outcome)
