"""Unusable proxies and certificates in the environment."""

from pathlib import Path

import pytest
from support import coarse, created, make_request, running_studio, settings_for

from journey_mcp import sandbox
from journey_mcp.core.errors import SetupError
from journey_mcp.core.predictions import Status
from journey_mcp.settings import read_settings

UNUSABLE = [
    ("ALL_PROXY", "socks://127.0.0.1:7890/", "Unknown scheme for proxy URL", "nothing there answers as a SOCKS5 proxy"),
    ("https_proxy", "ftp://127.0.0.1", "Unknown scheme for proxy URL", ""),
    ("HTTP_PROXY", "http://[::1", "Invalid port", ""),
    ("HTTPS_PROXY", "socks4://127.0.0.1:7890", "Unknown scheme for proxy URL", ""),
    ("SSL_CERT_FILE", "/nowhere.pem", "No such file or directory", ""),
    ("SSL_CERT_FILE", __file__, "no certificate", ""),
]


@pytest.mark.parametrize(("variable", "value", "reason", "advice"), UNUSABLE)
async def test_with_a_key_the_error_names_variable_and_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str, advice: str
) -> None:
    """A setup error that shows what to correct."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SetupError, match="of the environment cannot be used") as raised:
        async with running_studio(settings_for("https://api.example.test", tmp_path)):
            pass
    message = str(raised.value)
    assert f"({variable}={value!r})" in message
    assert reason in message
    assert advice in message
    next_step = raised.value.failure.next_step or ""
    assert "unset this variable" in next_step
    assert ("socks5://HOST:PORT" in next_step) == (not variable.startswith("SSL"))


@pytest.mark.parametrize(
    "value",
    [
        "socks://kim:s3cret@127.0.0.1:7890/",
        "socks://kim:s3cret@s3cret@127.0.0.1:7890/",
        "socks://kim:s3cret/s3cret@127.0.0.1:7890/",
        "socks://kim:s3cret",
    ],
)
async def test_a_password_of_a_proxy_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Neither of the wrong variable, nor of a correct one, nor in the library's text."""
    monkeypatch.setenv("ALL_PROXY", value)
    monkeypatch.setenv("HTTPS_PROXY", "kim:s3cret@127.0.0.1:3128")
    with pytest.raises(SetupError) as raised:
        async with running_studio(settings_for("https://api.example.test", tmp_path)):
            pass
    shown = str(raised.value).replace("socks://kim:s3cret'", "")  # without an @ it is a host and a port
    assert "s3cret" not in shown
    assert "HTTPS_PROXY='127.0.0.1:3128'" in shown


@pytest.mark.parametrize(("variable", "value"), [(variable, value) for variable, value, _, _ in UNUSABLE])
async def test_the_built_in_sandbox_needs_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """It runs on this machine."""
    monkeypatch.setenv(variable, value)
    settings = read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path), "JOURNEY_MCP_KEEP_IMAGES": "off"})
    async with running_studio(settings) as studio:
        task = await studio.wait_for_new(await created(studio, make_request()), 300)
        assert task.status is Status.SUCCEEDED


async def test_a_local_sandbox_with_a_key_works_behind_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to this machine do not use the proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with (
        sandbox.running(coarse(speed=0)) as upstream,
        running_studio(settings_for(upstream.base_url, tmp_path)) as studio,
    ):
        task = await studio.wait_for_new(await created(studio, make_request()), 300)
        assert task.status is Status.SUCCEEDED


@pytest.mark.parametrize("proxy", ["http://kim:s3cret@127.0.0.1:9", "127.0.0.1:9", "socks5://127.0.0.1:9"])
async def test_an_unreachable_provider_names_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """The proxy may be the cause, or its name may not resolve."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    async with running_studio(settings_for("https://api.example.test", tmp_path)) as studio:
        task = await studio.wait_for_new(await created(studio, make_request()), 300)
    assert task.failure is not None
    assert task.failure.code == "unreachable"
    shown = proxy.replace("kim:s3cret@", "")
    assert f'No connection to api.example.test through the proxy "{shown}" of the environment' in task.failure.message
