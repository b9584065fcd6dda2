"""Database URLs."""

import re
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_FORMER = {
    # as it was written when the driver was an asynchronous one
    "sqlite+aiosqlite": "sqlite",
    # as many hosting services write it
    "postgres": "postgresql",
}
_SECRET_OPTIONS = ("password", "sslpassword")
_SEVERAL_HOSTS = re.compile(
    r"(?P<start>[a-z0-9+]+://(?:[^/?#]*@)?)(?P<hosts>[^/?#@]*,[^/?#@]*)(?P<rest>(?:[/?].*)?)", re.DOTALL
)
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d+))?")
_PORT = "5432"


def parse(url: str) -> URL:
    """Read a database URL.

    Raises:
        ArgumentError, ValueError: it is not one; the latter for a port that is not a number.
    """
    parsed = make_url(_with_host_options(url))
    return parsed.set(drivername=_FORMER.get(parsed.drivername, parsed.drivername))


def _with_host_options(url: str) -> str:
    """Return a URL with several hosts, as PostgreSQL's tools take it, in the form that SQLAlchemy takes."""
    if (match := _SEVERAL_HOSTS.fullmatch(url)) is None:
        return url
    path, mark, query = match["rest"].partition("?")
    pairs = [_HOST.fullmatch(host) for host in match["hosts"].split(",")]
    if None in pairs:
        return url  # SQLAlchemy says what is wrong
    hosts = ",".join(pair["v6"] or pair["name"] for pair in pairs if pair)
    ports = ",".join(pair["port"] or _PORT for pair in pairs if pair)
    return f"{match['start']}{path or '/'}?host={quote(hosts)}&port={quote(ports)}{'&' if mark else ''}{query}"


def file_of(url: URL) -> Path | None:
    """Return the file that holds the tasks; `None` if no file does."""
    is_file = url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:"
    return Path(str(url.database)) if is_file else None


def without_password(url: URL) -> str:
    """Return the URL as it may be shown."""
    secret = {name: "***" for name in _SECRET_OPTIONS if name in url.query}
    return url.update_query_dict(secret).render_as_string(hide_password=True)


def exists(url: str) -> bool:
    """Return whether opening this database would create nothing new; False for what is not a database URL."""
    try:
        parsed = parse(url)
    except (ArgumentError, ValueError):
        return False
    return parsed.get_backend_name() != "sqlite" or ((file := file_of(parsed)) is not None and file.is_file())
