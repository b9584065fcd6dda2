"""Verification of webhooks, by the test vector of the facts on Replicate."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.core.standard_webhooks import key_of, signature_of
from journey_mcp.providers.base import WebhookDelivery
from journey_mcp.providers.webhook_auth import is_hex_signature, is_secret, read_signed, read_signing_key

KEY = "whsec_c2FuZGJveC1zZWNyZXQtMDEyMzQ1Njc4OWFiY2RlZiE="
BODY = b'{"id":"ex4mpl3id000000000000000000","status":"succeeded"}'
VECTOR = {
    "webhook-id": "msg_ex4mple",
    "webhook-timestamp": "1775800000",
    "webhook-signature": "v1,Ma2jMPjgmd9IuCH87bsHlk98cb/ZbbLeM737F3Xleis=",
}


def delivered(headers: Mapping[str, str] = VECTOR, body: bytes = BODY, at: float = 1_775_800_000) -> WebhookDelivery:
    """Return a received webhook."""
    return WebhookDelivery(headers=headers, body=body, secret="", at=at)


def test_the_signature_of_the_vector_is_of_its_key() -> None:
    """And of no other."""
    key, message = read_signing_key(KEY), read_signed(delivered())
    assert (key, message is not None) == (b"sandbox-secret-0123456789abcdef!", True)
    assert message is not None
    assert message.is_signed_with(b"sandbox-secret-0123456789abcdef!")
    assert not message.is_signed_with(b"sandbox-secret-0123456789abcdef?")
    assert not message.is_signed_with(b"")


def test_our_signature_is_that_of_the_vector() -> None:
    """Signing and verifying agree."""
    id_, timestamp, signature = VECTOR.values()
    assert signature_of(key_of(KEY), id_, timestamp, BODY) == signature


@pytest.mark.parametrize(
    ("secret", "key"), [("whsec_AAEC", b"\x00\x01\x02"), ("my_AAEC", b"my_AAEC"), ("AAEC", b"AAEC")]
)
def test_a_secret_without_its_prefix_is_the_key(secret: str, key: bytes) -> None:
    """In any form."""
    assert key_of(secret) == key


@pytest.mark.parametrize("secret", ["whsec_", "whsec_AAE", "whsec_AA EC", "whsec_A_EC"])
def test_a_secret_with_the_prefix_is_base64(secret: str) -> None:
    """An invalid one fails at the start, before anything is signed with a part of it."""
    with pytest.raises(ValueError, match="the rest is not Base64"):
        key_of(secret)


@pytest.mark.parametrize("number", range(len(BODY)))
def test_any_byte_counts(number: int) -> None:
    """Of the body."""
    changed = bytes(byte ^ (place == number) for place, byte in enumerate(BODY))
    message = read_signed(delivered(body=changed))
    assert message is not None
    assert not message.is_signed_with(b"sandbox-secret-0123456789abcdef!")


@pytest.mark.parametrize(
    ("at", "is_of_now"), [(0, True), (300, True), (-300, True), (300.5, False), (-300.5, False), (86400, False)]
)
def test_a_signature_is_valid_for_five_minutes(at: float, *, is_of_now: bool) -> None:
    """In both directions: clocks differ."""
    assert (read_signed(delivered(at=1_775_800_000 + at)) is not None) == is_of_now


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("whsec_AAEC", b"\x00\x01\x02"),
        ("whsec_", None),
        ("AAEC", None),
        ("whsec_AAE", None),
        ("whsec_AA EC", None),
        ("whsec_A_EC", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_a_key_is_base64_after_its_prefix(given: Any, key: bytes | None) -> None:
    """Anything else is not a key."""
    assert read_signing_key(given) == key


@given(st.text(), st.text())
def test_secrets_of_any_characters_are_compared(given: str, secret: str) -> None:
    """An empty one proves nothing."""
    assert is_secret(secret, secret) == (secret != "")
    assert is_secret(given, secret) == (given == secret != "")
    assert not is_hex_signature(given, secret, BODY)


@given(
    st.dictionaries(
        st.sampled_from(list(VECTOR)), st.text() | st.sampled_from([*VECTOR.values(), "v1,", "v1,ü", "0", "-1"])
    ),
    st.binary(),
)
def test_any_headers_can_be_read(headers: dict[str, str], body: bytes) -> None:
    """Only the vector itself is genuine."""
    message = read_signed(delivered(headers, body))
    is_verified = message is not None and message.is_signed_with(b"sandbox-secret-0123456789abcdef!")
    assert is_verified == (headers == VECTOR and body == BODY)
