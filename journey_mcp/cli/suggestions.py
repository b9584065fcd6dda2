"""Suggestions for mistyped commands and options."""

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from typer.core import TyperCommand, TyperGroup

_MIN_SIMILARITY = 0.75
"""The similarity, 0 to 1, from which a name is suggested: at less, `--size` would match `--seed`."""

_COMMANDS = {
    "imagine": ("generate", "create", "make", "draw", "paint", "render", "image", "picture", "text2image", "txt2img"),
    "refine": ("refine_image", "upscale", "vary", "variation", "variations", "pan", "reroll", "enlarge"),
    "edit": ("edit_image", "change", "modify", "transform", "inpaint", "img2img"),
    "fetch": ("fetch_task", "get", "status", "wait", "download", "save", "show", "open", "result"),
    "cancel": ("cancel_task", "stop", "abort", "kill", "delete", "rm"),
    "tasks": ("list", "ls", "history", "jobs"),
    "spend": ("cost", "costs", "usage", "budget", "spending"),
    "doctor": ("check", "config", "settings", "balance", "credits", "providers", "test"),
    "serve": ("server", "start", "run", "stdio", "http", "mcp"),
    "install": ("setup", "configure", "register", "connect", "init", "add"),
    "uninstall": ("unregister", "disconnect", "remove"),
    "specs": ("tools", "schema"),
    "completion": ("completions", "autocomplete", "complete"),
    "token": ("tokens", "auth", "login", "user", "users"),
    "new": ("create", "make", "add", "generate", "issue"),
    "list": ("ls", "show"),
    "revoke": ("delete", "remove", "rm", "cancel"),
    "--help": ("help",),
    "--version": ("version",),
}
_OPTIONS = {
    "--aspect-ratio": ("--ar", "--ratio", "--aspect", "--size", "--dimensions", "--orientation"),
    "--resolution": ("--quality", "--hd", "-q"),
    "--model": ("--engine",),
    "--output": ("-O", "--out", "--save", "--save-to", "--file", "--filename", "--path", "--dir"),
    "--output-format": ("-f", "--type"),
    "--negative-prompt": ("--no", "--negative", "--exclude"),
    "--reference": ("-r", "--ref", "--sref", "--cref", "--reference-image", "--reference-images"),
    "--guidance": ("--cfg", "--cfg-scale", "--guidance-scale"),
    "--count": ("--n", "--num", "--number", "--num-images", "--samples", "--variations"),
    "--fresh": ("-n", "--count"),
    "--batch": ("--prompts", "--input-file"),
    "--at-once": ("--parallel", "--concurrency", "--jobs", "-j"),
    "--wait": ("--timeout", "-t"),
    "--yes": ("-y", "--confirm"),
    "--quiet": ("--silent",),
    "--force": ("--overwrite", "--replace"),
    "--port": ("-p",),
    "--host": ("--address", "--bind", "--listen"),
    "--http": ("--transport",),
    "--server-url": ("--base-url", "--public-url", "--url"),
    "--version": ("-v", "-V"),
}
_HINTS = {
    "--aspect-ratio": "Use --aspect-ratio W:H, or --width with --height in pixels.",
    "--resolution": "Use --resolution 1K, 2K or 4K, or a better model (`journey-mcp models`).",
    "--fresh": "A call makes one result. Call again with --fresh for another one.",
    "--http": "Use --host and --port for HTTP, or neither for stdio.",
}
"""Hints for options that need more than a name."""
_OTHER_HINTS = {
    **dict.fromkeys(
        ("-i", "--image", "--input", "--input-image"),
        'The image to edit is the first argument, not an option: journey-mcp edit IMAGE "…".',
    ),
    **dict.fromkeys(("--prompt", "-p"), 'The prompt is an argument, not an option: journey-mcp imagine "…".'),
    **dict.fromkeys(("--style", "--artist"), "Describe it in the prompt."),
    **dict.fromkeys(
        ("--key", "--api-key", "--token"), "Keys are environment variables: `journey-mcp doctor` names them."
    ),
    **dict.fromkeys(("--verbose", "--debug", "-v"), "Set JOURNEY_MCP_LOG_LEVEL=debug."),
}


GIVEN = "journey_mcp.given"
"""The words behind the command, in the context's `meta`: to print the command again."""


class Command(TyperCommand):
    """A command that suggests what to do about a wrong option."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allow_extra_args = True  # rejected below, with a hint

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        ctx.meta[GIVEN] = list(args)
        left = _parsed(super().parse_args, self, ctx, args)
        if left and not ctx.resilient_parsing:  # a shell asks for completions
            ctx.fail(f"Too many arguments: {shlex.join(left)}.")
        return []


class Group(TyperGroup):
    """The commands; an unknown one is rejected with a suggestion."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what comes before the command."""
        return _parsed(super().parse_args, self, ctx, args)

    def get_help_option(self, ctx: Any) -> Any:
        """Return `--help`, off by default: to check `None`, Typer would import Pydantic, as slow as all else."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the named command, or fail with a suggestion."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            ctx.fail(
                _no_command(args, list(self.commands), f"journey-mcp {self.name}" if ctx.parent else "journey-mcp")
            )
        return super().resolve_command(ctx, args)


def _parsed(parse: Any, command: Any, ctx: Any, args: list[str]) -> list[str]:
    try:
        parsed: list[str] = parse(ctx, args)
    except Exception as raised:
        # the classes of typer's parser errors are private, in some releases click's
        error: Any = raised
        if hasattr(error, "possibilities"):
            names = [name for parameter in command.get_params(ctx) for name in parameter.opts]
            error.possibilities = None
            error.message = f"{error.message.rstrip('.')}. {_for_option(error.option_name, names)}".rstrip()
        raise
    return parsed


def _for_option(given: str, names: Sequence[str]) -> str:
    """Return a hint for an option that the command does not have; empty if there is none."""
    meant = [name for name, others in _OPTIONS.items() if name in names and given in others]
    if given in _OTHER_HINTS and not meant:
        return _OTHER_HINTS[given]
    meant = meant or _near(given, [name for name in names if name.startswith("--")])
    if not meant:
        return ""
    return _HINTS.get(meant[0], f"Did you mean {' or '.join(meant)}?")


def _no_command(args: Sequence[str], commands: Sequence[str], before: str) -> str:
    word = args[0]
    known = [*commands, "--help", "--version"]
    meant = [name for name, others in _COMMANDS.items() if word.lower() in others and name in known]
    meant = meant or _near(word.lower(), commands)
    if meant:
        hint = f"Did you mean {before} {' or '.join(meant)}?"
    elif "imagine" in commands and (len(args) > 1 or " " in word.strip()):
        hint = f"To make an image: journey-mcp imagine {shlex.quote(' '.join(args))}"
    else:
        hint = f"Commands: {', '.join(commands)}."
    return f"There is no command {word[:80]!r}. {hint}"


def _near(given: str, names: Iterable[str]) -> list[str]:
    """Return the names that start with this, otherwise the similar ones."""
    stripped = {name.lstrip("-"): name for name in names}
    given = given.lstrip("-")
    prefixed = [name for key, name in stripped.items() if len(given) > 1 and key.startswith(given)]
    return prefixed or [stripped[key] for key in get_close_matches(given, stripped, cutoff=_MIN_SIMILARITY)]
