"""The options that several commands share, by the names of the tools' arguments."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from journey_mcp.cli import completion
from journey_mcp.cli.terminal import output_style
from journey_mcp.cli.terminal.output_style import Format

_IMAGE_FORMS = "id (tsk_….2), URL, file or data URI"

_IMAGE_FORMATS = {"png", "jpg", "jpeg", "webp"}

Prompt = Annotated[
    list[str] | None,
    typer.Argument(help="Description of the image, in words; - or a pipe: standard input.", metavar="PROMPT"),
]
EditPrompt = Annotated[
    list[str] | None,
    typer.Argument(help="What to change, in words; the rest is kept. - or a pipe: standard input.", metavar="PROMPT"),
]
PromptFile = Annotated[Path | None, typer.Option("--file", help="Read the prompt from this file.", metavar="PATH")]
Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help="Model; `journey-mcp models` lists them.",
        metavar="ID",
        autocompletion=completion.models,
    ),
]


def _read_format(given: str) -> str:
    """Return the format of the result."""
    if given not in output_style.FORMATS:
        hint = " For the format of the image use --output-format." if given.lower() in _IMAGE_FORMATS else ""
        raise typer.BadParameter(f"{given!r} is not one of {', '.join(output_style.FORMATS)}.{hint}")
    return given


def _use_format(form: Format) -> Format:
    output_style.choose(form=form)
    return form


def _use_json(wanted: bool) -> bool:  # noqa: FBT001  # as typer calls it
    """Return whether the result is JSON; `--format` was read before."""
    form = output_style.current().form
    if wanted and form == "auto":
        output_style.choose(form="json")
    elif wanted and form != "json":
        raise typer.BadParameter(f"it contradicts --format {form}.")
    return wanted or form in {"json", "jsonl"}


def _use_quiet(wanted: bool) -> None:  # noqa: FBT001  # as typer calls it
    output_style.choose(is_quiet=wanted)


def _use_wide(wanted: bool) -> None:  # noqa: FBT001  # as typer calls it
    output_style.choose(is_wide=wanted)


def _use_yes(wanted: bool) -> None:  # noqa: FBT001  # as typer calls it
    output_style.choose(is_confirmed=wanted)


Json = Annotated[bool, typer.Option("--json", callback=_use_json, help="The same as --format json.")]
ResultFormat = Annotated[
    str,
    typer.Option(
        "--format",
        parser=_read_format,
        callback=_use_format,
        is_eager=True,  # --json depends on it
        help="auto: a table or text at a terminal, cells separated by tabs in a pipe. human: always the first. json: "
        "the object that the MCP tool returns. jsonl: lists as one object per line.",
        metavar="FORMAT",
        autocompletion=completion.formats,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", callback=_use_quiet, help="Print results and errors only, no information.")
]
Wide = Annotated[
    bool, typer.Option("--wide", callback=_use_wide, help="Show all columns at a terminal, however long the lines.")
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes", callback=_use_yes, help="Confirm a cost above JOURNEY_MCP_CONFIRM_ABOVE. Budgets still apply."
    ),
]
Provider = Annotated[
    str | None,
    typer.Option(
        help="Use only this provider; default: the first that supports all arguments.",
        metavar="NAME",
        autocompletion=completion.providers,
    ),
]
Image = Annotated[
    str | None,
    typer.Argument(help=f"The image to edit: {_IMAGE_FORMS}.", metavar="IMAGE", autocompletion=completion.images),
]
RefinedImage = Annotated[
    str,
    typer.Argument(
        help="The image to refine: id of an earlier image (tsk_….2), for upscale_2x and upscale_4x also a public URL.",
        metavar="IMAGE",
        autocompletion=completion.images,
    ),
]
Action = Annotated[
    str,
    typer.Argument(
        help="What to do with it, such as upscale_2x; an unknown one lists all.",
        metavar="ACTION",
        autocompletion=completion.actions,
    ),
]
Tasks = Annotated[
    list[str], typer.Argument(help="Task ids (tsk_…).", metavar="TASK...", autocompletion=completion.tasks)
]
NewPrompt = Annotated[str | None, typer.Option("--prompt", help="A new prompt, for reroll.", metavar="TEXT")]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        help=f"An image that guides the result: {_IMAGE_FORMS}; repeatable.",
        metavar="IMAGE",
        autocompletion=completion.images,
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(help=f"White areas are redrawn: {_IMAGE_FORMS}.", metavar="IMAGE", autocompletion=completion.images),
]
AspectRatio = Annotated[str | None, typer.Option(help="Width to height, as in 16:9.", metavar="W:H")]
Width = Annotated[int | None, typer.Option(help="Pixels; with --height, instead of --aspect-ratio.", metavar="PIXELS")]
Height = Annotated[int | None, typer.Option(help="Pixels.", metavar="PIXELS")]
Resolution = Annotated[str | None, typer.Option(help="Size class: 1K, 2K or 4K.", metavar="SIZE")]
OutputFormat = Annotated[str | None, typer.Option(help="File format: png, jpeg or webp.", metavar="FORMAT")]
NegativePrompt = Annotated[str | None, typer.Option(help="What to avoid.", metavar="TEXT")]
Seed = Annotated[int | None, typer.Option(help="Same seed, same image.", metavar="NUMBER")]
PromptUpsampling = Annotated[
    bool | None,
    typer.Option("--prompt-upsampling/--no-prompt-upsampling", help="Let the provider enrich the prompt, or not."),
]
SafetyTolerance = Annotated[int | None, typer.Option(help="0 is strictest.", metavar="NUMBER")]
Guidance = Annotated[float | None, typer.Option(help="How closely to follow the prompt.", metavar="NUMBER")]
Steps = Annotated[int | None, typer.Option(help="More is finer and slower.", metavar="NUMBER")]
WebhookUrl = Annotated[str | None, typer.Option(help="HTTPS URL that receives the result by POST.", metavar="URL")]
WaitS = Annotated[
    float | None, typer.Option("--wait", min=0, help="Seconds to wait; default: until finished.", metavar="SECONDS")
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Force a new, paid image even if an identical request is running or may have been charged."
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        help="Save the images: a file (several become FILE-1.png, FILE-2.png …), a folder, or a pattern such as "
        "'{date}-{model}-{n}.{ext}'.",
        metavar="FILE|FOLDER|PATTERN",
    ),
]
Count = Annotated[int, typer.Option("-n", "--count", min=1, max=100, help="Make so many, each paid once.", metavar="N")]
Batch = Annotated[
    str | None,
    typer.Option(
        help="Make one image a line: prompts, or JSON objects in a .jsonl file; - is standard input.", metavar="FILE"
    ),
]
AtOnce = Annotated[int, typer.Option(min=1, max=50, help="How many of them at the same time.", metavar="N")]
RunId = Annotated[
    str | None,
    typer.Option("--run", help="Go on with this run of -n or --batch: nothing is paid twice.", metavar="ID"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
Preview = Annotated[
    Literal["auto", "off"],
    typer.Option(help="Show small images in a terminal that can, or never."),
]
Open = Annotated[
    bool,
    typer.Option("--open", help="Open the images in the program for them: the saved files, else the copies."),
]
