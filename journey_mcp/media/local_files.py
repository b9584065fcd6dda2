"""Local image files, from a few allowed folders only.

A path comes from a model, which a prompt injection may have misled: so only folders where a person keeps images or
works are allowed, and the real location of a file decides, after all symbolic links.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from platformdirs import user_downloads_path, user_pictures_path

from journey_mcp.core.images import IMAGE_ENDINGS
from journey_mcp.core.notices import Notice
from journey_mcp.core.text import quoted
from journey_mcp.media.file_names import look_alikes, nearest, spellings

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
    rf"[^\n]+(?:{'|'.join(map(re.escape, IMAGE_ENDINGS))})", re.IGNORECASE
)  # unsupported ones too: reading them gives a clear error
_PATH_START = re.compile(
    r"@?[\"']?(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\|\$HOME\b|\$\{HOME\}|%USERPROFILE%)|@?file:", re.IGNORECASE
)
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://|(data|https?):", re.IGNORECASE)
_MAX_SHOWN = 80
_MAX_NAMES = 5000
"""The names of a folder that are compared with a missing one."""

# 0 where the system has no such flag
_FILE_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)
_FOLDER_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "O_PATH"))


class NotAllowed(Exception):
    """The path is outside of the allowed folders, whether anything is there or not.

    The message is a clause that names the allowed folders and the setting that changes them, to follow a colon.
    """


class Unreadable(Exception):
    """The path is in an allowed folder, and cannot be read. The message is a clause with the reason."""

    def __init__(self, reason: str, *, has_folder: bool = True) -> None:
        super().__init__(reason)
        self.has_folder = has_folder
        """Whether its folder exists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """A file that was found in an allowed folder, not opened yet."""

    text: str
    """The name that was given."""
    folder: Path
    path: Path
    """After all symbolic links."""
    notice: Notice | None = None
    """How the file was found, if its name did not match exactly."""


def looks_like_path(text: str) -> bool:
    """Return whether this is a local file: a path from a root, `~`, `./` or `../`, file:, or an image's file name.

    URLs with another scheme and ids of tasks and images never are.
    """
    if _PATH_START.match(text):
        return True
    return not _OTHER_SCHEME.match(text) and _IMAGE_NAME.fullmatch(text) is not None


def allowed_folders(
    extra: Sequence[Path],
    cwd: Path | None = None,
    home: Path | None = None,
    *,
    roots: Sequence[Path] = (),
    data_dir: Path | None = None,
) -> tuple[Path, ...]:
    """Return the folders that images may be read from, after symbolic links, each once.

    They are the working directory, the `roots` of the client, the pictures and downloads folders of the person, and
    those of the setting. All but the last are left out if they would expose more than images: the root of a file
    system, a system folder or one in it, the home folder or one above it. So are roots that are hidden, or in the data
    folder. `cwd` and `home` are those of the process unless given.
    """
    home = _real(home) if home else _home()
    named = [root for root in map(_real, roots) if _is_usable_root(root, _real(data_dir) if data_dir else None)]
    usual = [*map(_real, _working_directory(cwd)), *named, *map(_real, _folders_of_the_person())]
    narrow = [folder for folder in usual if not _is_too_broad(folder, home)]
    return tuple(dict.fromkeys([*narrow, *(_real(folder.expanduser()) for folder in extra)]))


def locate(texts: Sequence[str], folders: Sequence[Path], *, data_dir: Path | None = None) -> Located:
    """Find the file that a path or a file: URL names, in one of its spellings. `folders` come from `allowed_folders`.

    A relative path is searched in the working directory, then in every folder. If there is no such file, the only one
    in its folder that looks the same is taken. The data folder is excluded unless one of the folders is in it.

    Raises:
        NotAllowed: it is outside of the folders.
        Unreadable: there is no such file; names the nearest.
    """
    search = _Search(tuple(folders), _real(data_dir) if data_dir else None)
    text = texts[-1]
    spelled = list(dict.fromkeys(spelling for each in texts for spelling in spellings(each)))
    direct = [place for spelling in spelled if (place := search.place(spelling))]
    for folder, path in direct:
        if _exists(path):
            return Located(text=text, folder=folder, path=path)
    relative = [place for spelling in spelled for place in search.in_folders(spelling)]
    found = {path: folder for folder, path in relative if os.path.isfile(path)}  # noqa: PTH113  # it raises nothing
    if len(found) == 1:
        ((path, folder),) = found.items()
        return Located(
            text=text,
            folder=folder,
            path=path,
            notice=Notice.of("image_file_found", given=quoted(text), folder=str(folder)),
        )
    if found:
        raise Unreadable(f"{quoted(text)} is in several folders ({', '.join(map(str, found.values()))}): give the path")
    if alike := search.look_alike([*direct, *relative]):
        folder, path = alike
        notice = Notice.of("image_file_similar", given=quoted(text), taken=quoted(path.name))
        return Located(text=text, folder=folder, path=path, notice=notice)
    raise _not_found(search, text, spelled)


def _not_found(search: "_Search", text: str, spelled: Sequence[str]) -> NotAllowed | Unreadable:
    # the spelling with all escapes resolved
    meant = spelled[-1] if spelled else ""
    missing = [*search.in_folders(meant)] or [place for place in [search.place(meant)] if place and meant]
    if missing:
        names = ", ".join(quoted(name, _MAX_SHOWN) for name in search.nearest(missing))
        near = f"; the nearest names there are {names}" if names else ""
        has_folder = any(_exists(path.parent) for _, path in missing)
        return Unreadable(f"{quoted(text)} does not exist{near}", has_folder=has_folder)
    places = ", ".join(map(str, search.folders)) or "none at the moment"
    return NotAllowed(
        f"{quoted(text)} is not in a folder that images may be read from ({places}): "
        f"copy the image into one of them, or add its folder to {FOLDERS_SETTING}"
    )


def content(located: Located, *, max_bytes: int) -> bytes:
    """Read the whole file.

    Raises:
        Unreadable: it was deleted, may not be read, is not a regular file, or is larger than `max_bytes`.
    """
    try:
        descriptor = _open(located.folder, located.path)
        try:
            return _content(located.text, descriptor, max_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unreadable(f"{quoted(located.text)} {_reason(error)}") from error


_Candidate = tuple[Path, Path]
"""An allowed folder, and a path in it after all symbolic links, which may not exist."""


@dataclass(frozen=True, slots=True)
class _Search:
    """Resolution of paths within the allowed folders; nothing outside of them is read."""

    folders: tuple[Path, ...]
    data_dir: Path | None

    def place(self, text: str) -> _Candidate | None:
        """Resolve the text from the working directory."""
        return self._if_allowed(_real_path(text, self.folders))

    def in_folders(self, text: str) -> Iterator[_Candidate]:
        """Resolve a relative path from each folder."""
        path = Path(text)
        if text and not path.anchor and not path.drive and ".." not in path.parts and not text.startswith("~"):
            for base in self.folders:
                # Downloads/a.png may be relative to the folder above
                has_its_name = len(path.parts) > 1 and path.parts[0].lower() == base.name.lower()
                for part in (path, Path(*path.parts[1:])) if has_its_name else (path,):
                    if place := self._if_allowed(_real_path(str(base / part), self.folders)):
                        yield place

    def look_alike(self, places: Sequence[_Candidate]) -> _Candidate | None:
        """Return the only file that the paths may mean if names that look the same count as equal."""
        found = {alike[1]: alike for place in places if (alike := self._look_alike(*place))}
        return next(iter(found.values())) if len(found) == 1 else None

    def nearest(self, places: Sequence[_Candidate]) -> list[str]:
        """Return the nearest names in the folders of missing files."""
        names: list[str] = []
        for folder, path in places:
            base, missing = _first_missing(folder, path)
            is_file = base / missing == path
            names += [n for n in _names_in(folder, base) if n[:1] != "." and bool(_IMAGE_NAME.fullmatch(n)) == is_file]
        return nearest(places[-1][1].name, dict.fromkeys(names))

    def _if_allowed(self, path: Path | None) -> _Candidate | None:
        if path is None:
            return None
        is_data = self.data_dir is not None and path.is_relative_to(self.data_dir)
        folders = [f for f in self.folders if not is_data or (self.data_dir and f.is_relative_to(self.data_dir))]
        return next(((folder, path) for folder in folders if path.is_relative_to(folder)), None)

    def _look_alike(self, folder: Path, path: Path) -> _Candidate | None:
        for _ in path.parts:
            base, missing = _first_missing(folder, path)
            alike = look_alikes(missing, _names_in(folder, base))
            if len(alike) != 1:
                return None
            rest = path.relative_to(base / missing)
            place = self._if_allowed(_real_path(str(base / alike[0] / rest), self.folders))
            if place is None or _exists(place[1]):
                return place
            folder, path = place
        return None  # pragma: no cover  # each iteration resolves a part


def _real(path: Path) -> Path:
    """Return the absolute path after all symbolic links; missing parts stay as they are written."""
    # Path.resolve() raises for a loop of links, and so would reveal it
    return Path(os.path.realpath(path))


def _home() -> Path | None:
    try:
        return _real(Path.home())
    except RuntimeError:  # a user without an account in the system, as in some containers
        return None


def _folders_of_the_person() -> list[Path]:
    try:
        return [user_pictures_path(), user_downloads_path()]
    except RuntimeError:  # no HOME, and a user without an account in the system
        return []


def _working_directory(given: Path | None) -> list[Path]:
    try:
        return [given or Path.cwd()]
    except OSError:  # it was deleted
        return []


def _is_too_broad(folder: Path, home: Path | None) -> bool:
    """Return whether the folder contains more than a person's images and work."""
    if folder == folder.parent or (home and home.is_relative_to(folder)):
        return True
    # some systems have homes in a system folder, such as /var/home
    is_at_home = home and home != home.parent and folder.is_relative_to(home)
    return not is_at_home and any(folder.is_relative_to(system) for system in _SYSTEM_FOLDERS)


def _is_usable_root(folder: Path, data_dir: Path | None) -> bool:
    is_hidden = any(part.startswith(".") for part in folder.parts)
    return not is_hidden and not (data_dir and folder.is_relative_to(data_dir)) and os.path.isdir(folder)  # noqa: PTH112


def _real_path(text: str, folders: Sequence[Path]) -> Path | None:
    """Resolve the text; `None` when it cannot be in the folders."""
    try:
        path = Path(text).expanduser()
        # on Windows, resolving \\machine\share would already send the person's credentials to that machine
        if path.drive and path.drive.lower() not in {folder.drive.lower() for folder in folders}:
            return None  # pragma: no cover  # only Windows has drives
        return _real(path)
    except (RuntimeError, ValueError, OSError):  # ~ of an unknown user; NUL or half a character; it changed meanwhile
        return None


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # reading it reports the error
    return True


def _first_missing(folder: Path, path: Path) -> tuple[Path, str]:
    """Return the last existing folder of the path, and the first missing name in it."""
    while folder not in {path, path.parent} and not _exists(path.parent):
        path = path.parent
    return path.parent, path.name


def _names_in(folder: Path, base: Path) -> list[str]:
    """Return the names in an allowed folder or one below; none when it cannot be read."""
    if not base.is_relative_to(folder):
        return []  # the allowed folder itself is missing
    try:
        if os.scandir not in os.supports_fd:  # pragma: no cover  # Windows
            with os.scandir(base) as entries:
                return [entry.name for entry in islice(entries, _MAX_NAMES)]
        descriptor = _open(folder, base)
        try:
            with os.scandir(descriptor) as entries:
                return [entry.name for entry in islice(entries, _MAX_NAMES)]
        finally:
            os.close(descriptor)
    except OSError:
        return []


def _open(folder: Path, path: Path) -> int:
    """Open the file without following a symbolic link below the folder.

    The path had none when it was resolved. Opening it part by part ensures that none was created since.
    """
    if os.open not in os.supports_dir_fd:  # pragma: no cover  # Windows, where only administrators make links
        return os.open(path, _FILE_FLAGS)
    parts = path.relative_to(folder).parts or (".",)
    descriptor = os.open(folder, _FOLDER_FLAGS)
    for depth, part in enumerate(parts, start=1):
        try:
            below = os.open(part, _FILE_FLAGS if depth == len(parts) else _FOLDER_FLAGS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _content(text: str, descriptor: int, max_bytes: int) -> bytes:
    about = os.fstat(descriptor)
    if stat.S_ISDIR(about.st_mode):
        raise Unreadable(f"{quoted(text)} is a folder: name an image in it")
    if not stat.S_ISREG(about.st_mode):
        raise Unreadable(f"{quoted(text)} is not a regular file")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        content = file.read(max_bytes + 1) if about.st_size <= max_bytes else b""
    if max(about.st_size, len(content)) > max_bytes:
        raise Unreadable(f"{quoted(text)} is larger than {max_bytes:,} bytes")
    return content


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "may not be read by this server"
    return f"cannot be read: {error.strerror}"
