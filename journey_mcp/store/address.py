"""Database URLs."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError


def parse(url: str) -> URL:
    """Read a database URL.

    Raises:
        ArgumentError, ValueError: it is not one; the latter for a port that is not a number.
    """
    parsed = make_url(url)
    # as it was written when the driver was an asynchronous one
    return parsed.set(drivername="sqlite") if parsed.drivername == "sqlite+aiosqlite" else parsed


def file_of(url: URL) -> Path | None:
    """Return the file that holds the tasks; `None` if no file does."""
    is_file = url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:"
    return Path(str(url.database)) if is_file else None


def without_password(url: URL) -> str:
    """Return the URL as it may be shown."""
    return url.render_as_string(hide_password=True)


def exists(url: str) -> bool:
    """Return whether opening this database would create nothing new; False for what is not a database URL."""
    try:
        parsed = parse(url)
    except (ArgumentError, ValueError):
        return False
    return parsed.get_backend_name() != "sqlite" or ((file := file_of(parsed)) is not None and file.is_file())
