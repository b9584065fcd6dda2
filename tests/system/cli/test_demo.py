"""The demonstrations, as `make demo` and `make service-demo` run them."""

import os
from pathlib import Path

from cli.command import ROOT, CommandLine

DEMO = ROOT / "demo" / "session.py"
SERVICE_DEMO = ROOT / "demo" / "service.py"


async def test_the_demo_makes_edits_fetches_and_saves(journey: CommandLine, tmp_path: Path) -> None:
    """Even with a key it makes sandbox images, which are free."""
    done = await journey.given(JOURNEYAPI_API_KEY="japi_secret_1").process(str(tmp_path / "out"), script=DEMO)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith(">")] == [
        "imagine",
        "edit_image",
        "fetch_task",
    ]
    saved = [tmp_path / "out" / "lighthouse.png", tmp_path / "out" / "lighthouse-green-sky.jpg"]
    assert done.out.endswith("Saved:\n" + "".join(f"  {path}\n" for path in saved))
    assert [path.read_bytes()[:3] for path in saved] == [b"\x89PN", b"\xff\xd8\xff"]


async def test_a_demo_that_cannot_save_fails(journey: CommandLine, tmp_path: Path) -> None:
    """It exits non-zero."""
    (tmp_path / "file").touch()
    done = await journey.process(str(tmp_path / "file"), script=DEMO)
    assert done.code == 1


async def test_the_service_demo_gets_the_result_of_a_killed_replica(journey: CommandLine) -> None:
    """The other replica has it, and nothing was paid twice."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = await journey.given(PYTHONPATH=path).process(script=SERVICE_DEMO)
    assert (done.code, done.err) == (0, "")
    assert "SIGKILL" in done.out
    assert "The call broke" in done.out
    assert done.out.endswith("received in all of this: 1.\n")
