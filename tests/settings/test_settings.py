"""Settings are parsed in one place, and an error is one line."""

import re
import traceback
from pathlib import Path

import pytest
from providers.test_new_provider import FACTS
from support import SERVICES

from journey_mcp.core.errors import SetupError
from journey_mcp.core.redaction import secrets_in
from journey_mcp.settings import misspelled, read_settings
from journey_mcp.startup import check
from journey_mcp.tools.tool_set import read_tool_set


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("JOURNEY_MCP_WAIT_S", "soon", "valid integer"),
        ("JOURNEY_MCP_WAIT_S", "301", "less than or equal to 300"),
        ("JOURNEY_MCP_KEEP_DAYS", "0", "greater than or equal to 1"),
        ("JOURNEY_MCP_SANDBOX", "on", "'auto' or 'off'"),
        ("JOURNEY_MCP_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("JOURNEYAPI_BASE_URL", "api.journeyapi.com", "must be an address"),
        ("JOURNEYAPI_BASE_URL", "https://", "must be an address"),
        ("JOURNEYAPI_BASE_URL", "https://host:99999/api", "must be an address"),
        ("JOURNEYAPI_BASE_URL", "https://[::1", "must be an address"),
        ("JOURNEYAPI_BASE_URL", "ftp://host/api", "must be an address"),
        ("JOURNEY_MCP_DATABASE_URL", "nonsense", "must be an address"),
        ("JOURNEY_MCP_DATABASE_LISTEN_URL", "sqlite:///tasks.db", "must be an address such as postgresql://"),
        ("JOURNEY_MCP_DATA_DIR", __file__, "is a file"),
        ("JOURNEY_MCP_SAVE_DIR", __file__, "is a file"),
        ("JOURNEY_MCP_OAUTH_ISSUER", "login.example.com", "must be an https:// address (http:// only on this machine)"),
        ("JOURNEY_MCP_OAUTH_ISSUER", "http://login.example.com", "must be an https:// address"),
        ("JOURNEY_MCP_OAUTH_ISSUER", "https://login.example.com?a=b", "must have no user name, and neither ? nor #"),
        ("JOURNEY_MCP_KEEP_IMAGES", "some", "'all', 'expiring' or 'off'"),
        ("JOURNEY_MCP_KEEP_GB", "0", "greater than 0"),
        ("JOURNEY_MCP_KEEP_GB", "nan", "finite"),
        ("JOURNEY_MCP_WEBHOOK_ORIGINS", "https://hooks.example.com/hook", "must be origins such as"),
        ("JOURNEY_MCP_WEBHOOK_ORIGINS", "hooks.example.com,http://hooks.example.com", "must be origins such as"),
        ("JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS", "https://hooks.example.com?x", "must be origins such as"),
        ("JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS", "*", "must be origins such as"),
        ("JOURNEY_MCP_WEBHOOK_ORIGINS", "https://\u2603\u2603--.test", "must be origins such as"),
        ("JOURNEY_MCP_TRUSTED_HOSTS", "nas, a b", "'a b' is neither host nor host:port"),
        ("JOURNEYAPI_BASE_URL", "https://\u2603\u2603--.test", "must be an address"),
        ("JOURNEYAPI_BASE_URL", "https://1.2.3.999/api", "must be an address"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, says: str) -> None:
    """Variable, value, and next step."""
    with pytest.raises(SetupError) as raised:
        read_settings({name: value})
    message = str(raised.value)
    assert message.startswith(f"{name}={value!r}: ")
    assert says in message
    assert "\n" not in message
    assert raised.value.failure.next_step


UNSENDABLE = [
    "“japi_live_x”",
    "japi_live_x\njapi_live_y",
    "japi_live_xü",
    "japi_live_x\x7f",
    "japi live x",
    "Bearer japi_live_x",
]


@pytest.mark.parametrize("name", [*(key for key, _ in SERVICES.values()), "JOURNEY_MCP_WEBHOOK_SECRET"])
@pytest.mark.parametrize("value", UNSENDABLE)
def test_a_secret_that_cannot_be_sent_is_named_and_not_shown(name: str, value: str) -> None:
    """A copied key with a curly quote, a line break or a blank."""
    with pytest.raises(SetupError, match=r"cannot be sent|has a blank in it") as raised:
        read_settings({name: value})
    assert name in str(raised.value)
    reported = "".join(traceback.format_exception(raised.value)) + str(raised.value.failure)
    assert not re.search("live.x|live.y", reported)
    assert ("without `Bearer` before it" in reported) == (name != "JOURNEY_MCP_WEBHOOK_SECRET")


@pytest.mark.parametrize("value", [*UNSENDABLE, '"acme-live-x"', "${ACME_LIVE_X}"])
def test_the_key_of_a_provider_in_a_registry_file_is_checked(tmp_path: Path, value: str) -> None:
    """Before the server starts; keys that it does not use are not."""
    (tmp_path / "acme.toml").write_text(FACTS.replace('wire = "acme"', 'wire = "replicate"'), encoding="utf-8")
    registry = {"JOURNEY_MCP_REGISTRY": str(tmp_path / "acme.toml")}
    with pytest.raises(SetupError, match="ACME_API_KEY") as raised:
        check(read_settings({"ACME_API_KEY": value, **registry}))
    reported = "".join(traceback.format_exception(raised.value)) + str(raised.value.failure)
    assert not re.search("(?i)live.x|live.y", reported.replace("${ACME_LIVE_X}", ""))
    check(read_settings({"OTHER_API_KEY": value, "ACME_API_KEY": "acme-live-x", **registry}))


@pytest.mark.parametrize("value", ["whsec_", "whsec_AAE", "whsec_A-EC"])
def test_a_webhook_secret_with_a_prefix_is_base64(value: str) -> None:
    """Signatures of half a key could not be verified."""
    with pytest.raises(SetupError, match=r"WEBHOOK_SECRET=\(secret\): begins with whsec_, and the rest is not Base64"):
        read_settings({"JOURNEY_MCP_WEBHOOK_SECRET": value})


def test_origins_are_parsed_leniently() -> None:
    """Without the scheme, in any case, with a slash."""
    settings = read_settings({"JOURNEY_MCP_WEBHOOK_ORIGINS": "hooks.example.com, HTTPS://Hooks.example.com:8443/"})
    assert tuple(map(str, settings.webhook_origins)) == ("https://hooks.example.com", "https://hooks.example.com:8443")


@pytest.mark.parametrize("name", ["JOURNEYAPI_API_KEY", "BFL_BASE_URL", "JOURNEY_MCP_DATA_DIR"])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ('"japi_live_x"', "is in quotes"),
        ("'japi_live_x'", "is in quotes"),
        ("`japi_live_x`", "is in quotes"),
        ("${user_config.key}", "has ${user_config.key} in it"),
        ("$JOURNEY_KEY", "has $JOURNEY_KEY in it"),
        ("$env:JOURNEY_KEY", "has $env:JOURNEY_KEY in it"),
        ("%JOURNEY_KEY%", "has %JOURNEY_KEY% in it"),
        ("{{journey_key}}", "has {{journey_key}} in it"),
        ("$(cat key.txt)", "has $(cat key.txt) in it"),
    ],
)
def test_leftovers_of_a_configuration_file_are_named(name: str, value: str, says: str) -> None:
    """Before the value is used; it may be a key, and is not shown."""
    with pytest.raises(SetupError) as raised:
        read_settings({name: value})
    assert str(raised.value).startswith(f"{name} {says}")
    assert "japi_live_x" not in str(raised.value.failure)
    assert raised.value.failure.next_step


@pytest.mark.parametrize(
    ("name", "value", "reference"),
    [
        ("JOURNEY_MCP_DATA_DIR", "$HOME/images", "$HOME"),
        ("JOURNEY_MCP_DATA_DIR", "%APPDATA%\\journey", "%APPDATA%"),
        ("JOURNEY_MCP_IMAGE_DIRS", "/srv/images, $HOME/Desktop", "$HOME"),
    ],
)
def test_a_folder_that_begins_with_a_reference_is_named(name: str, value: str, reference: str) -> None:
    """Otherwise a folder with this name would be created or searched for."""
    with pytest.raises(SetupError, match=f"^{name} has {re.escape(reference)} in it"):
        read_settings({name: value})


@pytest.mark.parametrize("value", ["$9.99", "/srv/100%/a%b", "/srv/$HOME", "~/images"])
def test_such_characters_elsewhere_are_part_of_a_folder_name(value: str) -> None:
    """Folder names may contain them."""
    assert read_settings({"JOURNEY_MCP_DATA_DIR": value}).data_dir


@pytest.mark.parametrize(
    ("value", "says"),
    [
        *(
            (text, "is a placeholder")
            for text in ("your-key", "YOUR_API_KEY", "<your key>", "...", "xxxx", "undefined")
        ),
        *((text, "at an end") for text in ('"abc', "abc,", "abc;", "BFL_API_KEY=abc")),
    ],
)
def test_a_placeholder_is_reported_before_it_is_sent_as_a_key(value: str, says: str) -> None:
    """Documents and templates contain them; the value is not shown."""
    with pytest.raises(SetupError, match=f"^BFL_API_KEY .*{says}") as raised:
        read_settings({"BFL_API_KEY": value})
    assert "abc" not in str(raised.value.failure)


def test_a_reference_in_place_of_a_key_is_not_secret() -> None:
    """Otherwise the error that names it would be redacted."""
    assert secrets_in({"BFL_API_KEY": "${user_config.key}", "VTRIX_API_KEY": "$VTRIX_API_KEY"}) == []
    assert secrets_in({"BFL_API_KEY": "$a-b"}) == ["$a-b"]
    assert secrets_in({"BFL_API_KEY": "BFL_API_KEY=bfl_x"}) == ["bfl_x"]


@pytest.mark.parametrize("name", ["BUDGET", "CREDIT_PRICE", "MAX_CONCURRENT"])
def test_an_unknown_provider_is_reported_at_the_start(name: str) -> None:
    """Like one in `JOURNEY_MCP_PROVIDERS`."""
    value = {"BUDGET": "4credits/day", "CREDIT_PRICE": "0.01 USD", "MAX_CONCURRENT": "2"}[name]
    environment = {"BFL_API_KEY": "bfl_x", f"JOURNEY_MCP_{name}": f"{value} @ OpenAI"}
    with pytest.raises(SetupError, match=f"JOURNEY_MCP_{name}=.* no provider 'openai'"):
        check(read_settings(environment))
    check(read_settings({**environment, f"JOURNEY_MCP_{name}": f"{value} @ BFL"}))


def test_a_default_model_may_be_written_in_other_forms() -> None:
    """Like in a call."""
    settings = read_settings(
        {
            "BFL_API_KEY": "bfl_x",
            "JOURNEY_MCP_DEFAULT_MODEL": "FLUX.2 [pro]",
            "JOURNEY_MCP_DEFAULT_EDIT_MODEL": "black-forest-labs/flux-kontext-max",
        }
    )
    defaults = read_tool_set(settings).defaults
    assert (defaults.imagine, defaults.edit_image) == ("flux-2-pro", "flux-kontext-max")


def test_a_reference_inside_a_folder_is_named_and_inside_a_secret_is_accepted() -> None:
    """A secret may contain such characters by chance; they are neither refused nor shown."""
    with pytest.raises(SetupError, match=r"JOURNEY_MCP_DATA_DIR has \$\{HOME\} in it"):
        read_settings({"JOURNEY_MCP_DATA_DIR": "${HOME}/images"})
    for secret in ("whs-a1${Tq9-secretrest", "a${b}c"):
        read = read_settings({"JOURNEY_MCP_WEBHOOK_SECRET": secret}).webhook_secret
        assert read is not None
        assert read.get_secret_value() == secret


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("JOURNEY_MCP_LOG_LEVEL", "log_level", "WARNING"),
        ("JOURNEY_MCP_SANDBOX", "sandbox", "Off"),
        ("JOURNEY_MCP_RESOURCE_LINKS", "resource_links", "ON"),
    ],
)
def test_words_are_read_in_any_case(name: str, field: str, value: str) -> None:
    """Case does not matter."""
    assert getattr(read_settings({name: value, "BFL_API_KEY": "k"}), field) == value.lower()


def test_without_key_and_sandbox_nothing_can_run() -> None:
    """The message names both variables."""
    with pytest.raises(SetupError, match="JOURNEY_MCP_SANDBOX=off") as raised:
        read_settings({"JOURNEY_MCP_SANDBOX": "off"})
    assert "JOURNEYAPI_API_KEY" in (raised.value.failure.next_step or "")
    assert read_settings({"JOURNEY_MCP_SANDBOX": "off", "JOURNEYAPI_API_KEY": "k"}).keys == {"JOURNEYAPI_API_KEY": "k"}


def test_an_empty_variable_counts_as_not_set() -> None:
    """Configuration forms of clients leave such variables."""
    settings = read_settings({"JOURNEYAPI_API_KEY": "  ", "JOURNEY_MCP_WAIT_S": ""})
    assert not settings.keys
    assert settings.wait_s == 25


def test_secrets_do_not_show() -> None:
    """Neither in the representation of the settings nor in a dump."""
    settings = read_settings({"JOURNEYAPI_API_KEY": "japi_live_x", "JOURNEY_MCP_WEBHOOK_SECRET": "whisper"})
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "japi_live_x" not in text
        assert "whisper" not in text
    assert settings.secrets == ["japi_live_x", "whisper"]


def test_the_database_is_in_the_data_folder_by_default(tmp_path: Path) -> None:
    """SQLite by default; every SQLAlchemy URL is accepted."""
    assert read_settings({"JOURNEY_MCP_DATA_DIR": str(tmp_path)}).resolved_database_url() == (
        f"sqlite:///{tmp_path}/tasks.db"
    )
    elsewhere = read_settings({"JOURNEY_MCP_DATABASE_URL": "postgresql://db/tasks"})
    assert elsewhere.resolved_database_url() == "postgresql://db/tasks"
    assert "journey-mcp" in read_settings({}).resolved_database_url()


def test_base_urls_lose_their_last_slash() -> None:
    """Paths are appended to them."""
    settings = read_settings({"JOURNEYAPI_BASE_URL": "http://127.0.0.1:1/api/"})
    assert settings.value_of("JOURNEYAPI_BASE_URL") == "http://127.0.0.1:1/api"


def test_lists_are_split_at_commas() -> None:
    """Blanks and empty items are ignored."""
    settings = read_settings(
        {
            "JOURNEY_MCP_PROVIDERS": " bfl, ,vtrix,",
            "JOURNEY_MCP_IMAGE_DIRS": "/a, /b",
            "JOURNEY_MCP_REGISTRY": "/c.toml",
        }
    )
    assert settings.providers == ("bfl", "vtrix")
    assert settings.image_dirs == (Path("/a"), Path("/b"))
    assert settings.registry == (Path("/c.toml"),)


def test_a_registry_file_may_name_more_variables(tmp_path: Path) -> None:
    """They are secrets too; without such a file other keys are not read."""
    environment = {"ACME_API_KEY": "acme-secret", "ACME_BASE_URL": "https://acme.test", "PATH": "/bin"}
    assert not read_settings(environment).others
    settings = read_settings({**environment, "JOURNEY_MCP_REGISTRY": str(tmp_path / "mine.toml")})
    assert (settings.value_of("ACME_API_KEY"), settings.value_of("PATH")) == ("acme-secret", None)
    assert "acme-secret" in settings.secrets
    assert "acme-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "local", "remote"),
    [
        ({}, "all", "expiring"),
        ({"JOURNEY_MCP_KEEP_IMAGES": "Expiring"}, "expiring", "expiring"),
        ({"JOURNEY_MCP_KEEP_IMAGES": "off"}, "off", "off"),
        ({"JOURNEY_MCP_COPY_MAX_MB": "0"}, "off", "off"),
    ],
)
def test_either_setting_turns_copies_off(given: dict[str, str], local: str, remote: str) -> None:
    """Over HTTP only images whose links expire soon are copied."""
    settings = read_settings(given)
    assert (settings.copies, settings.over_http().copies) == (local, remote)


def test_a_misspelled_variable_is_found() -> None:
    """Otherwise it would be ignored silently."""
    assert misspelled({"JOURNEY_MCP_DATADIR": "x", "JOURNEY_MCP_WAIT_S": "3", "HOME": "y"}) == ["JOURNEY_MCP_DATADIR"]


def test_an_issuer_is_kept_to_the_letter() -> None:
    """A slash at its end belongs to it; a password in it is not shown."""
    for issuer in ("https://login.example.com/", "https://Login.example.com", "http://127.0.0.1:9"):
        assert read_settings({"JOURNEY_MCP_OAUTH_ISSUER": issuer}).oauth_issuer == issuer
    with pytest.raises(SetupError, match="must have no user name") as raised:
        read_settings({"JOURNEY_MCP_OAUTH_ISSUER": "https://ada:hunter-2@login.example.com"})
    assert "hunter-2" not in str(raised.value)


def test_the_tokens_file_may_be_in_the_home_folder() -> None:
    """As in a shell."""
    assert read_settings({"JOURNEY_MCP_TOKENS_FILE": "~/tokens"}).tokens_file == Path.home() / "tokens"
