"""User names and passwords in URLs: tolerated, never shown or stored, never used instead of a key. Loopback hosts."""

import base64
import copy
import pickle
import re
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from providers.test_new_provider import FACTS
from recording import recorder
from support import (
    SERVICES,
    created,
    make_environment,
    make_request,
    model_at,
    running_studio,
    settings_for,
    until_accepted,
)

from journey_mcp import sandbox
from journey_mcp.core.errors import InvalidRequest, SetupError
from journey_mcp.core.predictions import Handle
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.urls import LOOPBACK_HOSTS, BaseUrl, is_loopback
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.providers.bfl import BlackForestLabs
from journey_mcp.providers.http import new_http_client
from journey_mcp.registry import load
from journey_mcp.settings import read_settings

PASSWORD = "pass-w0rd-of-kim"
LOGIN = f"kim:{PASSWORD}"


@pytest.mark.parametrize(
    ("text", "address", "authorization"),
    [
        ("https://gateway.test/api/", "https://gateway.test/api", None),
        ("https://kim:pass@gateway.test:8443/api", "https://gateway.test:8443/api", b"kim:pass"),
        ("http://token@127.0.0.1:8787", "http://127.0.0.1:8787", b"token:"),
        ("https://k%40m:p%3Ass@gateway.test", "https://gateway.test", b"k@m:p:ss"),
        ("https://kim:p@ss@gateway.test", "https://gateway.test", b"kim:p@ss"),
        ("https://gateway.test/@scope", "https://gateway.test/@scope", None),
        ("HTTPS://@Gateway.test//", "HTTPS://Gateway.test", None),
    ],
)
def test_the_text_of_a_base_url_has_no_user_info(text: str, address: str, authorization: bytes | None) -> None:
    """Also after printing, copying or formatting; a gateway gets it in a header."""
    read = BaseUrl(text)
    for one in (read, copy.deepcopy(read), pickle.loads(pickle.dumps(read))):
        assert (str(one), repr(one), f"{one}", one + "") == (address, repr(address), address, address)
        reported = f"Basic {base64.b64encode(authorization).decode()}" if authorization else None
        assert (one.authorization, one.has_userinfo) == (reported, authorization is not None)
    assert read == BaseUrl(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gateway.test",
        "ftp://gateway.test",
        "https://",
        "https://kim:pass@",
        "https://a:b",
        "https://kim:pa\nss@gateway.test",
        "https://gate way.test",
    ],
)
def test_an_invalid_url_is_not_repeated(text: str) -> None:
    """Part of it may be a password."""
    with pytest.raises(ValueError, match="must be an address such as") as refused:
        BaseUrl(text)
    assert not {"gateway", "pass", "ftp"} & set(re.findall(r"\w+", str(refused.value)))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_password_never_replaces_a_key(tmp_path: Path, service: str) -> None:
    """It is sent to a gateway only if the key has another header; it is in no error and not in the database."""
    key, address = SERVICES[service]
    async with recorder() as upstream:
        settings = read_settings(
            {
                key: f"{service}-secret-key",
                address: f"http://{LOGIN}@127.0.0.1:{upstream.port}/api",
                "JOURNEY_MCP_DATA_DIR": str(tmp_path),
            }
        )
        async with running_studio(settings) as studio:
            task = await studio.wait_for_new(await created(studio, make_request(model=model_at(service))), 900)
    assert task.failure is not None
    assert (task.failure.code, task.base_url) == ("refused", f"{upstream.origin}/api")
    (request,) = upstream.received
    header = request.headers["x-key" if service == "bfl" else "authorization"]
    assert header.removeprefix("Bearer ") == f"{service}-secret-key"
    basic = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
    assert (request.headers["authorization"] == basic) == (service == "bfl")
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("tasks.db*"))
    accounts = accounts_of(settings, load())
    for shown in (str(stored), repr(task), repr(settings), settings.model_dump_json(), repr(accounts)):
        assert PASSWORD not in shown
        assert f"{service}-secret-key" not in shown


async def test_the_password_of_a_gateway_is_sent_only_there() -> None:
    """Not to the other host that Black Forest Labs names for polling."""
    async with recorder() as gateway, recorder() as other, new_http_client() as http:
        account = accounts_of(
            read_settings({"BFL_API_KEY": "k", "BFL_BASE_URL": gateway.origin.replace("://", f"://{LOGIN}@")}), load()
        )[0]
        api = BlackForestLabs(account, http)
        for poll_url in (None, f"{gateway.origin}/elsewhere?id=7", f"{other.origin}/elsewhere?id=7"):
            assert await api.fetch([Handle(prediction_id="7", poll_url=poll_url)]) == {}
    assert gateway.lines == ["GET /get_result?id=7", "GET /elsewhere?id=7", "GET /get_result?id=7"]
    assert all("authorization" in request.headers for request in gateway.received)
    assert other.received == []


@pytest.mark.parametrize("login", [f"kim:{PASSWORD}", quote(PASSWORD, safe="")])
async def test_a_password_that_a_gateway_repeats_is_not_stored(tmp_path: Path, login: str) -> None:
    """Neither plain nor encoded."""
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    reported = f"{PASSWORD} {''.join(f'%{ord(char):x}' for char in PASSWORD)} {encoded}"
    async with recorder() as gateway:
        gateway.answers["POST /flux-2-pro"] = (402, {"detail": f"not for {reported}"})
        address = gateway.origin.replace("://", f"://{login}@")
        settings = read_settings({"BFL_API_KEY": "k", "BFL_BASE_URL": address, "JOURNEY_MCP_DATA_DIR": str(tmp_path)})
        async with running_studio(settings) as studio:
            task = await studio.wait_for_new(await created(studio, make_request(model="flux-2-pro")), 900)
    assert "not for [secret] [secret] [secret]" in str(task.failure)
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("tasks.db*"))
    assert not any(part.encode() in stored for part in reported.split())


async def test_a_task_is_found_after_a_change_of_the_password(tmp_path: Path) -> None:
    """A stored URL is compared without it."""
    async with sandbox.running(sandbox.Settings()) as upstream:
        for login in ("", f"{LOGIN}@", "kim:another@"):
            settings = settings_for(upstream.base_url.replace("://", f"://{login}"), tmp_path)
            async with running_studio(settings) as studio:
                if not login:
                    task = await until_accepted(studio, await created(studio, make_request(model="midjourney")))
                (found,) = (await studio.fetch([task.id], LOCAL)).values()
                assert studio.elsewhere(found) is None
                assert found.notices == task.notices


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BFL_BASE_URL", f"ftp://{LOGIN}@gateway.test"),
        ("BFL_BASE_URL", f"{LOGIN}@gateway.test/bfl"),
        ("VTRIX_POLL_BASE_URL", f"https://{LOGIN}/more@gateway.test"),
        ("JOURNEY_MCP_PUBLIC_URL", f"https://{LOGIN}@hooks.test"),
        ("JOURNEY_MCP_DATABASE_URL", f"{LOGIN}@db/tasks"),
        ("JOURNEY_MCP_WEBHOOK_ORIGINS", f"https://{LOGIN}@hooks.test"),
        ("JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS", f"https://hooks.test,{LOGIN}@hooks.test"),
        ("ACME_BASE_URL", f"{LOGIN}@acme.test"),
        ("ACME_BASE_URL", f"https://{LOGIN}@acme\u200b.test"),
    ],
)
def test_a_wrong_setting_is_shown_without_a_password(tmp_path: Path, variable: str, value: str) -> None:
    """Also in tracebacks."""
    (tmp_path / "acme.toml").write_text(FACTS, encoding="utf-8")
    registry = {"JOURNEY_MCP_REGISTRY": str(tmp_path / "acme.toml"), "ACME_API_KEY": "acme-secret"}
    with pytest.raises(SetupError, match=variable) as raised:
        accounts_of(read_settings({variable: value, **registry}), load((tmp_path / "acme.toml",)))
    reported = "".join(traceback.format_exception(raised.value)) + repr(raised.value.failure)
    assert PASSWORD not in reported
    assert LOGIN not in reported


def test_the_base_url_in_a_registry_file_is_checked(tmp_path: Path) -> None:
    """The error names the provider; a user name is allowed."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(FACTS.replace("https://api.acme.test", f"https://{LOGIN}@api.acme.test/"), encoding="utf-8")
    bad.write_text(FACTS.replace("https://api.acme.test", f"{LOGIN}@api.acme.test"), encoding="utf-8")
    settings = read_settings({"JOURNEY_MCP_REGISTRY": str(good), "ACME_API_KEY": "acme-secret"})
    assert accounts_of(settings, load((good,)))[0].base_url == "https://api.acme.test"
    with pytest.raises(SetupError, match=r"Provider acme: base_url='api\.acme\.test': must be an address"):
        accounts_of(settings, load((bad,)))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("JOURNEYAPI_BASE_URL", f"https://{LOGIN}@\u2603\u2603--.test/api", "JOURNEYAPI_BASE_URL='https://\u2603"),
        ("JOURNEY_MCP_TRUSTED_HOSTS", f"https://{LOGIN}@photos.test", "JOURNEY_MCP_TRUSTED_HOSTS"),
    ],
)
async def test_a_host_that_the_http_client_cannot_read_is_a_setup_error(
    tmp_path: Path, variable: str, value: str, words: str
) -> None:
    """It is named without a password."""
    with pytest.raises(SetupError) as raised:
        async with running_studio(settings_for("http://127.0.0.1:1", tmp_path, **{variable: value})):
            pass
    assert str(raised.value).startswith(words)
    assert raised.value.failure.next_step == "Correct or unset this variable."
    assert PASSWORD not in str(raised.value)


async def test_an_image_url_is_named_without_a_password(tmp_path: Path) -> None:
    """The model may repeat the message anywhere."""
    async with make_environment(tmp_path) as here:
        for given in (f"https://{LOGIN}@photos.test/cat.png", f"http://{LOGIN}@127.0.0.1/cat.png"):
            with pytest.raises(InvalidRequest, match=r"photos\.test|127\.0\.0\.1") as refused:
                await here.studio.create(make_request(tool="edit_image", model="flux-kontext-pro", image=given), LOCAL)
            assert PASSWORD not in str(refused.value.failure)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        *((host, True) for host in ("127.0.0.1", "127.1.2.3", "localhost", "LocalHost", "::1", "[::1]", "[0:0::1]")),
        *((host, False) for host in ("", "0.0.0.0", "::", "10.0.0.1", "localhost.test", "127.0.0.1.test", "[::2]")),
    ],
)
def test_the_hosts_of_this_machine(host: str, is_local: bool) -> None:
    """The loopback range of IPv4, `::1` with or without brackets, and the name."""
    assert is_loopback(host) is is_local


def test_the_usual_names_of_this_machine_are_among_them() -> None:
    """One list for guards, proxies and messages."""
    assert all(map(is_loopback, LOOPBACK_HOSTS))
