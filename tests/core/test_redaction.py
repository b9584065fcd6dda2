"""Secrets are redacted in every form that escaping, quoting or cleaning makes, and nothing else is."""

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from journey_mcp.core.redaction import SHOWN, Redactor, redactor_of, secrets_in, without_userinfo
from journey_mcp.core.text import cleaned, quoted

KEY = "japi_live_0123456789abcdEF"
PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
SECRETS = st.text(PRINTABLE, min_size=12, max_size=60).filter(
    lambda text: len(set(text)) > 5 and not re.search(r"%[0-9a-f]{2}|\\|&#?\w+;", text, re.IGNORECASE)
)
ESCAPED_ITSELF = r"a\nb\u0041%41&amp;c'\"d"
"""A secret that looks like an escape."""
INVISIBLE = "\u200b\u00ad\ufe0f\U000e0041\u034f\x00\x1b\u2066"

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "with invisible characters": lambda text: "".join(
        f"{c}{INVISIBLE[n % len(INVISIBLE)]}" for n, c in enumerate(text)
    ),
    "with line breaks": lambda text: f"{text[:5]}\r\n {text[5:]}",
    "with other quotes": lambda text: text.replace('"', "'"),
    "percent-encoded": urllib.parse.quote,
    "percent-encoded throughout": lambda text: "".join(f"%{ord(c):02x}" for c in text),
    "percent-encoded three times": lambda text: text.translate({ord(c): f"%2525{ord(c):02X}" for c in "%_0123"}),
    "as JSON": lambda text: json.dumps(text)[1:-1],
    "as JSON of JSON": lambda text: json.dumps(json.dumps(text)),
    "as JSON throughout": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "as JSON with breaks": lambda text: json.dumps(f"{text[:5]}\u200b\n{text[5:]}"),
    "as Python writes it": repr,
    "as Python writes its bytes": lambda text: repr(text.encode()),
    "as HTML": html.escape,
    "as HTML throughout": lambda text: "".join(f"&#{ord(c)};&#x200b;" for c in text),
    "in Basic": lambda text: base64.b64encode(f"kim:{text}".encode()).decode(),
    "in Base64 of more": lambda text: base64.b64encode(f"ab{text}cd".encode()).decode(),
    "in Base64 for URLs": lambda text: base64.urlsafe_b64encode(f"k{text}".encode()).decode().rstrip("="),
}


def readings(text: str) -> set[str]:
    """Return all readings of a text, in lower case: without invisible characters, and decoded."""
    seen = {text}
    for _ in range(4):
        for one in list(seen):
            seen |= {urllib.parse.unquote(one), html.unescape(one), re.sub(r"[^!-~]", "", one), one.replace("\\", "")}
            seen.add(re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), one))
    for word in {word for one in seen for word in re.findall(r"[A-Za-z0-9+/_-]{8,}", one)}:
        for part in (word[start:] for start in range(4) if len(word[start:]) % 4 != 1):
            seen.add(base64.urlsafe_b64decode(part.translate({43: "-", 47: "_"}) + "==").decode("latin-1"))
    return {one.lower() for one in seen}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=50)
@given(secret=SECRETS, before=st.text(max_size=20), after=st.text(max_size=20))
@example(secret=KEY, before="bad key ", after="!")
def test_no_reader_finds_a_secret(form: str, secret: str, before: str, after: str) -> None:
    """Before and after cleaning."""
    text = f"{before} {FORMS[form](secret)} {after}"
    redactor = Redactor([secret])
    for shown in (redactor.text(text), redactor.text(cleaned(text)), redactor.text(quoted(text))):
        assert SHOWN in shown
        assert secret.lower() not in {re.sub(r"[^!-~]", "", reading) for reading in readings(shown)}


@pytest.mark.parametrize(
    "form", ["as it is", "percent-encoded throughout", "as JSON", "as HTML throughout", "in Basic"]
)
def test_a_secret_that_looks_escaped_is_redacted(form: str) -> None:
    """Decoding must not miss it."""
    assert SHOWN in Redactor([ESCAPED_ITSELF]).text(FORMS[form](ESCAPED_ITSELF))


@pytest.mark.parametrize("form", FORMS)
def test_the_text_around_a_secret_stays(form: str) -> None:
    """The message stays useful."""
    shown = Redactor([KEY]).text(f"The key «{FORMS[form](KEY)}» is wrong.")
    assert shown.startswith("The key «")
    assert shown.endswith("» is wrong.")


@given(text=st.text(), secret=SECRETS)
def test_other_text_is_unchanged(text: str, secret: str) -> None:
    """Character by character."""
    assume(re.sub(r"[^!-~]", "", secret)[:4].lower() not in text.lower())
    assert Redactor([secret]).text(text) == text


def test_a_truncated_secret_is_redacted() -> None:
    """The rest of it is; a prefix that all keys of a provider share is not secret."""
    redactor = Redactor([KEY])
    assert redactor.text(cleaned(f"the key is {KEY}", 30)) == "the key is [secret]…"
    assert redactor.text("keys begin with japi_live_") == "keys begin with japi_live_"


def test_several_secrets_are_redacted_completely() -> None:
    """Also a secret that begins like another."""
    redactor = Redactor([KEY, f"{KEY}-longer", "whsec_c2FuZGJveA=="])
    assert redactor.text(f"{KEY}-longer {KEY}, whsec_c2FuZGJveA==") == "[secret] [secret], [secret]"


@pytest.mark.parametrize("word", ["sandbox", "anything", "k", "key-1", ""])
def test_a_made_up_key_is_not_redacted(word: str) -> None:
    """Such keys are for the sandbox, and may be part of any text."""
    assert Redactor([word]).text(f"a {word} kite") == f"a {word} kite"


@pytest.mark.parametrize("secret", ["ü" * 20, "passwörd-of-kim", "key-\udcff-0123456789", " \t" * 20])
def test_a_value_that_cannot_be_a_key_redacts_nothing_else(secret: str) -> None:
    """An environment may contain it."""
    assert Redactor([secret]).text(f"a kite, {secret}") in {f"a kite, {SHOWN}", f"a kite, {secret}"}
    assert Redactor([secret]).text("a kite") == "a kite"


def test_data_and_its_names_are_redacted() -> None:
    """Other values stay; data that is nested too deeply is dropped."""
    redactor = redactor_of(KEY)
    assert redactor.plain({KEY: [KEY, 1, None, {"a": f"x{KEY}"}], "b": True}) == {
        SHOWN: [SHOWN, 1, None, {"a": f"x{SHOWN}"}],
        "b": True,
    }
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    assert json.dumps(redactor.plain(deep)).count("[") == 100


def test_a_large_text_with_an_escaped_secret_is_redacted_as_a_whole() -> None:
    """A plain secret is found in text of any length."""
    filler = "The quick brown fox. " * 10_000
    assert redactor_of(KEY).text(filler + KEY) == filler + SHOWN
    assert redactor_of(KEY).text(filler + "\u200b".join(KEY)) == SHOWN
    assert redactor_of(KEY).text(filler) == filler


def test_secrets_of_an_environment_are_found_by_the_names_of_variables() -> None:
    """Keys, webhook secrets, and passwords or tokens in URLs, also of proxies."""
    assert secrets_in(
        {
            "JOURNEYAPI_API_KEY": " japi_live_x\n",
            "ACME_API_TOKEN": "acme",
            "JOURNEY_MCP_WEBHOOK_SECRET": "whsec_AAEC",
            "BFL_BASE_URL": "https://kim:p@ss@gateway.test/bfl",
            "ACME_BASE_URL": "https://token@gateway.test",
            "JOURNEY_MCP_DATABASE_URL": "postgresql+psycopg://kim:pa/ss@db/tasks",
            "JOURNEY_MCP_DATABASE_LISTEN_URL": "postgresql://kim@db/tasks?password=query-pass&sslpassword=key-pass",
            "https_proxy": "http://kim:proxy-pass@127.0.0.1:3128",
            "VTRIX_API_KEY": "",
            "KKIAI_BASE_URL": "https://gateway.test",
            "HOME": "/root",
        }
    ) == [
        "japi_live_x",
        "acme",
        "whsec_AAEC",
        "AAEC",
        "p@ss",
        "token",
        "pa/ss",
        "kim",
        "query-pass",
        "key-pass",
        "proxy-pass",
    ]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://kim:s3cret@host/path", "https://host/path"),
        ("https://kim:s3/cr@et@host/path", "https://host/path"),
        ("kim:s3cret@host", "host"),
        ("https://host/path", "https://host/path"),
    ],
)
def test_a_url_is_shown_without_user_info(address: str, shown: str) -> None:
    """Also an invalid URL."""
    assert without_userinfo(address) == shown
