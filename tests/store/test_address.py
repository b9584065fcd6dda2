"""Database URLs: every usual form is read, and none is shown with a password."""

import sys
from typing import Any

import pytest

from journey_mcp.core.errors import SetupError, StoreUnavailable
from journey_mcp.store import open_store
from journey_mcp.store.address import parse, without_password
from journey_mcp.store.postgresql import connection_parameters

PORT = "5432"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://kim@db/tasks", {"host": "db", "user": "kim", "dbname": "tasks"}),
        ("postgres://kim:p%40ss@db:6432/tasks", {"host": "db", "port": 6432, "user": "kim", "password": "p@ss"}),
        ("postgresql+psycopg://db/tasks?sslmode=verify-full", {"host": "db", "sslmode": "verify-full"}),
        ("postgresql://kim:a,b@db/tasks", {"host": "db", "password": "a,b"}),
        ("postgresql:///tasks?host=/run/postgresql", {"host": "/run/postgresql"}),
        ("postgresql://kim@a:1,b:2/tasks", {"host": "a,b", "port": "1,2", "user": "kim", "dbname": "tasks"}),
        ("postgresql://a,b?connect_timeout=9", {"host": "a,b", "port": f"{PORT},{PORT}", "connect_timeout": "9"}),
        ("postgresql://[::1]:1,b/tasks", {"host": "::1,b", "port": f"1,{PORT}"}),
        ("postgresql://kim@/tasks?host=a:1&host=b:2", {"host": "a,b", "port": "1,2"}),
    ],
)
def test_an_address_is_read(url: str, expected: dict[str, Any]) -> None:
    """As PostgreSQL's tools and hosting services write it."""
    address = parse(url)
    _, found = address.get_dialect()().create_connect_args(address)
    assert {name: found.get(name) for name in expected} == expected


def test_no_password_is_shown() -> None:
    """Wherever it stands."""
    shown = without_password(parse("postgres://kim:s3cret@db/tasks?password=s4cret&sslpassword=s5cret&sslmode=require"))
    assert "cret" not in shown
    assert shown.startswith("postgresql://kim:***@db/tasks")
    assert "sslmode=require" in shown


def test_an_address_has_the_last_word_on_its_connections() -> None:
    """But statements are never prepared: a pool of connections loses them."""
    standard = connection_parameters({"host": "db"})
    assert (standard["connect_timeout"], standard["prepare_threshold"]) == ("3", None)
    assert "target_session_attrs" not in standard
    own = connection_parameters({"host": "a,b", "connect_timeout": "9", "options": "-c lock_timeout=1s"})
    assert (own["connect_timeout"], own["target_session_attrs"]) == ("9", "read-write")
    # of two, the server takes the last one
    assert own["options"].endswith("-c idle_in_transaction_session_timeout=10s -c lock_timeout=1s")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("mysql://db/tasks", r"mysql:// must be one of sqlite://, .*, postgresql\+psycopg://"),
        ("postgresql+asyncpg://db/tasks", r"postgresql\+asyncpg:// must be one of"),
        ("sqlite+aiosqlcipher://", r"sqlite\+aiosqlcipher:// must be one of"),
        ("postgresql://db:port/tasks", "port"),
        ("postgresql://a:port,b/tasks", "port"),
    ],
)
async def test_a_database_of_another_kind_is_refused(url: str, fault: str) -> None:
    """With those that there are."""
    with pytest.raises(SetupError, match=fault) as raised:
        async with open_store(url):
            pass
    assert "postgresql://user@host/database" in (raised.value.failure.next_step or "")


async def test_an_address_for_listening_is_read_as_well() -> None:
    """Its setting is named."""
    with pytest.raises(SetupError, match="JOURNEY_MCP_DATABASE_LISTEN_URL"):
        async with open_store("postgresql://127.0.0.1:9/tasks", listen_url="mysql://db"):
            pass


async def test_without_its_extra_a_postgresql_address_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver is no part of the standard installation."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SetupError, match="needs an extra") as raised:
        async with open_store("postgresql://db/tasks"):
            pass
    assert "pip install 'journey-mcp[postgres]'" in (raised.value.failure.next_step or "")


async def test_a_server_that_is_away_is_unavailable() -> None:
    """It may come back: the setting is not wrong, and its password is not shown."""
    with pytest.raises(StoreUnavailable, match=r"postgresql://kim:\*\*\*@127\.0\.0\.1:9/tasks .*refused\.$") as raised:
        async with open_store("postgresql://kim:s3cret@127.0.0.1:9/tasks"):
            pass
    assert "database server" in (raised.value.failure.next_step or "")


async def test_a_parameter_that_does_not_exist_is_a_wrong_setting() -> None:
    """No connection is tried."""
    with pytest.raises(SetupError, match="nonsense"):
        async with open_store("postgresql://127.0.0.1:9/tasks?nonsense=1"):
            pass
