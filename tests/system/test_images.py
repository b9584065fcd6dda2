"""Large image texts delay neither other calls nor the end of a server process."""

import signal
from pathlib import Path

import pytest
from processes import TIMEOUT_S, server_process
from support import environment_for


@pytest.mark.parametrize("text", ["/9j/" + "A" * 2_000_000, "/a" * 1_000_000, "/a." * 700_000, "\\n" * 1_000_000])
def test_two_megabytes_of_invalid_image_text_delay_no_other_call(tmp_path: Path, text: str) -> None:
    """Another call is answered, and the server ends on a signal."""
    with server_process(environment_for("http://127.0.0.1:9", tmp_path)) as server:
        assert server.call("fetch_task") == {"tasks": []}
        server.send("edit_image", prompt="blue", image=text)
        server.send("fetch_task")
        answers = {answer["id"]: answer["result"] for answer in (server.answer(), server.answer())}
        assert answers[2]["isError"]
        assert answers[3]["structuredContent"] == {"tasks": []}
        server.send("edit_image", prompt="blue", image=text)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=TIMEOUT_S)
