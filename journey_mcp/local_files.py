"""Reading a picture from a local path, out of a few folders only.

A path comes from a model, which may have been talked into asking for something else: so only folders count in which a
person keeps pictures or works, and what counts is where a file really lies, after all symbolic links.
"""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from platformdirs import user_downloads_path, user_pictures_path

from journey_mcp.errors import quoted

FOLDERS_SETTING = "JOURNEY_MCP_IMAGE_DIRS"

_SYSTEM_FOLDERS = tuple(
    Path(path)
    for path in (
        *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/nix", "/opt", "/proc", "/run", "/sbin"),
        *("/snap", "/sys", "/usr", "/var"),
        *("/Applications", "/Library", "/System", "/private/etc", "/private/var"),
        *("C:/Windows", "C:/Program Files", "C:/Program Files (x86)", "C:/ProgramData"),
    )
)
_IMAGE_NAME = re.compile(
    r"[^\n]+\.(png|jpe?g|jpe|jfif|webp|gif|bmp|tiff?|heic|heif|avif|svg)", re.IGNORECASE
)  # those that cannot be used, too: their reader says so
_PATH_START = re.compile(r"/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\|file://", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://|(data|https?):", re.IGNORECASE)
_FILE_URL = re.compile(r"file://(?P<host>[^/\\]*)(?P<path>.*)", re.IGNORECASE | re.DOTALL)
_WINDOWS_DRIVE = re.compile(r"/[A-Za-z]:")

# 0 where the system has no such flag
_THE_FILE = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)
_ON_THE_WAY = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "O_PATH"))


class NotAllowed(Exception):
    """The path leads elsewhere than into the allowed folders, whether anything is there or not.

    The message is a clause that tells what is allowed and who can change it, to stand after a colon.
    """


class Unreadable(Exception):
    """The path leads into an allowed folder, and there is nothing to read. The message is a clause that tells why."""


def looks_like_path(text: str) -> bool:
    """Whether this means a local file: a path from some root, `~`, `./` or `../`, file://, or an image's file name.

    Addresses with another scheme and ids of tasks and pictures never do.
    """
    if _PATH_START.match(text):
        return True
    return not _OTHER_SCHEME.match(text) and _IMAGE_NAME.fullmatch(text) is not None


def allowed_folders(extra: Sequence[Path], cwd: Path | None = None, home: Path | None = None) -> tuple[Path, ...]:
    """The folders that pictures may be read from, really: after symbolic links, each once.

    They are the working directory, the pictures and the downloads of the home folder, and what the setting adds.
    All but the last are left out where they would open more than pictures: a file system's root, a system folder or
    one in it, the home folder or one above it. `cwd` and `home` are those of the process unless given.
    """
    home = _real(home) if home else _home()
    usual = [*_working_directory(cwd), *_folders_of_the_person()]
    narrow = [folder for folder in map(_real, usual) if not _is_too_wide(folder, home)]
    return tuple(dict.fromkeys([*narrow, *(_real(folder.expanduser()) for folder in extra)]))


def read(text: str, folders: Sequence[Path], *, max_bytes: int) -> bytes:
    """Read the whole file that a path or a file:// URL names. `folders` come from `allowed_folders`.

    Raises:
        NotAllowed: it lies outside of the folders.
        Unreadable: there is no such file, it may not be read, is no regular file, or is larger than `max_bytes`.
    """
    path = _real_path(text, folders)
    folder = next((folder for folder in folders if path and path.is_relative_to(folder)), None)
    if path is None or folder is None:
        places = ", ".join(map(str, folders)) or "none at the moment"
        raise NotAllowed(
            f"{quoted(text)} does not lie in a folder that pictures may be read from ({places}): "
            f"copy the picture into one of them, or add its folder to {FOLDERS_SETTING}"
        )
    try:
        descriptor = _opened(folder, path)
        try:
            return _content(text, descriptor, max_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unreadable(f"{quoted(text)} {_why(error)}") from error


def _real(path: Path) -> Path:
    """The absolute path after all symbolic links; what does not exist stays as it is written."""
    # Path.resolve() raises for a circle of links, and so would tell that there is one
    return Path(os.path.realpath(path))


def _home() -> Path | None:
    try:
        return _real(Path.home())
    except RuntimeError:  # a user whom the system does not know, as in some containers
        return None


def _folders_of_the_person() -> list[Path]:
    try:
        return [user_pictures_path(), user_downloads_path()]
    except RuntimeError:  # no HOME, and a user whom the system does not know
        return []


def _working_directory(given: Path | None) -> list[Path]:
    try:
        return [given or Path.cwd()]
    except OSError:  # it was deleted
        return []


def _is_too_wide(folder: Path, home: Path | None) -> bool:
    """Whether more than somebody's pictures and work lies in it."""
    if folder == folder.parent or (home and home.is_relative_to(folder)):
        return True
    # some systems keep the homes in a system folder, as in /var/home
    is_at_home = home and home != home.parent and folder.is_relative_to(home)
    return not is_at_home and any(folder.is_relative_to(system) for system in _SYSTEM_FOLDERS)


def _real_path(text: str, folders: Sequence[Path]) -> Path | None:
    """Where the text leads; `None` when it can be nowhere in the folders."""
    try:
        path = Path(_without_scheme(text)).expanduser()
        # on Windows, looking at \\machine\share would already present the person's credentials to that machine
        if path.drive and path.drive.lower() not in {folder.drive.lower() for folder in folders}:
            return None  # pragma: no cover  # only Windows has drives
        return _real(path)
    except (RuntimeError, ValueError, OSError):  # ~ of an unknown user; NUL or half a character; it changed meanwhile
        return None


def _without_scheme(text: str) -> str:
    match = _FILE_URL.fullmatch(text)
    if match is None:
        return text
    if match["host"].lower() not in {"", "localhost"}:
        raise ValueError("a file of another machine")
    path = unquote(match["path"])
    return path[1:] if os.name == "nt" and _WINDOWS_DRIVE.match(path) else path


def _opened(folder: Path, path: Path) -> int:
    """A descriptor of the file, which has no symbolic link on its way down from the folder.

    There was none when the path was judged. The walk step by step makes sure that none was put there since.
    """
    if os.open not in os.supports_dir_fd:  # pragma: no cover  # Windows, where only administrators make links
        return os.open(path, _THE_FILE)
    parts = path.relative_to(folder).parts
    descriptor = os.open(folder, _ON_THE_WAY)
    for depth, part in enumerate(parts, start=1):
        try:
            below = os.open(part, _THE_FILE if depth == len(parts) else _ON_THE_WAY, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _content(text: str, descriptor: int, max_bytes: int) -> bytes:
    about = os.fstat(descriptor)
    if stat.S_ISDIR(about.st_mode):
        raise Unreadable(f"{quoted(text)} is a folder: name a picture in it")
    if not stat.S_ISREG(about.st_mode):
        raise Unreadable(f"{quoted(text)} is no regular file")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        content = file.read(max_bytes + 1) if about.st_size <= max_bytes else b""
    if max(about.st_size, len(content)) > max_bytes:
        raise Unreadable(f"{quoted(text)} is larger than {max_bytes:,} bytes")
    return content


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "may not be read by this server"
    return f"cannot be read: {error.strerror}"
