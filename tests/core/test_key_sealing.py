"""Sealed keys: what opens them, and what their accounts are called."""

import pytest

from journey_mcp.core.fleet_secret import FleetSecret
from journey_mcp.core.key_sealing import KeySealer, account_id
from journey_mcp.core.provider_keys import NO_KEYS, CallerKeys, fault_of_callers

OLD, NEW = "o" * 32, "n" * 32
KEY = "own-key-0123456789"
WHERE = ("token:ada", "bfl", "https://api.bfl.ai/v1")


def sealer(secret: str) -> KeySealer:
    """Return the sealer of a fleet."""
    return KeySealer(FleetSecret.parse(secret).keys("keys of callers"))


def test_a_key_is_opened_by_all_secrets_of_a_fleet_and_sealed_by_the_first() -> None:
    """A server with neither of them opens nothing, nor one with text that is no sealed key."""
    sealed = sealer(OLD).seal(KEY, WHERE)
    assert KEY not in sealed
    assert sealer(OLD).open(sealed, WHERE) == KEY
    assert sealer(f"{NEW},{OLD}").open(sealed, WHERE) == KEY
    assert sealer(NEW).open(sealed, WHERE) is None
    assert sealer(OLD).open(sealer(f"{NEW},{OLD}").seal(KEY, WHERE), WHERE) is None
    for text in ("", "x", "é", sealed[:-4], f"A{sealed[1:]}"):
        assert sealer(OLD).open(text, WHERE) is None


@pytest.mark.parametrize("place", range(3))
def test_a_key_opens_in_its_context_only(place: int) -> None:
    """For its principal, at its provider, at its address; neither can a part move into its neighbour."""
    sealed = sealer(OLD).seal(KEY, WHERE)
    other = [*WHERE[:place], "other", *WHERE[place + 1 :]]
    assert sealer(OLD).open(sealed, other) is None
    assert sealer(OLD).open(sealed, ("token:adabfl", "", WHERE[2])) is None


def test_an_account_has_one_id() -> None:
    """Until another secret seals; another key, caller or provider has another one."""
    known = account_id(sealer(OLD).seal(KEY, WHERE))
    assert account_id(sealer(f"{OLD},{NEW}").seal(KEY, WHERE)) == known
    others = [sealer(OLD).seal(KEY, ("token:bob", *WHERE[1:])), sealer(OLD).seal(f"{KEY}0", WHERE)]
    assert len({known, *map(account_id, others), account_id(sealer(NEW).seal(KEY, WHERE))}) == 4
    assert len(known) == 16


def test_keys_of_callers_are_not_shown() -> None:
    """Later ones come in place of earlier ones of the same provider."""
    keys = CallerKeys({"bfl": KEY})
    assert KEY not in f"{keys} {keys!r}"
    assert keys.replaced_by(NO_KEYS) is keys
    assert keys.replaced_by(CallerKeys({"bfl": "b", "vtrix": "v"})).by_provider == {"bfl": "b", "vtrix": "v"}
    assert not NO_KEYS


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", "is empty"),
        ("x" * 1_001, "more than 1,000 characters"),
        ("a b", "a blank"),
        ("a\x07b", "cannot be sent"),
        ("clé-0123456789", "cannot be sent"),
        ("x" * 1_000, None),
    ],
)
def test_what_cannot_be_a_key(key: str, fault: str | None) -> None:
    """The reason repeats nothing of it."""
    found = fault_of_callers(key)
    assert (fault is None) is (found is None)
    assert fault is None or fault in str(found)
