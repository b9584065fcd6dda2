"""How a command prints: the format of its result, and what else it says. The options of the command set it."""

import os
import sys
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, TextIO, get_args

Format = Literal["auto", "human", "json", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
_AGENT_VARIABLES = (
    *("AI_AGENT", "AGENT"),  # of no particular agent
    *("CLAUDECODE", "CODEX_CI", "CODEX_SANDBOX", "CODEX_THREAD_ID", "COPILOT_CLI"),
    *("CURSOR_AGENT", "GEMINI_CLI", "OPENCODE"),
)
"""Variables that agents set for the commands that they run (github.com/cli/cli, internal/agents/detect.go)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputStyle:
    """What the options of a command ask for."""

    form: Format = "auto"
    is_quiet: bool = False
    """Only results, questions and errors are printed."""
    is_wide: bool = False
    """Tables have all columns, and lines are as long as they need to be."""
    is_confirmed: bool = False
    """Costs are confirmed without a question."""

    @property
    def has_rows_only(self) -> bool:
        """A list is printed without what is said about it."""
        return self.form == "jsonl"

    @property
    def options(self) -> list[str]:
        """The options that ask for it, for a command that goes on with free work."""
        form = {"auto": [], "json": ["--json"]}.get(self.form, ["--format", self.form])
        return form + ["--quiet"] * self.is_quiet

    @property
    def has_tables(self) -> bool:
        """Lists are drawn as tables; otherwise their cells are separated by tabs."""
        return self.form == "human" or (self.form == "auto" and is_for_person(sys.stdout))

    @property
    def has_progress_bars(self) -> bool:
        """Progress is drawn on stderr."""
        return not self.is_quiet and is_for_person(sys.stderr) and os.environ.get("TERM") != "dumb"


_current: ContextVar[OutputStyle] = ContextVar("output style", default=OutputStyle())  # noqa: B039  # frozen


def current() -> OutputStyle:
    """Return the style of the running command."""
    return _current.get()


def reset() -> None:
    """Begin a command."""
    _current.set(OutputStyle())


def choose(**options: Any) -> None:
    """Set what an option of the command asks for, by the names of the fields."""
    _current.set(replace(current(), **options))


def is_for_person(stream: TextIO) -> bool:
    """Return whether a person reads this stream: a terminal, and no agent runs the command."""
    return stream.isatty() and not any(os.environ.get(name) for name in _AGENT_VARIABLES)
