"""The command line: commands and their options. The other modules of this package do the work.

A command imports its modules when it runs: `--help` and `--version` stay fast.
"""

# ruff: noqa: PLC0415  # see above

import io
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from journey_mcp import __version__
from journey_mcp.cli import completion, options
from journey_mcp.cli.suggestions import GIVEN, Command, Group
from journey_mcp.cli.terminal import console, output_style

__all__ = ["app"]

app = typer.Typer(
    name="journey-mcp",
    cls=Group,
    help="Make and edit images: an MCP server for assistants, and the same tools as commands. "
    "Without a command it serves MCP on stdio.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
_command = partial(app.command, cls=Command)
_tokens = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
app.add_typer(_tokens, name="token", help="Make, list and revoke the bearer tokens for HTTP.")
_token_command = partial(_tokens.command, cls=Command)


def _show_version(ctx: typer.Context, wanted: bool) -> None:  # noqa: FBT001  # as typer calls it
    if wanted and not ctx.resilient_parsing:
        console.result(f"journey-mcp {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    output_style.reset()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # where a terminal's encoding has no "…", a question mark does
            stream.reconfigure(errors="replace")


@_command()
def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(help="Serve /mcp over streamable HTTP at this address; default 127.0.0.1.", metavar="HOST"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="And at this port; default 8000.", metavar="PORT"),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(help="Both in one.", metavar="HOST:PORT"),
    ] = None,
    server_url: Annotated[
        str | None,
        typer.Option(help="Public address of the server, without /mcp; default JOURNEY_MCP_SERVER_URL.", metavar="URL"),
    ] = None,
    trust_proxy: Annotated[
        bool,
        typer.Option("--trust-proxy", help="Believe X-Forwarded-For: only the proxy can reach this server."),
    ] = False,
    webhooks: Annotated[
        str | None,
        typer.Option(
            help="Receive providers' webhooks, and give them images, on this local address; JOURNEY_MCP_PUBLIC_URL "
            "must lead to it.",
            metavar="HOST:PORT",
        ),
    ] = None,
) -> None:
    """Serve MCP to assistants: on stdio, or over HTTP with --host or --port."""
    from journey_mcp.cli import serving

    request = serving.ServeRequest(
        host=host, port=port, address=http, webhooks=webhooks, server_url=server_url, trust_proxy=trust_proxy
    )
    with console.errors_reported(as_json=False):
        serving.serve(request)


@_command()
def imagine(  # noqa: PLR0913  # a command's options are its parameters
    *,
    ctx: typer.Context,
    prompt: options.Prompt = None,
    file: options.PromptFile = None,
    model: options.Model = None,
    provider: options.Provider = None,
    reference_images: options.References = None,
    aspect_ratio: options.AspectRatio = None,
    width: options.Width = None,
    height: options.Height = None,
    resolution: options.Resolution = None,
    output_format: options.OutputFormat = None,
    negative_prompt: options.NegativePrompt = None,
    seed: options.Seed = None,
    prompt_upsampling: options.PromptUpsampling = None,
    safety_tolerance: options.SafetyTolerance = None,
    guidance: options.Guidance = None,
    steps: options.Steps = None,
    webhook_url: options.WebhookUrl = None,
    count: options.Count = 1,
    batch: options.Batch = None,
    at_once: options.AtOnce = 4,
    run_id: options.RunId = None,
    fresh: options.Fresh = False,
    wait_s: options.WaitS = None,
    output: options.Output = None,
    force: options.Force = False,
    as_json: options.Json = False,
    preview: options.Preview = "auto",
    opens: options.Open = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
    _yes: options.Yes = False,
) -> None:
    """Make an image from text."""
    _create_one_or_several("imagine", locals())


@_command()
def edit(  # noqa: PLR0913  # a command's options are its parameters
    *,
    ctx: typer.Context,
    image: options.Image = None,
    prompt: options.EditPrompt = None,
    file: options.PromptFile = None,
    model: options.Model = None,
    provider: options.Provider = None,
    reference_images: options.References = None,
    mask: options.Mask = None,
    aspect_ratio: options.AspectRatio = None,
    width: options.Width = None,
    height: options.Height = None,
    resolution: options.Resolution = None,
    output_format: options.OutputFormat = None,
    negative_prompt: options.NegativePrompt = None,
    seed: options.Seed = None,
    prompt_upsampling: options.PromptUpsampling = None,
    safety_tolerance: options.SafetyTolerance = None,
    guidance: options.Guidance = None,
    steps: options.Steps = None,
    webhook_url: options.WebhookUrl = None,
    count: options.Count = 1,
    batch: options.Batch = None,
    at_once: options.AtOnce = 4,
    run_id: options.RunId = None,
    fresh: options.Fresh = False,
    wait_s: options.WaitS = None,
    output: options.Output = None,
    force: options.Force = False,
    as_json: options.Json = False,
    preview: options.Preview = "auto",
    opens: options.Open = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
    _yes: options.Yes = False,
) -> None:
    """Edit an image."""
    _create_one_or_several("edit_image", locals())


@_command()
def refine(  # noqa: PLR0913  # a command's options are its parameters
    *,
    image: options.RefinedImage,
    action: options.Action,
    prompt: options.NewPrompt = None,
    webhook_url: options.WebhookUrl = None,
    fresh: options.Fresh = False,
    wait_s: options.WaitS = None,
    output: options.Output = None,
    force: options.Force = False,
    as_json: options.Json = False,
    preview: options.Preview = "auto",
    opens: options.Open = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
    _yes: options.Yes = False,
) -> None:
    """Upscale, vary, extend or repeat an earlier image."""
    _create("refine_image", locals())


@_command()
def compare(  # noqa: PLR0913  # a command's options are its parameters
    *,
    ctx: typer.Context,
    prompt: options.Prompt = None,
    file: options.PromptFile = None,
    models: Annotated[
        str,
        typer.Option(
            help="Two to twelve models, comma-separated.",
            metavar="MODELS",
            autocompletion=completion.several_models,
        ),
    ],
    at_once: options.AtOnce = 4,
    run_id: Annotated[
        str | None, typer.Option("--run", help="Go on with this comparison: nothing is paid twice.", metavar="ID")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="Save the sheet: a file (.png, .jpg), or a folder. Default: the data folder."
        ),
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
    preview: options.Preview = "auto",
    opens: Annotated[bool, typer.Option("--open", help="Open the sheet in the program for it.")] = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
    _yes: options.Yes = False,
) -> None:
    """Make one prompt with several models, and a sheet with model, cost and time under each image."""
    with console.errors_reported(as_json=as_json):
        from journey_mcp.cli.images import comparing
        from journey_mcp.cli.images.output_options import OutputOptions
        from journey_mcp.cli.images.several import RunArguments, read_prompts

        text, reads_stdin = read_prompts(prompt or (), file, None)
        words = (str(ctx.info_name), *ctx.meta[GIVEN])
        run = RunArguments(count=1, batch=None, at_once=at_once, run_id=run_id, words=words, reads_stdin=reads_stdin)
        output_options = OutputOptions(
            output=output, force=force, wait_s=None, as_json=as_json, preview=preview, opens=opens
        )
        raise typer.Exit(comparing.compare(text, models, run, output_options))


@_command()
def fetch(
    *,
    tasks: options.Tasks,
    wait_s: options.WaitS = None,
    output: options.Output = None,
    force: options.Force = False,
    as_json: options.Json = False,
    preview: options.Preview = "auto",
    opens: options.Open = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
) -> None:
    """Wait for tasks and show them; with -o, save the images of one."""
    with console.errors_reported(as_json=as_json):
        from journey_mcp.cli.images import fetching
        from journey_mcp.cli.images.output_options import OutputOptions

        output_options = OutputOptions(
            output=output, force=force, wait_s=wait_s, as_json=as_json, preview=preview, opens=opens
        )
        raise typer.Exit(fetching.fetch(tasks, output_options))


@_command()
def cancel(
    *,
    tasks: options.Tasks,
    as_json: options.Json = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
) -> None:
    """Cancel tasks: free while queued; once running, only if the provider supports it."""
    with console.errors_reported(as_json=as_json):
        from journey_mcp.cli.images import fetching

        raise typer.Exit(fetching.cancel(tasks, as_json=as_json))


@_command()
def spend(
    *,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Number of days to include.", metavar="DAYS")] = 30,
    by: Annotated[
        Literal["day", "principal"],
        typer.Option(help="Split by day, provider and model; or by principal and provider."),
    ] = "day",
    as_json: options.Json = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
    _wide: options.Wide = False,
) -> None:
    """Show spending by day and model, or by principal."""
    with console.errors_reported(as_json=as_json):
        from journey_mcp.cli.spend import spend as show

        show(days, by, as_json=as_json)


@_command()
def tasks(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only tasks since a day or month, or of an age: 2026-11-27, 2026-11, 12h, 7d.", metavar="TIME"
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(help="Only tasks with these words in prompt or model, or of a date.", metavar="TEXT"),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            help="Only tasks older than this one, for the next page.", metavar="TASK", autocompletion=completion.tasks
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List all tasks instead of the newest 20.")] = False,
    as_json: options.Json = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
    _wide: options.Wide = False,
) -> None:
    """List your tasks, the newest first, and what was spent."""
    with console.errors_reported(as_json=as_json):
        from journey_mcp.cli import listing

        request = listing.TasksRequest(since=since, search=search, before=before, everything=everything)
        listing.tasks(request, as_json=as_json)


@_command()
def models(
    *,
    model: Annotated[
        str | None,
        typer.Argument(
            help="Show everything known about this model.", metavar="[ID]", autocompletion=completion.models
        ),
    ] = None,
    as_json: options.Json = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
    _wide: options.Wide = False,
) -> None:
    """List the models, or show one in detail."""
    with console.errors_reported(as_json=as_json):
        from journey_mcp.cli import listing

        if model is None:
            listing.models(as_json=as_json)
        else:
            listing.model(model, as_json=as_json)


@_command()
def gallery(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")] = 0,
    may_open: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the browser, or only print the address.")
    ] = True,
) -> None:
    """Show all images in the browser: search, edit and refine them. Every cost is confirmed there."""
    with console.errors_reported(as_json=False):
        from journey_mcp.cli.gallery import gallery as serve_gallery

        serve_gallery(port, may_open=may_open)


@_command()
def purge(
    *,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", min=0, max=36500, help="Only what is older than so many days.", metavar="DAYS"),
    ] = None,
    principal: Annotated[
        str | None,
        typer.Option(help="Only what belongs to this principal: local, token:NAME, or an id.", metavar="NAME"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete tasks, their images and added images, for good; costs stay. Asks first."""
    with console.errors_reported(as_json=False):
        from journey_mcp.cli import moving

        raise typer.Exit(moving.purge(older_than, principal, is_agreed=yes))


@_command("export")
def export_(
    *,
    file: Annotated[Path, typer.Argument(help="A new file, such as journal.tar.", metavar="FILE")],
    force: Annotated[bool, typer.Option("--force", help="Also unfinished tasks of running servers.")] = False,
) -> None:
    """Write all tasks and images into one file, for another database or image store."""
    with console.errors_reported(as_json=False):
        from journey_mcp.cli import moving

        raise typer.Exit(moving.export(file, with_running=force))


@_command("import")
def import_(
    *,
    file: Annotated[Path, typer.Argument(help="A file that export wrote.", metavar="FILE")],
) -> None:
    """Store the tasks and images of such a file; those that are there already stay as they are."""
    with console.errors_reported(as_json=False):
        from journey_mcp.cli import moving

        raise typer.Exit(moving.import_(file))


@_command()
def doctor(
    *,
    as_json: options.Json = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
    _wide: options.Wide = False,
) -> None:
    """Check settings, database and providers, and suggest fixes. Exit code 0 means that everything works."""
    from journey_mcp.cli.doctor import doctor as diagnose

    raise typer.Exit(diagnose(as_json=as_json))


@_command()
def install(
    *,
    client: Annotated[
        str | None,
        typer.Argument(
            help="claude-desktop, claude-code, cursor, vscode, codex, gemini, copilot, windsurf or lm-studio.",
            metavar="CLIENT",
            autocompletion=completion.clients,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; without a key it is the sandbox.")] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print what to write where, and change nothing.")] = False,
) -> None:
    """Add this server to a client; shows the change, asks, and keeps a copy of the file."""
    with console.errors_reported(as_json=False):
        from journey_mcp.cli.install import command

        raise typer.Exit(command.install(client, command.this_machine(), only_print=only_print, is_agreed=yes))


@_command()
def uninstall(
    *,
    client: Annotated[str, typer.Argument(help="As for install.", metavar="CLIENT", autocompletion=completion.clients)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove this server from a client again."""
    with console.errors_reported(as_json=False):
        from journey_mcp.cli.install import command

        raise typer.Exit(command.uninstall(client, command.this_machine(), is_agreed=yes))


@_command()
def migrate() -> None:
    """Bring the task database up to this version, as servers do at start."""
    with console.errors_reported(as_json=False):
        from journey_mcp.cli.migrate import migrate as bring_up

        bring_up()


@_command()
def sandbox(  # noqa: PLR0913  # a command's options are its parameters
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")] = 8787,
    speed: Annotated[float, typer.Option(min=0, help="1 is realistic, 0 finishes every task at once.")] = 20.0,
    seed: Annotated[int | None, typer.Option(help="Makes ids, seeds and durations repeatable.")] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="Fault to inject, as in submit:status=429,times=3 (at one service: bfl/submit:…); repeatable.",
            metavar="FAULT",
        ),
    ] = None,
    balance: Annotated[float, typer.Option("--credits", min=0, help="Initial balance at JourneyAPI.")] = 500,
    plan: Annotated[
        Literal["basic", "starter", "growth", "enterprise"],
        typer.Option(help="JourneyAPI's plan; it limits concurrent tasks."),
    ] = "starter",
    edit_without_image: Annotated[
        Literal["strict", "lenient"], typer.Option(help="JourneyAPI's edit model without an image: rejected, or not.")
    ] = "strict",
    sync_answer: Annotated[
        Literal["finished", "task_id"], typer.Option(help="What JourneyAPI's synchronous models return.")
    ] = "finished",
    unknown_task: Annotated[
        Literal["400", "404", "empty"], typer.Option(help="How JourneyAPI answers for an unknown task.")
    ] = "400",
) -> None:
    """Run a sandbox: a free local fake of every service, with made-up images."""
    from journey_mcp.cli import serving

    request = serving.SandboxRequest(
        port=port,
        speed=speed,
        seed=seed,
        faults=fault or (),
        credits=balance,
        plan=plan,
        edit_without_image=edit_without_image,
        sync_answer=sync_answer,
        unknown_task=unknown_task,
    )
    with console.errors_reported(as_json=False):
        serving.serve_sandbox(request)


@_command()
def specs(
    *,
    form: Annotated[
        Literal["mcp", "anthropic", "openai", "gemini"], typer.Option("--format", help="The API to print them for.")
    ] = "mcp",
) -> None:
    """Print the tool definitions as JSON, for calling a model without MCP."""
    from journey_mcp.cli import serving

    with console.errors_reported(as_json=False):
        serving.specs(form)


@_command("completion")
def completion_(
    *,
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], typer.Argument(help="The shell that completes.")],
) -> None:
    """Print the script with which a shell completes commands, options, models and tasks."""
    completion.script(shell)


@_token_command("new")
def token_new(
    *,
    name: Annotated[str, typer.Argument(help="Whose token it is; tasks and budgets belong to this name.")],
    budget: Annotated[
        str | None, typer.Option(help="Spending limits, as in JOURNEY_MCP_BUDGET.", metavar="LIMITS")
    ] = None,
    providers: Annotated[
        str | None,
        typer.Option(
            help="The only providers of the settings to use, comma-separated; none: only keys of their own.",
            metavar="NAMES",
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="The last day on which it is valid (UTC): 2027-01-31.", metavar="DATE")
    ] = None,
    scopes: Annotated[
        str | None,
        typer.Option(
            help="images:generate, images:read, admin, comma-separated; default: the first two.", metavar="SCOPES"
        ),
    ] = None,
    calls_per_minute: Annotated[str | None, typer.Option(help="Most calls in a minute.", metavar="N")] = None,
    running: Annotated[str | None, typer.Option(help="Most tasks that run at once.", metavar="N")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="A provider of which they have a key of their own: it is asked for, or read from a line of standard "
            "input. May be given several times.",
            metavar="PROVIDER",
            autocompletion=completion.providers,
        ),
    ] = None,
) -> None:
    """Make a token and print it, once."""
    given = {o: value for o, value in locals().items() if o not in {"name", "key"} and value is not None}
    with console.errors_reported(as_json=False):
        from journey_mcp.cli import tokens

        tokens.new(name, given, key or ())


@_token_command("list")
def token_list(
    *,
    as_json: options.Json = False,
    _form: options.ResultFormat = "auto",
    _quiet: options.Quiet = False,
) -> None:
    """List the tokens, with what they may do."""
    with console.errors_reported(as_json=as_json):
        from journey_mcp.cli import tokens

        tokens.listed(as_json=as_json)


@_token_command("revoke")
def token_revoke(*, name: Annotated[str, typer.Argument(help="Whose token ends.")]) -> None:
    """Remove a token: servers reject it at once."""
    with console.errors_reported(as_json=False):
        from journey_mcp.cli import tokens

        tokens.revoke(name)


def _create(tool: Literal["imagine", "edit_image", "refine_image"], given: dict[str, Any]) -> None:
    """Run a tool. The options for its output are separated from the tool's arguments."""
    given = {name: value for name, value in given.items() if not name.startswith("_")}
    output_options = {
        name: given.pop(name) for name in ("output", "force", "fresh", "wait_s", "as_json", "preview", "opens")
    }
    with console.errors_reported(as_json=output_options["as_json"]):
        from journey_mcp.cli.images.creating import create
        from journey_mcp.cli.images.output_options import OutputOptions

        raise typer.Exit(create(tool, given, OutputOptions(**output_options), given.pop("run", None)))


def _create_one_or_several(tool: Literal["imagine", "edit_image"], given: dict[str, Any]) -> None:
    """Run a tool that takes a prompt, once or several times."""
    ctx: typer.Context = given.pop("ctx")
    with console.errors_reported(as_json=given["as_json"]):
        from journey_mcp.cli.images.several import RunArguments, read_prompts

        prompt, file, batch = (given.pop(name) for name in ("prompt", "file", "batch"))
        run = {name: given.pop(name) for name in ("count", "at_once", "run_id")}
        given["prompt"], reads_stdin = read_prompts(prompt or (), file, batch)
        words = (str(ctx.info_name), *ctx.meta[GIVEN])
        given["run"] = RunArguments(**run, batch=batch, words=words, reads_stdin=reads_stdin)
    _create(tool, given)
