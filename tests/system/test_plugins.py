"""The package of docs/new-provider.md, built and installed by pip, in a server process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import COMMAND, in_thread, server_process
from providers.test_new_provider import PLUGIN, acme


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Return the environment of processes that have the package."""
    for path, text in PLUGIN.items():
        (tmp_path / "journey-acme" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "journey-acme" / path).write_text(text, encoding="utf-8")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(
        [*install, "--no-build-isolation", "--target", tmp_path / "site", tmp_path / "journey-acme"], check=True
    )
    paths = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "JOURNEY_MCP_DATA_DIR": str(tmp_path / "data"),
        "ACME_API_KEY": "acme-secret",
    }


async def test_an_installed_package_makes_an_image(installed: dict[str, str]) -> None:
    """Without a change of journey-mcp; over stdio, whose first answers are recorded otherwise."""
    async with acme() as (address, seen):
        with server_process({**installed, "ACME_BASE_URL": address}) as server:
            made = await in_thread(server.call, "imagine", prompt="a kite", wait_s=20)
            assert (made["provider"], made["images"][0]["url"]) == ("acme", "https://cdn.acme.test/1.png")
    assert [authorization for authorization, _ in seen] == ["Bearer acme-secret"]


def test_the_doctor_names_installed_packages(installed: dict[str, str]) -> None:
    """With their versions."""
    done = subprocess.run(
        [*COMMAND, "doctor", "--json"], capture_output=True, text=True, check=False, env={**os.environ, **installed}
    )
    (found,) = [finding for finding in json.loads(done.stdout)["findings"] if finding["about"] == "registry"]
    assert found["facts"]["plugins"] == ["journey-acme 0.1.0"]
