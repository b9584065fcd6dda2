"""`imagine`, `edit` and `fetch` as processes: paths, Ctrl-C, and pauses of real seconds."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import base64
import io
from pathlib import Path

from cli.command import CommandLine, first_line, interrupted
from manual_clock import until
from PIL import Image
from support import coarse

from journey_mcp.sandbox import Fault, Running, running


async def test_all_other_options_reach_the_named_provider(journey: CommandLine, sandbox: Running) -> None:
    done = await journey.at_all(sandbox).run(
        *("imagine", "a boat", "--model", "flux-2-flex", "--provider", "BFL", "--width", "1024", "--height", "768"),
        *("--seed", "7", "--no-prompt-upsampling", "--safety-tolerance", "0", "--guidance", "4.5", "--steps", "30"),
    )
    assert (done.code, "(flux-2-flex at bfl)" in done.out) == (0, True)
    [submission] = sandbox.sandbox.request_log.submissions
    assert submission.service == "bfl"
    assert submission.request == {
        "prompt": "a boat",
        "width": 1024,
        "height": 768,
        "seed": 7,
        "prompt_upsampling": False,
        "safety_tolerance": 0,
        "guidance": 4.5,
        "steps": 30,
    }


async def test_files_and_data_are_input_images(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at_all(sandbox)
    for name in ("boat.png", "mask.png"):
        (journey.home / name).write_bytes(drawn())
    data = f"data:image/png;base64,{base64.b64encode(drawn()).decode()}"
    edited = await journey.process("edit", "boat.png", "green", "--reference", data, "--model", "flux-kontext-pro")
    assert edited.code == 0, edited.err
    assert "Notice: vtrix runs this. journeyapi was skipped: " in edited.out
    filled = await journey.process("edit", "./boat.png", "green", "--mask", "mask.png", "--model", "flux-fill-pro")
    assert filled.code == 0, filled.err
    again = await journey.run("edit", f"{edited.out.split()[1].rstrip(':')}.1", "red", "--provider", "bfl")
    assert again.code == 0, again.err
    services = [submission.service for submission in sandbox.sandbox.request_log.submissions]
    assert services == ["vtrix", "bfl", "bfl"]
    missing = await journey.process("edit", "ship.png", "green")
    problem, step = missing.err.splitlines()
    assert missing.code == 2
    assert problem.endswith('"ship.png" does not exist; the nearest names there are "mask.png", "boat.png".')
    assert step == "Give the path of an image file."


def drawn() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (320, 320), "teal").save(written, "png")
    return written.getvalue()


async def test_the_copy_is_saved_when_the_link_has_expired(journey: CommandLine, tmp_path: Path) -> None:
    dead = Fault.parse("bfl/image:dead_image,times=always,after=1")
    async with running(coarse(speed=0, faults=(dead,))) as sandbox:
        journey = journey.at_all(sandbox, JOURNEY_MCP_PROVIDERS="bfl")
        made = await journey.run("imagine", "a boat", "--model", "flux-2-pro", "-o", str(tmp_path / "a.jpg"))
    assert made.code == 0, made.err
    task_id = made.out.split()[1].rstrip(":")
    copy = journey.home / "pictures" / f"{task_id}.1.jpg"
    assert f"(copy: {copy})" in made.out
    assert (tmp_path / "a.jpg").read_bytes() == copy.read_bytes()
    later = await journey.run("fetch", task_id, "-o", str(tmp_path / "b.jpg"))
    assert (later.code, (tmp_path / "b.jpg").read_bytes()) == (0, copy.read_bytes())
    copy.unlink()
    lost = await journey.run("fetch", task_id, "-o", str(tmp_path / "c.jpg"))
    assert lost.code == 1
    assert "cannot be saved: no connection to " in lost.err
    assert lost.err.splitlines()[-2].startswith("Its link expires at 2")


async def test_no_connection_is_a_failed_task(journey: CommandLine) -> None:
    done = await journey.given(JOURNEYAPI_API_KEY="japi_secret_1", JOURNEYAPI_BASE_URL="http://127.0.0.1:1/api/v1").run(
        "imagine", "x", "--json"
    )
    assert (done.code, done.json["error"]["code"]) == (1, "unreachable")


async def test_without_a_key_the_images_end_with_the_command(journey: CommandLine, tmp_path: Path) -> None:
    done = await journey.process("imagine", "x", "--model", "z-image")
    assert done.code == 0
    assert "`journey-mcp sandbox --port 8787`" in done.err
    assert "Set JOURNEYAPI_API_KEY, or another provider's key, for real images." in done.out
    saved = await journey.run("imagine", "x", "--model", "z-image", "-o", str(tmp_path / "x.jpg"))
    assert "8787" not in saved.err
    assert (tmp_path / "x.jpg").is_file()


async def test_ctrl_c_prints_the_command_to_resume(journey: CommandLine) -> None:
    async with running(coarse(speed=0, faults=(Fault(on="submit", kind="hang", times=None),))) as sandbox:
        journey = journey.at(sandbox)
        async with journey.started("imagine", "a boat") as process:
            task_id = (await first_line(process.stderr)).split()[1].rstrip(":")
            await until(lambda: [s.outcome for s in sandbox.sandbox.request_log.submissions] == ["created"])
            done = await interrupted(process)
        assert (done.code, done.out) == (130, "")
        assert done.err.splitlines()[0] == f"Stopped waiting. To resume: journey-mcp fetch {task_id}"
        options = ("--wait", "600", "-o", "my boat.png", "--force")
        async with journey.started("fetch", task_id, *options) as process:
            await until(lambda: sandbox.sandbox.request_log.requests["fetch"])
            again = await interrupted(process)
    resume = f"Stopped waiting. To resume: journey-mcp fetch {task_id} --wait 600 -o 'my boat.png' --force\n"
    assert (again.code, again.err) == (130, resume)


async def test_ctrl_c_during_a_submission_warns_of_a_charge(journey: CommandLine) -> None:
    hang = Fault(on="submit", kind="hang")
    async with (
        running(coarse(speed=0, faults=(hang,))) as sandbox,
        journey.at(sandbox).started("imagine", "a boat", "--model", "z-image") as process,
    ):
        task_id = (await first_line(process.stderr)).split()[1].rstrip(":")
        await until(lambda: sandbox.sandbox.request_log.submissions)
        done = await interrupted(process)
    assert done.code == 130
    assert done.err.splitlines() == [
        f"Stopped waiting. To resume: journey-mcp fetch {task_id}",
        f"journeyapi had not confirmed {task_id}: it may still be charged.",
    ]


async def test_a_task_that_is_queued_when_a_command_ends_is_free(journey: CommandLine) -> None:
    async with running(coarse(speed=0, faults=(Fault(on="submit", kind="hang"),))) as sandbox:
        journey = journey.at(sandbox, JOURNEY_MCP_MAX_CONCURRENT="1")
        assert (await journey.run("imagine", "a boat", "--wait", "0")).code == 0
        done = await journey.run("imagine", "a kite", "--wait", "0", "--json")
        assert (done.code, done.json["status"]) == (0, "queued")
        assert "The task is still queued and ends with this command: nothing was sent or charged." in done.err
        ended = await journey.run("fetch", done.json["task_id"], "--wait", "0", "--json")
        assert ended.json["tasks"][0]["error"]["code"] == "not_submitted"
        async with journey.started("imagine", "a third one") as process:
            task_id = (await first_line(process.stderr)).split()[1].rstrip(":")
            done = await interrupted(process)
        assert done.err.splitlines() == [
            f"Stopped waiting. To resume: journey-mcp fetch {task_id}",
            f"{task_id} was still queued: nothing was sent or charged.",
        ]
        assert len(sandbox.sandbox.request_log.submissions) == 1


async def test_ctrl_c_without_a_key_ends_the_sandbox_too(journey: CommandLine) -> None:
    async with journey.started("imagine", "a boat") as process:
        await first_line(process.stderr)
        done = await interrupted(process)
    assert (done.code, done.err) == (130, "Stopped, and the sandbox with it; nothing was charged.\n")


async def test_a_command_says_where_its_images_are(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    """It ends when they are copied, and saved where the person wants them."""
    journey = journey.at(sandbox).given(JOURNEY_MCP_SAVE_DIR=str(tmp_path / "Images"))
    made = await journey.run("imagine", "a paper boat", "--json")
    assert made.code == 0, made.err
    images = made.json["images"]
    assert [Path(image["saved_to"]).name[10:] for image in images] == [f" a paper boat {n}.png" for n in range(1, 5)]
    assert all(Path(image[name]).is_file() for image in images for name in ("path", "saved_to"))
    shown = (await journey.run("fetch", made.json["task_id"])).out
    assert all(f"(saved to: {image['saved_to']})" in shown for image in images)


async def test_an_image_is_refined(journey: CommandLine, sandbox: Running, tmp_path: Path) -> None:
    journey = journey.at(sandbox)
    made = (await journey.run("imagine", "a paper boat", "--json")).json
    image = made["images"][1]["id"]
    varied = await journey.run("refine", image, "vary", "-o", str(tmp_path / "vary.png"))
    assert varied.code == 0, varied.err
    assert f"(vary of {image}, midjourney at journeyapi)" in varied.out
    assert [path.name for path in sorted(tmp_path.glob("vary*"))] == [f"vary-{n}.png" for n in (1, 2, 3, 4)]
    assert varied.err.splitlines()[0].endswith(": vary (midjourney) at journeyapi.")

    needed = await journey.run("refine", image, "pan left")
    assert needed.code == 2
    assert f'Call `journey-mcp refine` with image "{image}" and action single (2 credits) first' in needed.err
    single = await journey.run("refine", image, "single", "-o", str(tmp_path / "single.jpg"), "--json")
    assert (tmp_path / "single.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    pan = await journey.run("refine", image, "pan left", "--json")
    assert pan.json["parent"] == single.json["images"][0]["id"]
    assert "which single made from" in pan.json["notices"][0]

    listed = await journey.run("tasks")
    assert "\tpan_left (midjourney)\tjourneyapi\t4 credits\t" in listed.out
    spent = await journey.run("spend", "--json")
    assert spent.code == 0


async def test_a_reroll_takes_a_prompt(journey: CommandLine, sandbox: Running) -> None:
    journey = journey.at(sandbox)
    made = (await journey.run("imagine", "a paper boat", "--json")).json
    again = await journey.run("refine", made["task_id"], "reroll", "--prompt", "a tin boat", "--json")
    assert again.code == 0, again.err
    (*_, entry) = sandbox.sandbox.request_log.submissions
    assert (entry.endpoint, entry.request["prompt"]) == ("reroll", "a tin boat")
