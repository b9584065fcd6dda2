"""Local images: from the allowed folders only, with all links resolved, and only regular files."""

import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from access import opened_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journey_mcp.core.text import quoted
from journey_mcp.media.file_names import spellings
from journey_mcp.media.local_files import NotAllowed, Unreadable, allowed_folders, content, locate, looks_like_path

pytestmark = pytest.mark.on_disk
CONTENT = b"\x89PNG an image"
SECRET = b"secret"


def read(text: str, folders: Sequence[Path], max_bytes: int) -> bytes:
    """Find a file and read it."""
    return content(locate([text], folders), max_bytes=max_bytes)


def _identity(file: Path | int) -> tuple[int, int] | None:
    """Return the identity of a file by path or descriptor; `None` for a descriptor that is not open."""
    try:
        status = os.stat(file)  # noqa: PTH116  # a descriptor is no path
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Disk:
    """An allowed folder with an image, a folder beside it with a secret, and a home."""

    def __init__(self, root: Path) -> None:
        self.home, self.allowed, self.outside = root / "home", root / "allowed", root / "outside"
        for folder in (self.home, self.allowed / "holidays", self.outside):
            folder.mkdir(parents=True)
        self.image = self.allowed / "holidays" / "a b.png"
        self.image.write_bytes(CONTENT)
        self.secret = self.outside / "secret.png"
        self.secret.write_bytes(SECRET)

    def read(self, text: str | Path, max_bytes: int = 1000) -> bytes:
        """Read out of the allowed folder."""
        return read(str(text), [self.allowed], max_bytes=max_bytes)

    def opened(self) -> list[int]:
        """Return the descriptors of this process that are open on the image or a folder above it."""
        own = {_identity(path) for path in (self.image, self.image.parent, self.allowed)}
        return [number for number in range(3, 1024) if (found := _identity(number)) and found in own]

    def refusal(self, text: str | Path) -> str:
        """Return why it is not allowed."""
        with pytest.raises(NotAllowed) as caught:
            self.read(text)
        return str(caught.value)

    def failure(self, text: str | Path, max_bytes: int = 1000) -> str:
        """Why it cannot be read."""
        with pytest.raises(Unreadable) as caught:
            self.read(text, max_bytes)
        return str(caught.value)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Return a disk, with the working directory in the allowed folder and a separate home."""
    made = Disk(tmp_path)
    monkeypatch.chdir(made.allowed)
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("USERPROFILE", str(made.home))
    for name in ("XDG_CONFIG_HOME", "XDG_PICTURES_DIR", "XDG_DOWNLOAD_DIR"):
        monkeypatch.delenv(name, raising=False)
    return made


# --- what is meant


@pytest.mark.parametrize(
    "text",
    [
        *("/home/me/a.png", "/a", "~/a.png", "~", "./a", "../a", ".\\a", "file:///a", "FILE://localhost/a", "file:/a"),
        *("@/a", "@~/a", '@"/a"', "$HOME/a", "${HOME}/a", "%USERPROFILE%\\a"),
        *("C:\\a.png", "c:/a.png", "\\\\nas\\a.png"),
        *("a.png", "a b.JPEG", "holidays/a.webp", "Shot 12:30.gif", "a.jpg", "a.heic", "tsk_1-1.png"),
    ],
)
def test_paths_look_like_paths(text: str) -> None:
    """Also names of unsupported images: reading them gives a clear error."""
    assert looks_like_path(text)


@pytest.mark.parametrize(
    "text",
    [
        *("https://example.test/a.png", "http://example.test/a.png", "HTTPS://example.test/a.png", "s3://bucket/a.png"),
        *("data:image/png;base64,AAAA", "data:a.png", "tsk_0123456789abcdefghijkl", "tsk_0123456789abcdefghijkl.1"),
        *("", "a kite", "a.txt", ".png", "png", "a.png.exe", "a\nb.png"),
    ],
)
def test_other_texts_do_not(text: str) -> None:
    """Addresses, data, ids, words."""
    assert not looks_like_path(text)


# --- which folders


def test_working_pictures_and_downloads_folders_are_allowed(disk: Disk) -> None:
    """And what the setting adds."""
    folders = allowed_folders([disk.outside, Path("~/Scans"), disk.outside])
    assert folders == (
        disk.allowed,
        disk.home / "Pictures",
        disk.home / "Downloads",
        disk.outside,
        disk.home / "Scans",
    )


@pytest.mark.parametrize(
    "folder",
    [*("/", "/etc", "/etc/ssl", "/usr/share", "/bin", "/var", "/var/log", "/opt/app", "/System", "/Library/Fonts")],
)
def test_no_system_folder_is_allowed_for_being_the_working_directory(disk: Disk, folder: str) -> None:
    """Programs that start servers often start them there."""
    assert allowed_folders([], cwd=Path(folder)) == (disk.home / "Pictures", disk.home / "Downloads")


def test_the_home_folder_is_not_allowed_for_being_the_working_directory(disk: Disk) -> None:
    """Nor one above it; one in it is."""
    rest = (disk.home / "Pictures", disk.home / "Downloads")
    assert allowed_folders([], cwd=disk.home) == rest
    assert allowed_folders([], cwd=disk.home.parent) == rest
    assert allowed_folders([], cwd=disk.home / "work") == (disk.home / "work", *rest)


def test_a_home_in_a_system_folder_is_a_home(disk: Disk) -> None:
    """Some systems keep them in /var/home; a home that is the root makes nothing allowed."""
    rest = (disk.home / "Pictures", disk.home / "Downloads")
    assert allowed_folders([], cwd=Path("/var/home/me/work"), home=Path("/var/home/me"))[0] == Path("/var/home/me/work")
    assert allowed_folders([], cwd=Path("/var/home/you"), home=Path("/var/home/me")) == rest
    assert allowed_folders([], cwd=Path("/etc"), home=Path("/")) == rest


def test_links_to_the_home_folder_count_as_what_they_are(disk: Disk) -> None:
    """So does a pictures folder that was switched off, which is the home folder then."""
    (disk.outside / "link").symlink_to(disk.home)
    (disk.home / ".config").mkdir()
    (disk.home / ".config/user-dirs.dirs").write_text('XDG_PICTURES_DIR="$HOME/"\n', encoding="utf-8")
    assert allowed_folders([], cwd=disk.outside / "link") == (disk.home / "Downloads",)


def test_the_setting_may_name_excluded_folders(disk: Disk) -> None:
    """It is the decision of the person."""
    assert disk.home in allowed_folders([Path("~")])


def test_a_working_directory_that_was_deleted_is_none(disk: Disk, tmp_path: Path) -> None:
    """The server starts nevertheless."""
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert allowed_folders([]) == (disk.home / "Pictures", disk.home / "Downloads")


# --- reading


def test_an_image_is_read_under_any_of_its_names(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, relative, with ~, as a URL."""
    monkeypatch.setenv("HOME", str(disk.allowed))
    encoded = str(disk.image).replace(" ", "%20")
    for text in (
        *(disk.image, "holidays/a b.png", "./holidays/../holidays/a b.png", "~/holidays/a b.png"),
        *(f"file://{encoded}", f"FILE://localhost{encoded}", f"file://{disk.allowed}/%68olidays/a b.png"),
    ):
        assert disk.read(text) == CONTENT


def test_links_within_the_folders_are_followed(disk: Disk) -> None:
    """Of files and of folders, also the allowed folder itself."""
    (disk.allowed / "link.png").symlink_to(disk.image)
    (disk.allowed / "folder").symlink_to("holidays")
    (disk.outside / "in").symlink_to(disk.allowed)
    for path in ("link.png", "folder/a b.png", disk.outside / "in" / "link.png"):
        assert disk.read(path) == CONTENT
    folders = allowed_folders([disk.outside / "in"], cwd=Path("/"))
    assert read(str(disk.image), folders, max_bytes=100) == CONTENT


def test_a_path_outside_is_refused_with_the_way_to_allow_it(disk: Disk) -> None:
    """With the path, the folders, and the setting."""
    assert disk.refusal(disk.secret) == (
        f'"{disk.secret}" is not in a folder that images may be read from ({disk.allowed}): '
        f"copy the image into one of them, or add its folder to JOURNEY_MCP_IMAGE_DIRS"
    )
    with pytest.raises(NotAllowed, match="none at the moment"):
        read(str(disk.image), [], max_bytes=100)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "../outside/secret.png",
            "holidays/../../outside/secret.png",
            "/etc/passwd",
            "/",
            "~/a.png",
            "~nobody-here/a",
        ),
        *("file:///etc/passwd", "file:///%2e%2e/etc/passwd", "../allowed-too/a.png"),
        *("a\0b.png", "\ud800.png", "/proc/self/environ", "/dev/zero"),
    ],
)
def test_ways_out_are_refused(disk: Disk, text: str) -> None:
    """Whatever is there."""
    assert "is not in a folder" in disk.refusal(text)


def test_links_that_lead_out_are_refused(disk: Disk) -> None:
    """The location of a file counts, not its name; the error does not reveal the target of the link."""
    (disk.allowed / "a.png").symlink_to(disk.secret)
    (disk.allowed / "folder").symlink_to(disk.outside)
    (disk.allowed / "two.png").symlink_to("a.png")
    for path in ("a.png", "folder/secret.png", "two.png"):
        assert str(disk.outside) not in disk.refusal(path)


def test_an_error_does_not_reveal_what_exists_outside(disk: Disk) -> None:
    """The same words for a file, a folder, nothing, a file that may not be looked at, and a circle of links."""
    (disk.outside / "circle").symlink_to("circle")
    (disk.outside / "closed").mkdir(mode=0)
    texts = [
        disk.outside / name for name in ("secret.png", "missing.png", "secret.png/x", "circle", "closed/x", "x" * 300)
    ]
    assert len({disk.refusal(text).replace(str(text), "") for text in texts if len(text.name) < 300}) == 1
    assert "is not in a folder" in disk.refusal(texts[-1])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.png", '"missing.png" does not exist'),
        ("holidays/a b.png/more", '"holidays/a b.png/more" does not exist'),
        ("holidays", '"holidays" is a folder: name an image in it'),
        ("", '"" is a folder'),
        ("circle", '"circle" cannot be read: Too many levels of symbolic links'),
        ("pipe", '"pipe" is not a regular file'),
        ("socket", '"socket" cannot be read'),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_an_error_says_that_it_is_not_a_file(disk: Disk, name: str, reason: str) -> None:
    """A pipe does not block until another process writes to it."""
    (disk.allowed / "circle").symlink_to("circle")
    os.mkfifo(disk.allowed / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        assert reason in disk.failure(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_error_says_that_it_may_not_be_read(disk: Disk) -> None:
    """By the user of the server."""
    disk.image.chmod(0)
    assert "may not be read by this server" in disk.failure(disk.image)


def test_too_large_files_are_refused(disk: Disk) -> None:
    """Before they are read; exactly as many bytes as are allowed are fine."""
    assert disk.read(disk.image, len(CONTENT)) == CONTENT
    reason = disk.failure(disk.image, len(CONTENT) - 1)
    assert reason == f'"{disk.image}" is larger than {len(CONTENT) - 1} bytes'


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs a file whose size is not known before")
def test_files_that_are_larger_than_they_state_are_refused() -> None:
    """What was read counts, too."""
    with pytest.raises(Unreadable, match="is larger than 1 bytes"):
        read("/proc/self/environ", [Path("/proc")], max_bytes=1)


def test_no_descriptors_are_left_open(disk: Disk) -> None:
    """Whether it was read or not."""
    disk.read(disk.image)
    for path in ("missing.png", "holidays", "holidays/missing.png"):
        disk.failure(path)
    assert not disk.opened()


def test_a_link_that_is_created_meanwhile_is_not_followed(disk: Disk) -> None:
    """Somebody exchanges a folder for a link to another one as fast as possible: nothing from there is ever read."""
    (disk.outside / "a b.png").write_bytes(SECRET)
    away, link, folder = disk.allowed / "away", disk.outside / "link", disk.allowed / "holidays"
    link.symlink_to(disk.outside)
    stop, exchanged = threading.Event(), threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            folder.rename(away)
            link.rename(folder)
            folder.rename(link)
            away.rename(folder)
            exchanged.set()

    thread = threading.Thread(target=exchange)
    thread.start()
    exchanged.wait()
    try:
        seen = {outcome(disk) for _ in range(3000)}
    finally:
        stop.set()
        thread.join()
    assert SECRET not in seen
    assert CONTENT in seen


def outcome(disk: Disk) -> bytes | type[Exception]:
    """Return what a reader gets at this moment."""
    try:
        return disk.read(disk.image)
    except (NotAllowed, Unreadable) as error:
        return type(error)


# --- as tools write them


@pytest.mark.parametrize(
    "text",
    [
        *(
            "holidays/a\\ b.png",
            "'holidays/a b.png'",
            "'holidays'/\"a b.png\"",
            "@holidays/a\\ b.png",
            '@"holidays/a b.png"',
        ),
        *("holidays/a%20b.png", "$HOME/../allowed/holidays/a b.png", "${HOME}/../allowed/holidays/a\\ b.png"),
        *("$PWD/holidays/a b.png", "file://~/../allowed/holidays/a%20b.png", "file://./holidays/a%20b.png"),
        *(
            "file://holidays/a%20b.png",
            "holidays\\a b.png",
            ".\\holidays\\a b.png",
            "~\\..\\allowed\\holidays\\a b.png",
        ),
        *("\\\\wsl$\\Ubuntu{}\\holidays\\a b.png", "\\\\wsl.localhost\\Ubuntu{}/holidays/a b.png"),
        *("@~/../allowed/holidays/a b.png", "file:{}/holidays/a%20b.png", "file:///{}/holidays/a b.png"),
        *("file://localhost{}/holidays/a%20b.png", "@file:{}/holidays/a%20b.png", "{}/holidays/a\\ b.png"),
    ],
)
def test_paths_are_read_as_tools_write_them(disk: Disk, text: str) -> None:
    """Escapes of shells, mentions, URLs, the home folder."""
    assert disk.read(text.replace("{}", str(disk.allowed))) == CONTENT
    assert locate([text.replace("{}", str(disk.allowed))], [disk.allowed]).notice is None


@pytest.mark.skipif(os.sep == "\\", reason="there they are what they are")
def test_drives_of_windows_are_found_within_wsl() -> None:
    """A client on Windows names files, and its roots, of the machine around."""
    for text in (
        "C:\\Users\\kim\\a.png",
        "c:/Users/kim/a.png",
        "file:///C:/Users/kim/a.png",
        "file:///c%3A/Users/kim/a.png",
    ):
        assert "/mnt/c/Users/kim/a.png" in spellings(text)


def test_another_machine_is_not_asked(disk: Disk) -> None:
    """Its name is taken for a folder, of which there is none."""
    with pytest.raises(Unreadable, match="does not exist"):
        disk.read("file://nas/a.png")


@pytest.mark.parametrize(
    "text",
    ["..\\outside\\secret.png", "C:\\etc\\passwd", "\\\\wsl$\\x\\etc\\passwd", "file://nas/../../outside/secret.png"],
)
def test_paths_of_windows_lead_nowhere_else(disk: Disk, text: str) -> None:
    """What they mean here is judged as well."""
    with pytest.raises((NotAllowed, Unreadable)):
        disk.read(text)


def test_a_folder_may_be_named_with_its_own_name(disk: Disk) -> None:
    """From the one above it."""
    folders = [disk.outside, disk.allowed]
    assert read("allowed/holidays/a b.png", folders, max_bytes=100) == CONTENT
    (disk.outside / "allowed").mkdir()
    with pytest.raises(Unreadable, match="does not exist"):
        read("allowed/a b.png", folders, max_bytes=100)


def test_a_file_with_the_exact_name_comes_first(disk: Disk) -> None:
    """Before any escape is taken for one."""
    for name in ("a\\ b.png", "@a.png", "a%20b.png", "'q'.png", "$HOME.png"):
        (disk.allowed / name).write_bytes(name.encode())
        assert disk.read(name) == name.encode()


@pytest.mark.parametrize(
    "text",
    [
        *("@/etc/passwd", "file:/etc/passwd", "$HOME/a.png", "${HOME}/../outside/secret.png", "@../outside/secret.png"),
        *("\\/etc/passwd", "..\\/outside/secret.png", "%2e%2e/outside/secret.png", "'..'/outside/secret.png"),
        *("file://~/../outside/secret.png", "file://../outside/secret.png", "$PWD/../outside/secret.png"),
        *("file://localhost/etc/passwd", "file:%2e%2e/outside/secret.png", '"/etc/passwd"'),
    ],
)
def test_escapes_lead_nowhere_else(disk: Disk, text: str) -> None:
    """What they mean is judged, not what they look like."""
    assert "is not in a folder" in disk.refusal(text)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Screenshot 2026-11-28 at 9.41.07\u202fAM.png", "Screenshot 2026-11-28 at 9.41.07 AM.png"),
        ("a\u00a0b.png", "a b.png"),
        ("a b.png", "a\u202fb.png"),
        ("U\u0308bung.png", "\u00dcbung.png"),
        ("\u00dcbung.png", "U\u0308bung.png"),
        ("it\u2019s.png", "it's.png"),
        ("a \u2013 b.png", "a - b.png"),
        ("Cat.PNG", "cat.png"),
        ("cat\u200b.png", "cat.png"),
        ("a  b.png", "a b.png"),
    ],
)
def test_the_only_name_that_looks_the_same_is_taken(disk: Disk, name: str, written: str) -> None:
    """In the folder, and for the folders of the path; with a notice."""
    for folder in ("plain", "M\u00fcller\u00a0s"):
        (disk.allowed / folder).mkdir()
        (disk.allowed / folder / name).write_bytes(CONTENT)
    for text in (f"plain/{written}", f"{disk.allowed}/plain/{written}", f"Mu\u0308ller s/{written}"):
        found = locate([text], [disk.allowed])
        assert found.path.name == name
        assert "looks the same" in str(found.notice)
        assert content(found, max_bytes=1000) == CONTENT


def test_of_two_that_look_the_same_neither_is_taken(disk: Disk) -> None:
    """Both are named."""
    for name in ("a\u00a0c.png", "a\u202fc.png"):
        (disk.allowed / name).write_bytes(CONTENT)
    assert disk.failure("a c.png").count('"a c.png"') == 3


def test_what_looks_the_same_may_lead_out_and_is_not_taken(disk: Disk) -> None:
    """A link is judged by where it leads, as ever."""
    (disk.allowed / "a\u00a0c.png").symlink_to(disk.secret)
    (disk.allowed / "d\u00a0e").symlink_to(disk.outside)
    assert "does not exist" in disk.failure("a c.png")
    assert "does not exist" in disk.failure("d e/secret.png")


def test_the_error_has_the_nearest_names(disk: Disk) -> None:
    """Of images in the folder, without hidden and other files; of folders, if a folder is missing."""
    for name in ("cat.png", "cats.jpg", ".cat.png", "cat.txt"):
        (disk.allowed / name).write_bytes(CONTENT)
    reason = disk.failure("kat.png")
    assert reason == '"kat.png" does not exist; the nearest names there are "cat.png", "cats.jpg"'
    assert '"holidays"' in disk.failure("hollidays/a b.png")
    assert disk.failure("holidays/x.png") == '"holidays/x.png" does not exist; the nearest names there are "a b.png"'


def test_names_outside_are_never_revealed(disk: Disk) -> None:
    """However a path leads there."""
    (disk.allowed / "away").symlink_to(disk.outside)
    for text in ("away/secre.png", "../outside/secre.png", disk.outside / "secre.png", "away/x/../secre.png"):
        assert "secret.png" not in disk.refusal(text)


def test_a_relative_path_is_looked_for_in_every_folder(disk: Disk) -> None:
    """The working directory first; one match in another gets a notice, several are an error."""
    for folder in (disk.home / "Pictures", disk.home / "Downloads"):
        (folder / "holidays").mkdir(parents=True)
        (folder / "holidays" / "a b.png").write_bytes(SECRET)
    (disk.home / "Pictures" / "cat.png").write_bytes(CONTENT)
    folders = allowed_folders([])
    assert read("holidays/a b.png", folders, max_bytes=100) == CONTENT
    found = locate(["cat.png"], folders)
    assert str(found.notice) == f'"cat.png" was found in {disk.home / "Pictures"}.'
    assert read("cat.png", folders, max_bytes=100) == CONTENT
    disk.image.unlink()
    with pytest.raises(Unreadable, match="in several folders"):
        locate(["holidays/a b.png"], folders)
    with pytest.raises(NotAllowed):
        locate(["../outside/secret.png"], folders)


def test_a_relative_path_needs_no_working_directory(disk: Disk) -> None:
    """Clients start servers anywhere."""
    os.chdir("/")
    (disk.home / "Pictures").mkdir()
    (disk.home / "Pictures" / "cat.png").write_bytes(CONTENT)
    assert read("cat.png", allowed_folders([]), max_bytes=100) == CONTENT
    with pytest.raises(Unreadable, match=r'nearest names there are "cat\.png"'):
        read("kat.png", allowed_folders([]), max_bytes=100)


@pytest.mark.usefixtures("disk")
def test_an_allowed_folder_may_be_missing() -> None:
    """Many people have no pictures folder; the folders around it are not read."""
    folders = allowed_folders([])
    for text in ("~/Pictures", "~/Pictures/a.png", "~/Pictures/a/b.png"):
        with pytest.raises(Unreadable, match=r"does not exist$"):
            locate([text], folders)


# --- roots


def test_roots_of_the_client_are_allowed(disk: Disk) -> None:
    """After symbolic links, between the working directory and the folders of the person."""
    (disk.allowed / "link").symlink_to(disk.outside)
    rest = (disk.home / "Pictures", disk.home / "Downloads")
    assert allowed_folders([], roots=[disk.allowed / "link"]) == (disk.allowed, disk.outside, *rest)


def test_roots_that_are_too_broad_are_excluded(disk: Disk) -> None:
    """The whole disk, the home folder and above, hidden folders, the data folder, files."""
    data = disk.outside / "data"
    for folder in (data / "pictures", disk.home / ".config" / "app", disk.outside / ".git"):
        folder.mkdir(parents=True)
    (disk.allowed / "home").symlink_to(disk.home)
    (disk.allowed / "config").symlink_to(disk.home / ".config")
    roots = [
        *(Path("/"), Path("/etc"), disk.home, disk.home.parent, disk.allowed / "home", disk.allowed / "config"),
        *(disk.home / ".config", disk.home / ".config" / "app", disk.outside / ".git", data, data / "pictures"),
        *(disk.secret, disk.outside / "missing"),
    ]
    assert allowed_folders([], roots=roots, data_dir=data) == allowed_folders([])


def test_from_the_data_folder_nothing_is_taken_through_a_folder_around_it(disk: Disk) -> None:
    """A root may well contain it; a folder in it that the person named is another matter."""
    data = disk.outside / "data"
    data.mkdir()
    (data / "a.png").write_bytes(SECRET)
    text = [str(data / "a.png")]
    with pytest.raises(NotAllowed):
        locate(text, allowed_folders([], roots=[disk.outside], data_dir=data), data_dir=data)
    assert locate(text, allowed_folders([data]), data_dir=data).path == data / "a.png"


# --- whatever the text


PIECES = (
    "..",
    "/",
    "\\",
    "holidays",
    "outside",
    "secret.png",
    "a b.png",
    "a%20b.png",
    "%2e",
    "~",
    "$HOME",
    "file:",
    "@",
)


@given(st.lists(st.sampled_from([*PIECES, "'", " ", "\u00a0", "link", "x"]) | st.characters(), max_size=8).map("".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_outside_is_ever_opened(disk: Disk, text: str) -> None:
    """No folder and no file outside is read, with any text: absolute names are those of allowed folders."""
    link = disk.allowed / "link"
    if not link.is_symlink():
        link.symlink_to(disk.outside)
    with opened_files() as opened:
        try:
            seen = disk.read(text)
        except (NotAllowed, Unreadable) as error:
            seen = str(error).replace(quoted(text), "").encode()
    assert SECRET not in seen
    paths = [Path(os.fsdecode(name)) for name in opened if not isinstance(name, int)]
    assert all(path == disk.allowed for path in paths if path.is_absolute())
    assert not any(".." in path.parts for path in paths)
