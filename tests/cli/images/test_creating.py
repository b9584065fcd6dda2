"""`imagine`, `edit`, `fetch` and `tasks` against a sandbox."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest
from support import coarse

from cli.command import CommandLine
from journey_mcp.cli import edit, imagine
from journey_mcp.sandbox import Fault, JourneyApiSettings, Running, running
from journey_mcp.tools.arguments import EditImage, Imagine

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"


async def test_an_image_is_made_edited_fetched_and_listed(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    journey = journey.at(sandbox)
    made = await journey.run("imagine", "a paper boat", "--model", "z-image", "-o", str(tmp_path / "new" / "boat.jpg"))
    assert made.code == 0, made.err
    lines = made.out.splitlines()
    task_id = lines[0].split()[1].rstrip(":")
    assert lines[0].startswith(f"Task {task_id}: succeeded, 100.0% done (z-image at journeyapi")
    assert lines[-2:] == [
        f'Next: `journey-mcp edit {task_id}.1 "…"` edits an image.',
        f"Saved {tmp_path}/new/boat.jpg",
    ]
    assert (tmp_path / "new" / "boat.jpg").read_bytes().startswith(JPEG)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["boat.jpg"]
    assert made.err == f"Task {task_id}: z-image at journeyapi.\n"

    edited = await journey.run(
        "edit", f"{task_id}.1", "make it green", "--model", "seededit", "--json", "-o", str(tmp_path / "green.png")
    )
    assert edited.code == 0, edited.err
    assert (edited.json["status"], edited.json["model"]) == ("succeeded", "seededit")
    assert edited.json["next_step"] == f'`journey-mcp edit {edited.json["images"][0]["id"]} "…"` edits an image.'
    [image] = edited.json["images"]
    assert image.pop("saved_to") == str(tmp_path / "green.png")
    assert edited.err.splitlines()[1:] == [
        f"Saved {tmp_path}/green.png",
        "green.png contains a JPEG image, despite its name.",
    ]

    both = [edited.json["task_id"], task_id]
    fetched = await journey.run("fetch", *both, both[0], "--json")
    assert fetched.code == 0
    assert [task["task_id"] for task in fetched.json["tasks"]] == both
    assert fetched.json["tasks"][0] == {**edited.json, "images": [image], "prompt": "make it green"}

    listed = await journey.run("tasks", "--json")
    spent = {"provider": "journeyapi", "unit": "credits", "amount": "5", "tasks": 2}
    assert listed.json == {**fetched.json, "spent": {"today": [spent], "last_30_days": [spent]}}
    table = await journey.run("tasks")
    in_words = "5 credits at journeyapi (2 tasks)"
    assert table.err == f"Spent today (UTC): {in_words}. In the last 30 days: {in_words}.\n"
    header, first, second = table.out.splitlines()
    assert header == "Task\tAge\tStatus\tModel\tProvider\tCost\tImages\tPrompt"
    assert first.split("\t")[:1] + first.split("\t")[2:] == [
        both[0],
        *("succeeded", "seededit", "journeyapi", "3 credits", "1", "make it green"),
    ]
    assert second.endswith("\ta paper boat")


async def test_one_text_may_name_several_tasks(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox)
    made = [(await journey.run("imagine", f"boat {n}", "--model", "z-image", "--json")).json for n in range(2)]
    ids = [task["task_id"] for task in made]
    shown = await journey.run("fetch", f"{ids[0]},{ids[1]}.1", "--json")
    assert [task["task_id"] for task in shown.json["tasks"]] == ids


@pytest.mark.parametrize(("command", "arguments"), [(imagine, Imagine), (edit, EditImage)])
def test_every_argument_of_a_tool_is_one_of_its_command(command: Callable[..., None], arguments: type[Imagine]) -> None:
    assert set(arguments.model_fields) <= set(signature(command).parameters)


async def test_all_options_reach_the_provider(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox, JOURNEY_MCP_WAIT_S="0").run(
        *("imagine", "a boat", "--model", "flux-pro", "--aspect-ratio", "16:9", "--resolution", "2k"),
        *("--output-format", "jpg", "--negative-prompt", "fog", "--wait", "0"),
    )
    assert done.code == 0, done.err
    assert "running" in done.out
    assert "Next: `journey-mcp fetch tsk_" in done.out
    [submission] = sandbox.sandbox.request_log.submissions
    assert submission.request == {
        "model": "flux-pro",
        "prompt": "a boat",
        "aspect_ratio": "16:9",
        "resolution": "2K",
        "output_format": "jpg",
        "negative_prompt": "fog",
    }


async def test_the_provider_that_ran_a_task_is_named(journey: CommandLine, sandbox: Running) -> None:
    sandbox.services["journeyapi"].balance = 0
    journey = journey.at_all(sandbox)
    made = await journey.run("imagine", "a boat", "--model", "seedream-4", "--wait", "0", "--json")
    assert made.code == 0, made.err
    done = await journey.run("fetch", made.json["task_id"])
    assert done.code == 0, done.err
    assert "succeeded, 100.0% done (seedream-4 at vtrix). Provider id: " in done.out
    assert "Notice: journeyapi did not run it: journeyapi has too little money" in done.out


async def test_every_possible_file_is_checked_before_anything_is_paid(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """One provider makes four images, the other one."""
    (tmp_path / "own.toml").write_text(SINGLE_MIDJOURNEY)
    journey = journey.at_all(sandbox, JOURNEY_MCP_REGISTRY=str(tmp_path / "own.toml"))
    for name in ("boat.png", "ship-4.png"):
        (tmp_path / name).touch()
        output = tmp_path / name.replace("-4", "")
        done = await journey.run("imagine", "a boat", "--model", "midjourney", "-o", str(output))
        assert (done.code, f"{tmp_path / name} cannot be written: it exists" in done.err) == (2, True)
    assert sandbox.sandbox.request_log.submissions == ()


SINGLE_MIDJOURNEY = """
[[offer]]
model = "midjourney"
provider = "vtrix"
wire_id = "midjourney"
synchronous = false
images = { support = "none" }
sources = ["https://example.test"]
checked = 2026-11-21
"""


async def test_a_missing_file_is_explained_without_what_concerns_chats(journey: CommandLine, sandbox: Running) -> None:
    """A model reads that attachments of a chat do not reach the server; here there is no chat."""
    missing = await journey.at(sandbox).run("edit", "image.png", "make it green")
    assert (missing.code, "image.png" in missing.err, "chat" in missing.err) == (2, True, False)
    assert missing.err.endswith("Give the path of an image file.\n")


async def test_references_seed_and_mask_are_arguments_too(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox)
    two = await journey.run(
        *(
            "imagine",
            "x",
            "--model",
            "nano-banana-2",
            "--reference",
            "https://a.test/1",
            "--reference",
            "https://a.test/2",
        )
    )
    assert two.err.startswith("journey-mcp: nano-banana-2 takes at most 1 image(s); 2 were given.\n")
    seed = await journey.run("imagine", "x", "--seed", "7")
    assert seed.err.startswith("journey-mcp: midjourney would ignore seed=7.")
    mask = await journey.run("edit", "https://a.test/1", "x", "--mask", "https://a.test/m")
    assert mask.err.startswith("journey-mcp: flux-kontext-pro would ignore mask=")
    assert (two.code, seed.code, mask.code) == (2, 2, 2)


async def test_four_images_get_numbered_names(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    journey = journey.at(sandbox)
    started = await journey.run("imagine", "a boat", "--wait", "0", "-o", str(tmp_path / "boat.png"))
    task_id = started.out.split()[1].rstrip(":")
    assert (started.code, started.err.splitlines()[-1]) == (
        1,
        f"Nothing is saved yet. To wait for the task: journey-mcp fetch {task_id} -o {tmp_path}/boat.png",
    )
    done = await journey.run("fetch", task_id, "-o", str(tmp_path / "boat.png"))
    assert (done.code, done.err) == (0, "")
    saved = sorted(tmp_path.glob("boat*"))
    assert [path.name for path in saved] == [f"boat-{number}.png" for number in (1, 2, 3, 4)]
    assert all(path.read_bytes().startswith(PNG) for path in saved)
    assert done.out.splitlines()[-4:] == [f"Saved {path}" for path in saved]


async def test_the_command_to_resume_with_keeps_the_options(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    """Quoted for the shell."""
    output = str(tmp_path / "my boat.png")
    started = await journey.at(sandbox).run("imagine", "a boat", "--wait", "0", "-o", output, "--force")
    task_id = started.out.split()[1].rstrip(":")
    assert started.err.splitlines()[-1] == (
        f"Nothing is saved yet. To wait for the task: journey-mcp fetch {task_id} -o '{output}' --force"
    )


async def test_existing_files_are_rejected_before_anything_is_paid(
    journey: CommandLine, sandbox: Running, tmp_path: Path
) -> None:
    journey = journey.at(sandbox)
    there = tmp_path / "boat-3.png"
    there.write_text("mine")
    refused = await journey.run("imagine", "a boat", "-o", str(tmp_path / "boat.png"))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        f"journey-mcp: {there} cannot be written: it exists (--force replaces it).\n"
        "Name another file with -o. Nothing was sent and nothing was charged.\n"
    )
    for nothing in ("", "-"):
        assert (await journey.run("imagine", "a boat", "-o", nothing)).code == 2
    below_a_file = await journey.run("imagine", "a boat", "--model", "z-image", "-o", str(there / "boat.png"))
    assert f"{there} is not a folder" in below_a_file.err
    long_name = await journey.run("imagine", "a boat", "--model", "z-image", "-o", str(tmp_path / ("x" * 300)))
    assert "File name too long" in long_name.err
    assert sandbox.sandbox.request_log.submissions == ()
    forced = await journey.run("imagine", "a boat", "--model", "z-image", "-o", str(there), "--force")
    assert (forced.code, there.read_bytes()[:3]) == (0, JPEG)


async def test_an_image_whose_link_has_expired_is_saved_from_a_new_one(journey: CommandLine, tmp_path: Path) -> None:
    now = [0.0]
    signed = JourneyApiSettings(link_lifetime_s=60)
    async with running(coarse(speed=0, clock=lambda: now[0], journeyapi=signed)) as sandbox:
        journey = journey.at(sandbox).given(JOURNEY_MCP_KEEP_IMAGES="off")
        made = await journey.run("imagine", "a boat", "--model", "z-image", "--json")
        again = ("fetch", made.json["task_id"], "-o", str(tmp_path / "boat.jpg"))
        now[0] = 61
        done = await journey.run(*again)
        assert (done.code, (tmp_path / "boat.jpg").read_bytes()[:3]) == (0, JPEG), done.err
        assert sandbox.sandbox.request_log.requests["fetch"] == 1
        now[0] = 122
        sandbox.sandbox.faults.replace((Fault(on="fetch", kind="status", status=404, times=None),))
        lost = await journey.run(*again, "--force")
    assert lost.code == 1
    assert "cannot be saved" in lost.err


async def test_an_expired_link_does_not_affect_the_other_images(journey: CommandLine, tmp_path: Path) -> None:
    dead = Fault(on="image", kind="dead_image", times=None, after=1)
    async with running(coarse(speed=0, faults=(dead,))) as sandbox:
        journey = journey.at(sandbox).given(JOURNEY_MCP_KEEP_IMAGES="off")
        started = await journey.run("imagine", "a boat", "--json", "--wait", "0")
        done = await journey.run("fetch", started.json["task_id"], "-o", str(tmp_path / "boat.png"), "--json")
    assert done.code == 1
    [task] = done.json["tasks"]
    assert task["status"] == "succeeded"
    lines = done.err.splitlines()
    assert lines[0] == f"Saved {tmp_path}/boat-1.png"
    assert [image.get("saved_to") for image in task["images"]] == [f"{tmp_path}/boat-1.png", None, None, None]
    url = task["images"][1]["url"]
    assert lines[1] == f'journey-mcp: The image {url} cannot be saved: "127.0.0.1" answered HTTP 404.'
    assert lines[2] == "The image is not lost: open its URL, or fetch it again."
    assert lines[-1] == (f"To try again: journey-mcp fetch {task['task_id']} -o {tmp_path}/boat.png --force --json")
    assert [path.name for path in tmp_path.glob("boat*")] == ["boat-1.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("imagine", "x", "--model", "flux-por"), "model='flux-por' is not known. Did you mean flux-pro or"),
        (("imagine", " "), "prompt='' is empty"),
        (("imagine", "x", "--model", "seededit"), "seededit only edits images"),
        (("edit", "boat", "x"), "image='boat' is neither an http(s) URL, a data URI, the path of an image file, nor"),
        (("imagine", "x", "--provider", "bfl"), "provider='bfl' is not configured (allowed: journeyapi)."),
        (("imagine", "x", "--guidance", "inf"), "imagine: guidance="),
        (("imagine", "x", "--webhook-url", "http://x.test"), "webhook_url='http://x.test' is not an HTTPS URL."),
        (("fetch", "tsk_nobody"), "There is no task 'tsk_nobody'; tasks are kept 30 days."),
        (("fetch", *map(str, range(21))), "fetch takes at most 20 tasks at once; 21 were given."),
    ],
)
async def test_wrong_arguments_are_one_message_and_a_next_step(
    journey: CommandLine, sandbox: Running, arguments: tuple[str, ...], message: str
) -> None:
    done = await journey.at(sandbox).run(*arguments)
    first, *rest = done.err.splitlines()
    assert (done.code, done.out, len(rest)) == (2, "", 1)
    assert first.startswith(f"journey-mcp: {message}")
    assert sandbox.sandbox.request_log.submissions == ()


async def test_a_provider_without_a_key_needs_one(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("imagine", "x", "--provider", "bfl")
    assert done.err.splitlines()[1:] == ["Leave provider out, name one of these, or set the key of that provider."]


async def test_a_hint_names_the_command_and_not_the_tool(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("imagine", "x", "--model", "seededit")
    assert done.err.splitlines()[1:] == [
        "Call `journey-mcp edit` with --model seededit and an image, or choose another model."
    ]


async def test_an_error_as_json_names_commands(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("imagine", "x", "--model", "seededit", "--json")
    assert (done.code, done.err) == (2, "")
    assert done.json["status"] == "failed"
    assert done.json["error"]["code"] == "edit_only_model"
    assert done.json["next_step"].startswith("Call `journey-mcp edit` with --model seededit")


async def test_an_unknown_task_beside_a_known_one_is_an_error_in_its_place(
    journey: CommandLine, sandbox: Running
) -> None:
    journey = journey.at(sandbox)
    made = await journey.run("imagine", "x", "--model", "z-image", "--json")
    done = await journey.run("fetch", "tsk_nobody", made.json["task_id"])
    assert done.code == 1
    assert "Task tsk_nobody\nError unknown_task: There is no task 'tsk_nobody'" in done.out
    assert f"Task {made.json['task_id']}: succeeded" in done.out


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (JourneyApiSettings(keys=("other",)), "credentials_rejected", "JOURNEYAPI_API_KEY"),
        (JourneyApiSettings(credits=1.5), "out_of_credits", "The balance is 1.5 credits."),
    ],
)
async def test_a_request_that_the_provider_rejects_is_a_failed_task(
    journey: CommandLine, settings: JourneyApiSettings, code: str, words: str
) -> None:
    async with running(coarse(speed=0, journeyapi=settings)) as sandbox:
        journey = journey.at(sandbox)
        shown = await journey.run("imagine", "x", "--model", "z-image", "-o", "never.png")
        plain = await journey.run("imagine", "x", "--model", "z-image", "--json")
    assert (shown.code, shown.out) == (1, "")
    assert f"Error {code}: " in shown.err
    assert words in shown.err
    assert "japi_secret_1" not in shown.err
    assert (plain.code, plain.json["error"]["code"]) == (1, code)


async def test_a_blocked_prompt_fails_with_nothing_on_stdout(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("imagine", "x forbidden-in-sandbox", "--model", "z-image")
    assert (done.code, done.out) == (1, "")
    assert "Error generation_failed: The provider could not make the image" in done.err


async def test_a_task_of_an_account_that_is_no_longer_configured_is_reported(
    journey: CommandLine, sandbox: Running
) -> None:
    started = await journey.at(sandbox).run("imagine", "x", "--wait", "0", "--json")
    task_id = started.json["task_id"]
    done = await journey.run("fetch", task_id, "--wait", "0")
    assert done.err == (
        f"{task_id} is not polled: The task was made at journeyapi ({sandbox.base_url}), which is not "
        "configured on this server. Set that provider's key and base URL again to get its result.\n"
    )
    assert (done.code, "running" in done.out) == (0, True)


async def test_no_tasks_is_information(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at(sandbox).run("tasks")
    assert (done.code, done.out, done.err) == (0, "", "No tasks in the last 30 days.\n")


async def test_an_unknown_action_lists_all(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    done = await journey.at(sandbox).run("refine", "tsk_AAAAAAAAAAAAAAAAAAAAAA.2", "upscale", "-o", str(tmp_path / "a"))
    assert done.code == 2
    assert "Did you mean upscale_2x" in done.err
    assert "Call again with ACTION upscale_2x or another of these." in done.err
    assert not sandbox.sandbox.request_log.submissions
