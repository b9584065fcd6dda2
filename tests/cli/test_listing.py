"""`models`, `tasks`, `specs`, `--version`, `--help` and the document made of it."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.command import ROOT, CommandLine, Ended
from journey_mcp import __version__
from journey_mcp.cli import app
from journey_mcp.cli.formats import gemini_schema
from journey_mcp.cli.phrasing import with_options
from journey_mcp.core.errors import Failure, LostUpstream
from journey_mcp.core.images import OutputImage
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.registry import load
from journey_mcp.sandbox import Running
from journey_mcp.store import open_store

COMMANDS = [
    *([command.name or command.callback.__name__] for command in app.registered_commands if command.callback),
    *(
        [str(group.name), str(command.name)]
        for group in app.registered_groups
        if group.typer_instance
        for command in group.typer_instance.registered_commands
    ),
]
"""The words of each command."""
OPENING = "<!-- help: generated; UPDATE_DOCS=1 rewrites it -->\n"
CLOSING = "<!-- /help -->\n"


async def test_the_version_is_printed(journey: CommandLine) -> None:
    assert (await journey.run("--version")).out == f"journey-mcp {__version__}\n"


async def test_all_models_are_listed(journey: CommandLine) -> None:
    header, *rows = (await journey.run("models")).out.splitlines()
    plain = (await journey.run("models", "--json")).json["models"]
    assert header == "Model\tCommand\tOffers\tEnglish only\tImage\tBest at"
    assert [row.split("\t")[0] for row in rows] == [model["id"] for model in plain]
    assert [model["id"] for model in plain] == list(load().catalog(["journeyapi"]).models)
    cells = {row.split("\t")[0]: row.split("\t")[1:5] for row in rows}
    assert cells["midjourney"] == ["imagine", "journeyapi 4 credits", "not stated", "none"]
    assert cells["flux-kontext-pro"] == ["edit", "journeyapi 4 credits", "yes", "needed"]
    assert cells["nano-banana-2"][::3] == ["imagine, edit", "may be given"]
    assert plain[0] == {
        "id": "midjourney",
        "commands": ["imagine"],
        "best_at": "art, mood and style; four candidates to choose from",
        "offers": [{"provider": "journeyapi", "commands": ["imagine"], "credits": "4", "picture": "none"}],
    }


async def test_offers_are_in_order_of_preference(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at_all(sandbox, JOURNEY_MCP_PROVIDERS="bfl,vtrix,journeyapi")
    rows = [row.split("\t") for row in (await journey.run("models")).out.splitlines()]
    shown = {row[0]: row[1:5] for row in rows}
    assert shown["flux-kontext-pro"] == [
        "imagine, edit",
        "bfl 0.04 usd · vtrix · journeyapi 4 credits",
        "depends",
        "depends",
    ]
    assert shown["flux-2-pro"][1] == "bfl from 0.03 usd · vtrix"
    plain = {model["id"]: model for model in (await journey.run("models", "--json")).json["models"]}
    assert plain["flux-2-pro"]["offers"] == [
        {
            "provider": "bfl",
            "commands": ["imagine", "edit"],
            "usd": "0.03",
            "further_megapixel": "0.015",
            "picture": "may be given",
        },
        {"provider": "vtrix", "commands": ["imagine", "edit"], "picture": "may be given"},
    ]


async def test_providers_on_cooldown_are_marked(journey: CommandLine, sandbox: Running) -> None:
    sandbox.services["journeyapi"].balance = 0
    journey = journey.at_all(sandbox, JOURNEY_MCP_PROVIDERS="journeyapi,vtrix")
    before = await journey.run("models")
    assert ("(on cooldown)" in before.out, before.err) == (False, "")
    moved = await journey.run("imagine", "x", "--model", "seedream-4", "--wait", "0", "--json")
    assert moved.json["provider"] == "vtrix"
    done = await journey.run("models")
    assert "\nseedream-4\timagine, edit\tjourneyapi 3 credits (on cooldown) · vtrix\t" in done.out
    assert re.fullmatch(
        r"journeyapi is tried last: on cooldown until \d{4}-\S+Z: journeyapi has too little .*\n", done.err
    )
    [model] = [m for m in (await journey.run("models", "--json")).json["models"] if m["id"] == "seedream-4"]
    assert [offer.get("rests", {}).keys() for offer in model["offers"]] == [{"until", "reason"}, set()]
    shown = (await journey.run("models", "seedream-4")).out
    assert "At journeyapi as seedream-4\n  Tried last: on cooldown until 2" in shown
    plain = (await journey.run("models", "seedream-4", "--json")).json
    assert ["rests" in offer for offer in plain["offers"]] == [True, False]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"JOURNEY_MCP_DATABASE_URL": "nonsense://x"},
        {"JOURNEY_MCP_DATABASE_URL": "sqlite://x y:z/"},
        {"JOURNEY_MCP_DATABASE_URL": "sqlite:////dev/null"},
    ],
)
async def test_listing_needs_no_database_and_creates_none(
    journey: CommandLine, sandbox: Running, variables: dict[str, str]
) -> None:
    (journey.home / "tasks.db").unlink()
    done = await journey.at_all(sandbox, **variables).run("models")
    assert (done.code, done.err, len(done.out.splitlines())) == (0, "", 1 + len(load().models))
    assert list(journey.home.iterdir()) == []


async def test_a_file_that_is_not_a_database_does_not_prevent_the_list(journey: CommandLine, sandbox: Running) -> None:
    (journey.home / "tasks.db").write_text("a shopping list, and no database at all")
    done = await journey.at_all(sandbox).run("models", "midjourney")
    assert (done.code, "Tried last" in done.out) == (0, False)


async def test_a_model_is_shown_with_all_its_facts(journey: CommandLine) -> None:
    shown = (await journey.run("models", "flux-pro")).out
    assert shown.startswith("flux-pro: Flux Pro by Black Forest Labs\nBest at: the best of Flux.1\nAdvice: Plain")
    assert "At journeyapi as flux-pro\n  Commands: imagine\n  Cost: 4 credits\n" in shown
    assert "  --aspect-ratio: 1:1, 16:9, 9:16, 4:3, 3:4, 3:2, 2:3; default 1:1\n" in shown
    assert "  --resolution: 1K, 2K, 4K; notice: JourneyAPI's pages disagree" in shown
    assert "  Source: https://journeyapi.co/docs/models/flux-pro (2026-11-21)\n" in shown
    plain = (await journey.run("models", "flux-pro", "--json")).json
    assert plain["offers"][0]["parameters"]["negative_prompt"] == {"max_length": 4000}
    assert (plain["maker"], plain["checked"]) == ("Black Forest Labs", "2026-11-21")


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        (
            "seedream-4",
            [
                (
                    "Image: may be given, at most 14; sent as URL or as data; jpeg, png, webp, gif; "
                    "at most 10,000,000 bytes; at most 36,000,000 pixels; each side at least 15 pixels"
                ),
                "--aspect-ratio is sent as width and height, about 1,048,576 pixels in total",
                "--width and --height must be given together",
                "--width times --height: 921,600 to 16,777,216 pixels",
                "Only one of --resolution, --aspect-ratio, --width",
                "Only one of --resolution, --aspect-ratio, --height",
            ],
        ),
        (
            "flux-2-pro",
            [
                "Cost: 0.03 usd, plus 0.015 for each megapixel beyond the first",
                "Links expire after: 10 minutes",
                "--width: at least 64; a multiple of 16",
                "--width times --height: at most 4,194,304 pixels",
            ],
        ),
        (
            "flux-1.1-pro",
            [
                "Image: may be given, at most 1; sent as data",
                "Links expire after: 1 hour",
                "--prompt-upsampling, --no-prompt-upsampling: default off",
                "--safety-tolerance: 1 to 6; default 2",
            ],
        ),
        ("vtrix-blend-4.5", ["Cost: not stated"]),
        ("flux-kontext-pro", ["--safety-tolerance: 0 to 6; at most 2 with an image; default 2"]),
    ],
)
async def test_every_offer_is_shown_with_its_limits(
    journey: CommandLine, sandbox: Running, model: str, lines: list[str]
) -> None:
    shown = (await journey.at_all(sandbox).run("models", model)).out.splitlines()
    assert [line for line in lines if f"  {line}" not in shown] == []


async def test_every_model_can_be_shown(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at_all(sandbox)
    models = (await journey.run("models", "--json")).json["models"]
    assert len(models) == len(load().models)
    for model in models:
        done = await journey.run("models", model["id"])
        assert (done.code, "\n  Source: https://" in done.out, "None" in done.out) == (0, True, False)
        assert done.out.count("\nAt ") == len(model["offers"])


async def test_an_unknown_model_gets_the_nearest_names(journey: CommandLine) -> None:
    done = await journey.run("models", "flux-por")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("journey-mcp: There is no model 'flux-por'. Did you mean flux-pro")
    assert "Did you mean" not in (await journey.run("models", "dall-e-3")).err
    assert (await journey.run("models", "FLUX.1 Kontext [pro]")).out.startswith("flux-kontext-pro:")
    plain = await journey.run("models", "qqq", "--json")
    assert (plain.code, plain.json["error"]["message"]) == (2, "There is no model 'qqq'.")


async def test_a_model_of_another_provider_names_its_key(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("models", "flux-2-pro")
    assert (done.code, done.err.splitlines()) == (
        2,
        [
            "journey-mcp: No configured provider offers flux-2-pro; Vtrix, Black Forest Labs would.",
            "Set VTRIX_API_KEY or BFL_API_KEY, or choose another model: `journey-mcp models` lists them all.",
        ],
    )


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        ("Call again with model='flux-pro' or another.", "Call again with --model flux-pro or another."),
        ("Call again with provider=vtrix or kkiai.", "Call again with --provider vtrix or kkiai."),
        (
            "Call edit_image with model='seededit' and an image.",
            "Call `journey-mcp edit` with --model seededit and an image.",
        ),
        ("Call fetch_task without task_ids to see them.", "Call `journey-mcp tasks` to see them."),
        (
            "Call fetch_task with tsk_1 first (imagine).",
            "Call `journey-mcp fetch` with tsk_1 first (`journey-mcp imagine`).",
        ),
        (
            "Leave width out, give aspect_ratio=16:9 in its place.",
            "Leave width out, give --aspect-ratio 16:9 in its place.",
        ),
        ("Change output_format, add reference_images.", "Change --output-format, add --reference."),
        ("Leave webhook_url out.", "Leave --webhook-url out."),
        ("Call again with fresh=true.", "Call again with --fresh."),
        ("Set JOURNEY_MCP_SANDBOX=auto; `journey-mcp doctor`.", "Set JOURNEY_MCP_SANDBOX=auto; `journey-mcp doctor`."),
    ],
)
def test_hints_are_rephrased_for_the_command_line(hint: str, words: str) -> None:
    assert with_options(hint) == words


async def test_a_model_of_the_user_is_shown_too(journey: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    shown = (await journey.given(JOURNEY_MCP_REGISTRY=str(tmp_path / "own.toml")).run("models", "painter")).out
    assert (
        "  Cost: 0.02 usd\n  Result: one image\n  English only: not stated\n"
        "  Image: needed, 2 to 3, with a mask; sent as URL\n" in shown
    )
    assert "  Links expire after: 1 day\n" in shown
    assert "  --width times --height: at least 65,536 pixels\n" in shown
    assert "  --seed: 1 to 99; at most 9 with an image; a multiple of 2\n" in shown


OWN = """
[[model]]
id = "painter"
maker = "Ourselves"
family = "painter"
best_at = "walls"
sources = ["https://example.test"]
checked = 2026-11-21

[[offer]]
model = "painter"
provider = "journeyapi"
wire_id = "painter"
synchronous = true
usd = 0.02
expires_after_s = 86400
min_pixels = 65536
images = { support = "required", minimum = 2, maximum = 3, fields = ["a", "b", "c"], mask_field = "mask" }
sources = ["https://example.test"]
checked = 2026-11-21
[offer.parameters.seed]
minimum = 1
maximum = 99
maximum_with_images = 9
multiple_of = 2
"""


async def test_dead_links_are_marked_in_the_list_of_tasks(journey: CommandLine, sandbox: Running) -> None:
    """As a number of images, or the path of a copy."""
    (journey.home / "copy.png").write_bytes(b"x")
    now = time.time()
    alive, dead = OutputImage(url="https://x.test/a.png"), OutputImage(url="https://x.test/b.png", expires_at=now - 1)
    copied = replace(dead, path=str(journey.home / "copy.png"))
    rows = {
        (alive, alive): "2",
        (dead, dead): "link expired, no copy",
        (copied,): str(journey.home / "copy.png"),
        (alive, copied, copied, dead): f"1; {journey.home / 'copy.png'} and 1 more; link expired, no copy",
        (replace(copied, path="/gone.png"),): "link expired, no copy",
        (): "",
    }
    async with open_store(f"sqlite:///{journey.home / 'tasks.db'}") as store:
        for number, images in enumerate(rows):
            task = Task(
                id=f"tsk_{number}",
                principal=LOCAL,
                request=ImageRequest(tool="imagine", prompt="a kite", model="z-image"),
                provider="journeyapi",
                base_url=sandbox.base_url,
                created_at=now - number,
                updated_at=now,
                status=Status.SUCCEEDED,
                images=images,
            )
            assert await store.tasks.add(task, worker_id="x", lease_until=0.0)
    journey = journey.at(sandbox)
    _, *lines = (await journey.run("tasks")).out.splitlines()
    assert [line.split("\t")[6] for line in lines] == list(rows.values())
    plain = (await journey.run("tasks", "--json")).json["tasks"]
    assert [["url" in image for image in task.get("images", ())] for task in plain] == [
        *([True, True], [False, False], [False], [True, False, False, False], [False], [])
    ]
    shown = (await journey.run("fetch", "tsk_1", "tsk_3")).out
    assert "Image tsk_1.1: link expired, no copy image/png (expired 2" in shown
    assert "Next: The links are dead and there is no copy" in shown
    assert f"Image tsk_3.2: link expired, copy kept image/png (expired {shown.partition('(expired ')[2][:20]})" in shown
    assert 'Next: `journey-mcp edit tsk_3.2 "…"` edits an image.' in shown


async def store_tasks(journey: CommandLine, *ages_s: float) -> list[Task]:
    """Store finished tasks of these ages; the prompt has the number."""
    now = time.time()
    tasks = [
        Task(
            id=f"tsk_{number:022}",
            principal=LOCAL,
            request=ImageRequest(tool="imagine", prompt=f"Kite number {number}.", model="z-image"),
            provider="journeyapi",
            base_url="https://example.test",
            created_at=now - age_s,
            updated_at=now - age_s,
            status=Status.SUCCEEDED,
        )
        for number, age_s in enumerate(ages_s)
    ]
    async with open_store(f"sqlite:///{journey.home / 'tasks.db'}") as store:
        for task in tasks:
            assert await store.tasks.add(task, worker_id="x", lease_until=0.0)
    return tasks


async def test_tasks_are_listed_page_by_page_or_all_at_once(journey: CommandLine) -> None:
    tasks = await store_tasks(journey, *(number * 86_400.0 for number in range(25)))
    first = await journey.run("tasks")
    assert [line.split("\t")[0] for line in first.out.splitlines()[1:]] == [task.id for task in tasks[:20]]
    assert first.err == f"Older tasks: the same command with --before {tasks[19].id}, or with --all.\n"
    assert [line.split("\t")[1] for line in first.out.splitlines()[2:4]] == ["24 h", "2 days"]
    second = await journey.run("tasks", "--before", f"{tasks[19].id}.2", "--json")
    assert [task["task_id"] for task in second.json["tasks"]] == [task.id for task in tasks[20:]]
    assert second.json.keys() == {"tasks"}
    everything = (await journey.run("tasks", "--all", "--json")).json
    assert [task["task_id"] for task in everything["tasks"]] == [task.id for task in tasks]
    assert everything.keys() == {"tasks"}
    assert (await journey.run("tasks", "--json")).json["next_before"] == tasks[19].id


async def test_tasks_are_searched_by_time_and_words(journey: CommandLine) -> None:
    tasks = await store_tasks(journey, 60.0, 30 * 3600.0, 5 * 86_400.0)

    async def found(*arguments: str) -> list[str]:
        return [task["task_id"] for task in (await journey.run("tasks", "--json", *arguments)).json["tasks"]]

    assert await found("--since", "2d") == [tasks[0].id, tasks[1].id]
    assert await found("--search", "KITE 2.") == [tasks[2].id]
    day = time.strftime("%Y-%m-%d", time.gmtime(tasks[2].created_at))
    assert await found("--search", day) == [tasks[2].id]
    assert await found("--search", day, "--since", "2d") == []
    nothing = await journey.run("tasks", "--search", "unicorn")
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == "No task matches. Words must be in the prompt or model; tasks are kept 30 days.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--since", "yesterday"), "--since: 'yesterday' must be a day, a month or an age, such as 2026-11-27, 2026"),
        (("--search", "2026-02-30"), "--search: 2026-02-30 is not a date; give a day or a month, such as 2026-11-27"),
        (("--before", "tsk_x"), "before='tsk_x' is none of your tasks, or it has been deleted."),
    ],
)
async def test_a_wrong_selection_of_tasks_is_an_error(
    journey: CommandLine, arguments: tuple[str, ...], says: str
) -> None:
    done = await journey.run("tasks", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


async def test_a_running_task_of_an_account_that_is_no_longer_configured_has_a_notice(
    journey: CommandLine, sandbox: Running
) -> None:
    task = Task(
        id="tsk_1",
        principal=LOCAL,
        request=ImageRequest(tool="imagine", prompt="a kite", model="z-image"),
        provider="journeyapi",
        base_url=sandbox.base_url,
        created_at=time.time(),
        updated_at=time.time(),
    )
    async with open_store(f"sqlite:///{journey.home / 'tasks.db'}") as store:
        assert await store.tasks.add(task, worker_id="x", lease_until=0.0)
    [here] = (await journey.at(sandbox).run("tasks", "--json")).json["tasks"]
    [elsewhere] = (await journey.run("tasks", "--json")).json["tasks"]
    assert "notices" not in here
    assert elsewhere["notices"][0].startswith(f"The task was made at journeyapi ({sandbox.base_url}), which")


@pytest.mark.parametrize(
    ("failure", "step"),
    [
        (LostUpstream("gone").failure, "Check the provider's account before you repeat the call."),
        (
            # as stored by a version that knew no words for the person
            replace(LostUpstream("gone").failure, next_step_for_person=None),
            "Ask the person to check the provider's account before you repeat the call.",
        ),
    ],
)
async def test_the_next_step_of_a_stored_failure_tells_the_person_what_to_do(
    journey: CommandLine, failure: Failure, step: str
) -> None:
    task = Task(
        id="tsk_AAAAAAAAAAAAAAAAAAAAAA",
        principal=LOCAL,
        request=ImageRequest(tool="imagine", prompt="a kite", model="z-image"),
        provider="journeyapi",
        base_url="https://journeyapi.test",
        created_at=time.time(),
        updated_at=time.time(),
    )
    async with open_store(f"sqlite:///{journey.home / 'tasks.db'}") as store:
        assert await store.tasks.add(task, worker_id="x", lease_until=0.0)
        await store.tasks.save(task.failed(failure, time.time()), worker_id="x")
    assert (await journey.run("fetch", task.id, "--json")).json["tasks"][0]["next_step"] == step
    assert f"Next: {step}" in (await journey.run("fetch", task.id)).out


async def test_images_of_a_sandbox_that_has_ended_are_marked(journey: CommandLine) -> None:
    journey = journey.given(JOURNEY_MCP_KEEP_IMAGES="off")
    made = await journey.run("imagine", "a boat", "--model", "z-image", "--json")
    assert "url" in made.json["images"][0]
    assert "\tsandbox ended, no copy\ta boat\n" in (await journey.run("tasks")).out
    shown = (await journey.run("fetch", made.json["task_id"])).out
    assert ".1: sandbox ended, no copy" in shown
    assert made.json["images"][0]["url"] not in shown


async def specs(journey: CommandLine, form: str) -> Any:
    done = await journey.run("specs", "--format", form)
    assert (done.code, done.err) == (0, "")
    return done.json


async def test_the_tools_are_printed_in_every_format(journey: CommandLine) -> None:
    tools = await specs(journey, "mcp")
    assert [tool["name"] for tool in tools] == [
        *("imagine", "edit_image", "refine_image"),
        *("fetch_task", "cancel_task", "view_image"),
    ]
    assert await specs(journey, "anthropic") == [
        {"name": t["name"], "description": t["description"], "input_schema": t["inputSchema"]} for t in tools
    ]
    assert await specs(journey, "openai") == [
        {
            "type": "function",
            "function": {"name": t["name"], "description": t["description"], "parameters": t["inputSchema"]},
        }
        for t in tools
    ]
    declared = await specs(journey, "gemini")
    assert list(declared) == ["functionDeclarations"]
    imagine = declared["functionDeclarations"][0]
    assert imagine.keys() == {"name", "description", "parameters"}
    assert imagine["parameters"].keys() == {"type", "properties", "required"}
    assert imagine["parameters"]["properties"]["prompt"] == {**tools[0]["inputSchema"]["properties"]["prompt"]} | {
        "type": "STRING"
    }
    ids = declared["functionDeclarations"][3]["parameters"]["properties"]["task_ids"]
    assert (ids["type"], ids["items"]) == ("ARRAY", {"type": "STRING", "maxLength": 64})


async def test_openai_accepts_the_descriptions(journey: CommandLine) -> None:
    """Older endpoints of Chat Completions reject more than 1,024 characters."""
    assert max(len(tool["description"]) for tool in await specs(journey, "mcp")) <= 1024


def test_gemini_gets_no_unsupported_key() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "$schema": "x",
        "properties": {"additionalProperties": {"type": "integer", "enum": [1], "const": 1}, "any": {}},
    }
    assert gemini_schema(schema) == {
        "type": "OBJECT",
        "properties": {"additionalProperties": {"type": "INTEGER"}, "any": {}},
    }


async def test_specs_have_no_other_formats(journey: CommandLine) -> None:
    done = await journey.run("specs", "--format", "toml")
    assert (done.code, done.out) == (2, "")
    assert "gemini" in done.err


async def _help(journey: CommandLine) -> str:
    async def of(*names: str) -> Ended:
        return await journey.given(COLUMNS="100", TERM="dumb", NO_COLOR="1").run(*names, "--help")

    parts = [f"```text\n{(await of()).out.strip()}\n```\n"]
    parts += [f"### {' '.join(words)}\n\n```text\n{(await of(*words)).out.strip()}\n```\n" for words in COMMANDS]
    return "\n".join(parts).replace("Usage: root", "Usage: journey-mcp")


@pytest.mark.generated
async def test_the_document_contains_the_help_of_every_command(journey: CommandLine) -> None:
    """UPDATE_DOCS=1 rewrites it."""
    path = ROOT / "docs" / "cli.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(OPENING)
    _, _, after = rest.partition(CLOSING)
    fresh = f"{before}{OPENING}\n{await _help(journey)}\n{CLOSING}{after}"
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(fresh, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == fresh
