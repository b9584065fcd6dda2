"""`install` at a terminal: the question, and the key that is not shown."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli.command import PATIENCE_S, CommandLine

KEY = "japi_typed_by_hand_1"
ASKS_FOR_KEY = "JOURNEYAPI_API_KEY (not shown; Enter alone for the free sandbox): "
ASKS = "[y/N] "


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """A command whose input and output are a terminal, which shows what is typed."""

    ours: int
    process: subprocess.Popen[bytes]

    def shows(self, expected: str) -> str:
        """Return what is shown until this text."""
        shown = b""
        while expected.encode() not in shown:
            ready, _, _ = select.select([self.ours], [], [], PATIENCE_S)
            assert ready, f"{shown!r} has no {expected!r}"
            shown += os.read(self.ours, 65536)
        return shown.decode()

    def types(self, text: str) -> None:
        """Type a line."""
        os.write(self.ours, f"{text}\n".encode())

    def ended(self) -> tuple[int, str]:
        """Return the exit code, and what is shown until the end."""
        shown = b""
        while select.select([self.ours], [], [], PATIENCE_S)[0]:
            try:
                shown += os.read(self.ours, 65536)
            except OSError:  # Linux, when the other side has closed
                break
        return self.process.wait(PATIENCE_S), shown.decode()


@contextmanager
def terminal(journey: CommandLine, *arguments: str) -> Iterator[Terminal]:
    """Run a command at a terminal of its own; the one of the tests is out of its reach."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "journey_mcp", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**journey.environment, "TERM": "xterm", "HOME": str(journey.home)},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours=ours, process=process)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        os.close(ours)


@pytest.fixture
def cursor(journey: CommandLine) -> Path:
    """Return the file of Cursor, which is there."""
    file = journey.home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text("{}")
    return file


def test_a_key_is_asked_for_and_never_shown(journey: CommandLine, cursor: Path) -> None:
    """Neither while it is typed, nor in the change, nor afterwards."""
    with terminal(journey, "install", "cursor") as at:
        shown = at.shows(ASKS_FOR_KEY)
        at.types(KEY)
        shown += at.shows(ASKS)
        at.types("y")
        code, rest = at.ended()
    assert code == 0, rest
    assert json.loads(cursor.read_text())["mcpServers"]["journey"]["env"]["JOURNEYAPI_API_KEY"] == KEY
    assert '"JOURNEYAPI_API_KEY": "[secret]"' in shown
    assert f"Change {cursor}? [y/N] " in shown
    assert "journey is in" in rest
    assert KEY not in shown + rest


def test_nothing_is_the_sandbox_and_no_is_no(journey: CommandLine, cursor: Path) -> None:
    """A declined change leaves no copy either."""
    with terminal(journey, "install", "cursor") as at:
        at.shows(ASKS_FOR_KEY)
        at.types("")
        assert "API_KEY" not in at.shows(ASKS)
        at.types("")
        code, rest = at.ended()
    assert code == 1
    assert "Nothing was changed." in rest
    assert cursor.read_text() == "{}"
    assert list(cursor.parent.iterdir()) == [cursor]


def test_a_text_that_cannot_be_a_key_is_refused(journey: CommandLine, cursor: Path) -> None:
    """Without repeating it."""
    with terminal(journey, "install", "cursor") as at:
        at.shows(ASKS_FOR_KEY)
        at.types("Bearer japi_1234")
        code, rest = at.ended()
    assert code == 2
    assert "JOURNEYAPI_API_KEY=(secret): has a blank in it" in rest
    assert "japi_1234" not in rest
    assert cursor.read_text() == "{}"


def test_an_interrupt_changes_nothing(journey: CommandLine, cursor: Path) -> None:
    """While a key is asked for."""
    with terminal(journey, "install", "cursor") as at:
        at.shows(ASKS_FOR_KEY)
        at.process.send_signal(signal.SIGINT)
        code, _ = at.ended()
    assert code == 130
    assert cursor.read_text() == "{}"


@pytest.mark.parametrize("wants_key", [True, False])
def test_vs_code_asks_for_the_key_itself(wants_key: bool, journey: CommandLine) -> None:
    """The command only asks whether it shall."""
    file = journey.home / ".config" / "Code" / "User" / "mcp.json"
    file.parent.mkdir(parents=True)
    with terminal(journey.given(XDG_CONFIG_HOME=""), "install", "vscode") as at:
        at.shows(f"Shall VS Code ask you for a JourneyAPI key? Without one, a sandbox runs. {ASKS}")
        at.types("y" if wants_key else "n")
        at.shows(ASKS)
        at.types("y")
        code, rest = at.ended()
    assert code == 0, rest
    written = json.loads(file.read_text())
    assert ("inputs" in written) is wants_key
    assert ("VS Code asks for JOURNEYAPI_API_KEY" in rest) is wants_key


def test_an_entry_with_a_key_needs_no_other_one(journey: CommandLine, cursor: Path) -> None:
    """It is brought up to date without a question for one; the removal asks as well."""
    cursor.write_text('{"mcpServers": {"journey": {"command": "old", "env": {"BFL_API_KEY": "bfl_secret_1"}}}}')
    with terminal(journey, "install", "cursor") as at:
        assert ASKS_FOR_KEY not in at.shows(ASKS)
        at.types("y")
        assert at.ended()[0] == 0
    assert "bfl_secret_1" in cursor.read_text()
    with terminal(journey, "uninstall", "cursor") as at:
        assert "bfl_secret_1" not in at.shows(ASKS)
        at.types("n")
        assert at.ended()[0] == 1
    assert "bfl_secret_1" in cursor.read_text()
