"""The secret of a fleet, and the keys that are derived from it."""

import pytest

from journey_mcp.core.fleet_secret import FleetSecret
from journey_mcp.core.redaction import secrets_in
from journey_mcp.settings import read_settings

NEW, OLD = "n" * 32, "o" * 40


def test_keys_differ_by_secret_and_purpose_and_never_change() -> None:
    """A server of another version must derive the same ones."""
    secret = FleetSecret.parse(f" {NEW}, {OLD} ")
    (new, old), (link, _) = secret.keys("confirmations"), secret.keys("image links")
    assert len({new, old, link}) == 3
    assert [new] == FleetSecret.parse(NEW).keys("confirmations")
    assert new.hex() == "bbf9286d25fcaf5cd1d74ca7a14160b21900495a3c1989711ded6b6bb719713e"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("short", "at least 32 characters"),
        (f"{NEW},short", "at least 32 characters"),
        (f"{NEW},", "at least 32 characters"),
        (f"{NEW},{NEW}", "the same secret twice"),
        (f"{NEW},{OLD},{'x' * 32}", "one secret, or two"),
    ],
)
def test_a_wrong_secret_is_refused_and_not_shown(text: str, problem: str) -> None:
    """Neither by the error nor by the settings."""
    with pytest.raises(Exception, match=problem) as raised:
        read_settings({"JOURNEY_MCP_SECRET": text})
    assert "JOURNEY_MCP_SECRET=(secret)" in str(raised.value)
    assert all(part not in str(raised.value) for part in text.split(",") if part)


def test_a_secret_is_not_shown_and_is_redacted() -> None:
    """Each of two by itself as well."""
    environment = {"JOURNEY_MCP_SECRET": f"{NEW}, {OLD}"}
    settings = read_settings(environment)
    assert NEW not in f"{settings!r} {settings.secret} {settings.model_dump_json()}"
    assert {NEW, OLD} <= set(settings.secrets) & set(secrets_in(environment))
