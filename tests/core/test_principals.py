"""Principals of tokens and of OAuth subjects."""

from journey_mcp.core.principals import principal_of_subject, principal_of_token


def test_a_token_is_named() -> None:
    """As in budgets."""
    assert principal_of_token("ada") == "token:ada"


def test_a_subject_is_unique_at_its_issuer_only() -> None:
    """The principal of two issuers differs, and has one length however long the subject is."""
    first, second = (principal_of_subject(issuer, "ada") for issuer in ("https://a.example", "https://b.example"))
    assert first != second
    assert principal_of_subject("https://a.example", "ada") == first
    assert {len(first), len(principal_of_subject("https://a.example", "x" * 5000))} == {32}
    assert principal_of_subject("https://a.example/", "x") != principal_of_subject("https://a.example", "/x")
