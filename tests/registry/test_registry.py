"""Registry files: their content, and errors about wrong files."""

import datetime as dt
import os
import re
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path

import pytest

from journey_mcp import registry
from journey_mcp.core.errors import SetupError
from journey_mcp.core.urls import BaseUrl
from journey_mcp.providers.accounts import accounts_of, sandbox_account
from journey_mcp.registry.facts import ImageInput, Model, Offer, Parameter, ProviderFacts
from journey_mcp.registry.files import read_file
from journey_mcp.settings import read_settings

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "registry.txt"
GOOD = """
[[model]]
id = "mine"
maker = "me"
family = "mine"
best_at = "tests"
sources = ["https://example.test"]
checked = 2026-11-21

[[offer]]
model = "mine"
provider = "journeyapi"
wire_id = "mine-1"
synchronous = true
images = { support = "none" }
sources = ["https://example.test"]
checked = 2026-11-21
"""


def test_every_fact_has_a_source_and_a_date() -> None:
    """And every model an offer."""
    facts = registry.load()
    assert {offer.model for offer in facts.offers} == set(facts.models)
    reported = [(model.sources, model.checked) for model in facts.models.values()]
    reported += [(offer.sources, offer.checked) for offer in facts.offers]
    reported += [(action.sources, action.checked) for action in facts.actions]
    reported += [(provider.sources, provider.checked) for provider in facts.providers.values()]
    for sources, checked in reported:
        assert sources
        assert checked >= dt.date(2026, 11, 21)


@pytest.mark.generated
def test_a_changed_fact_changes_the_snapshot() -> None:
    """The resolved facts that differ from the defaults are one snapshot; UPDATE_DOCS=1 rewrites it."""
    facts = registry.load()
    lines = [line for model in facts.models.values() for line in _told(model.id, model)]
    lines += [line for offer in facts.offers for line in _told(f"{offer.model}@{offer.provider}", offer)]
    lines += [line for action in facts.actions for line in _told(f"{action.id}@{action.provider}", action)]
    lines += [line for provider in facts.providers.values() for line in _told(provider.id, provider)]
    text = "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_DOCS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")


_PROSE = {"sources", "checked", "notes", "advice", "best_at"}


def _told(name: str, entry: object) -> list[str]:
    """Yield one line for each field that differs from its default."""
    lines: list[str] = []
    usual = registry.load().offers[0].parameters["aspect_ratio"]
    for field in fields(entry):  # type: ignore[arg-type]
        value = getattr(entry, field.name)
        if field.name in _PROSE or not value or value in (field.default, name, name.partition("@")[0]):
            continue
        if isinstance(value, dict) and all(isinstance(v, Parameter) for v in value.values()):
            for key, parameter in value.items():
                lines += _told(f"{name}.{key}", parameter) if parameter != usual else []
        elif isinstance(value, ImageInput):
            lines += _told(f"{name}.images", value)
        else:
            lines.append(f"{name} {field.name} = {value}")
    return lines


def test_a_user_s_file_adds_a_model(tmp_path: Path) -> None:
    """In addition to the built-in models."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    facts = registry.load((path,))
    assert len(facts.models) == len(registry.load().models) + 1
    assert "mine" in facts.catalog(["journeyapi"]).offers_for("imagine")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('id = "mine"', 'id = "mine'), ["not TOML", "line 3"]),
        (('maker = "me"', 'makr = "me"'), ["model[1] (mine).makr", "not a known key", "maker"]),
        (('maker = "me"', "maker = 3"), ["model[1] (mine).maker=3", "string"]),
        (('maker = "me"\n', ""), ["model[1] (mine).maker is missing"]),
        (("synchronous = true", 'synchronous = "yes"'), ["offer[1] (mine).synchronous", "boolean"]),
        (('support = "none"', 'support = "maybe"'), ["offer[1] (mine).images.support", "'unstated'"]),
        (('support = "none"', 'support = "none", colour = 1'), ["images.colour", "mask_field"]),
        (('provider = "journeyapi"', 'provider = "nobody"'), ["provider='nobody'", "allowed: journeyapi"]),
        (('model = "mine"', 'model = "other"'), ["offer other", "no [[model]]", "midjourney"]),
        (("[[offer]]", "[[offers]]"), ["offers is not a known key", "provider, model, offer, action, other, defaults"]),
        (
            ("synchronous = true", "synchronous = true\nparameters.colour.values = ['red']"),
            ["parameters.colour", "aspect_ratio"],
        ),
        (
            ("synchronous = true", "synchronous = true\nparameters.resolution.vals = ['1K']"),
            ["parameters.resolution.vals", "maximum_with_images"],
        ),
        (
            (
                "synchronous = true",
                "synchronous = true\nparameters.resolution = {values = ['1K'], wire_values = {2K = 'x'}}",
            ),
            ["wire_values", "2K", "1K"],
        ),
        (
            ("synchronous = true", "synchronous = true\ncredits = -4"),
            ["offer mine: credits=-4", "allowed: 0 to 1,000,000"],
        ),
        (("synchronous = true", f"synchronous = true\nusd = {'9' * 400}"), ["usd=1.00000e+400 is not a price"]),
        (("[[offer]]", GOOD.split("[[offer]]", maxsplit=1)[0] + "[[offer]]"), ["has the model mine twice"]),
        (("[[model]]", '[[other]]\nnames = ["foo"]\nnearest = ["bar"]\n[[model]]'), ["other foo", "'bar'", "z-image"]),
        (("[[model]]", '[[other]]\nnames = ["foo"]\nnear = []\n[[model]]'), ["other[1].near", "names, nearest"]),
    ],
)
def test_a_wrong_file_fails_with_key_and_what_is_allowed(
    tmp_path: Path, change: tuple[str, str], says: list[str]
) -> None:
    """The message is enough to fix the file."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(*change), encoding="utf-8")
    with pytest.raises(SetupError) as raised:
        registry.load((path,))
    for words in [str(path), *says]:
        assert words in str(raised.value)


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """`choose_for` is now `recommended_for`."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("[[offer]]", 'choose_for = { imagine = "dunes" }\n[[offer]]'), encoding="utf-8")
    assert registry.load((path,)).models["mine"].recommended_for == {"imagine": "dunes"}


PROVIDER = """
[provider]
id = "mine"
title = "Mine"
wire = "bfl"
base_url = "https://api.mine.test"
key_variable = "MINE_API_KEY"
base_url_variable = "MINE_BASE_URL"
features = ["webhook"]
webhook_retries_s = 90
sources = ["https://example.test"]
checked = 2026-11-21
"""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('["webhook"]', '["cancel"]'), ["webhook_retries_s=90", 'Add "webhook" to its features, or leave it out']),
        (("= 90", "= -1"), ["webhook_retries_s=-1", "allowed: 0 to 86400"]),
        (("= 90", "= 86401"), ["webhook_retries_s=86401", "allowed: 0 to 86400"]),
        (("= 90", "= nan"), ["webhook_retries_s=nan", "allowed: 0 to 86400"]),
        (("= 90", "= inf"), ["webhook_retries_s=inf", "allowed: 0 to 86400"]),
        (("= 90", '= "90"'), ["provider.webhook_retries_s='90'", "valid number"]),
        (("= 90", "= 90\nlongest_run_s = -5"), ["longest_run_s=-5", "allowed: 0 to 86400"]),
    ],
)
def test_the_retry_time_of_webhooks_is_validated(tmp_path: Path, change: tuple[str, str], says: list[str]) -> None:
    """It needs a provider with webhooks."""
    path = tmp_path / "mine.toml"
    path.write_text(PROVIDER, encoding="utf-8")
    assert registry.load((path,)).providers["mine"].webhook_retries_s == 90
    path.write_text(PROVIDER.replace("webhook_retries_s = 90\n", ""), encoding="utf-8")
    assert read_file(path).provider.webhook_retries_s is None  # type: ignore[union-attr]
    path.write_text(PROVIDER.replace(*change), encoding="utf-8")
    with pytest.raises(SetupError) as raised:
        read_file(path)
    for words in [str(path), *says]:
        assert words in str(raised.value)


def test_accounts_have_the_retry_time_of_webhooks() -> None:
    """If it is stated; the sandbox has the value of the provider that it fakes."""
    facts = registry.load()
    keys = dict.fromkeys(("JOURNEYAPI_API_KEY", "VTRIX_API_KEY", "REPLICATE_API_TOKEN", "BFL_API_KEY"), "k")
    reported = {account.provider: account.webhook_retries_s for account in accounts_of(read_settings(keys), facts)}
    assert reported == {"journeyapi": 170, "vtrix": None, "replicate": 60, "bfl": 156}
    assert sandbox_account(BaseUrl("http://127.0.0.1:9"), facts).webhook_retries_s == 170


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It does not exist, or is not text."""
    with pytest.raises(SetupError, match="cannot be read"):
        registry.load((tmp_path / "none.toml",))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SetupError, match="not TOML"):
        registry.load((tmp_path / "binary.toml",))


def test_several_files_and_folders_are_read(tmp_path: Path) -> None:
    """In the given order, a folder by the names of its .toml files; a later file wins."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "b.toml").write_text(GOOD.replace('maker = "', 'maker = "B of '), encoding="utf-8")
    (tmp_path / "own" / "a.toml").write_text(GOOD.replace('maker = "', 'maker = "A of '), encoding="utf-8")
    (tmp_path / "own" / "notes.txt").write_text("no TOML", encoding="utf-8")
    (tmp_path / "last.toml").write_text(GOOD.replace('"mine"', '"yours"'), encoding="utf-8")
    models = registry.load((tmp_path / "own", tmp_path / "last.toml")).models
    assert models["mine"].maker.startswith("B of ")
    assert list(models)[-2:] == ["mine", "yours"]


def test_a_folder_without_registry_files_is_an_error(tmp_path: Path) -> None:
    """It names the folder."""
    with pytest.raises(SetupError, match=f"Registry folder {re.escape(str(tmp_path))} has no .toml file"):
        registry.load((tmp_path,))


def test_the_file_format_covers_further_providers() -> None:
    """Prices in dollars, ranges, numbered image fields, several encodings: no change of the format is needed."""
    offer = Offer(
        model="flux-kontext-pro",
        provider="bfl",
        wire_id="flux-kontext-pro",
        synchronous=False,
        usd=None,
        images=ImageInput(
            support="optional",
            maximum=4,
            fields=("input_image", "input_image_2", "input_image_3", "input_image_4"),
            encodings=("url", "base64"),
            max_bytes=20_000_000,
        ),
        parameters={"aspect_ratio": Parameter(minimum="9:21", maximum="21:9")},
        expires_after_s=600,
        sources=("https://docs.bfl.ml",),
        checked=dt.date(2026, 11, 21),
    )
    assert not offer.is_edit_only
    assert {f.name for f in fields(Model)} & {f.name for f in fields(ProviderFacts)} >= {"id", "sources", "checked"}


ACTION = """
[[action]]
id = "brighten"
title = "Brighten"
provider = "journeyapi"
endpoint = "/brighten"
parents = ["mine", "single"]
credits = 1
sources = ["https://example.test"]
checked = 2026-11-21
"""


_AT_JOURNEYAPI = 'provider = "journeyapi"\nendpoint'


def test_a_user_s_file_adds_an_action(tmp_path: Path) -> None:
    """Listed while its provider is configured; one with a known id and provider replaces the built-in one."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + ACTION + ACTION.replace("brighten", "single"), encoding="utf-8")
    facts = registry.load((path,))
    actions = facts.catalog(["journeyapi"]).actions
    assert [action.price for action in actions["brighten"]] == ["1 credits"]
    assert [action.endpoint for action in actions["single"]] == ["/single"]
    assert not facts.catalog(["vtrix"]).actions


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('title = "Brighten"', 'titel = "x"'), ["action[1] (brighten).titel", "not a known key", "sends_number"]),
        (('endpoint = "/brighten"', ""), ["action[1] (brighten).endpoint is missing"]),
        (('endpoint = "/brighten"', 'endpoint = "brighten"'), ["action brighten", "endpoint='brighten'", "/upscale"]),
        (('id = "brighten"', 'id = "Make brighter"'), ["id='Make brighter'", "lower-case letters"]),
        (('id = "brighten"', 'id = "mine"'), ["action mine", "a [[model]] has this id"]),
        (('parents = ["mine", "single"]', 'parents = ["yours"]'), ["'yours'", "neither a model nor an action"]),
        (('parents = ["mine", "single"]', ""), ["action brighten takes no image"]),
        (
            ('provider = "journeyapi"\nendpoint', 'provider = "vtrix"\nendpoint'),
            ["vtrix has no endpoints", '"actions"'],
        ),
        (
            ('provider = "journeyapi"\nendpoint', 'provider = "none"\nendpoint'),
            ["provider='none'", "allowed: journeyapi"],
        ),
        (("credits = 1", "credits = -1"), ["action brighten: credits=-1", "allowed: 0 to 1,000,000"]),
        (("[[action]]", f"{ACTION}[[action]]"), ["has the action brighten at journeyapi twice"]),
        (("synchronous = true", 'synchronous = true\nendpoint = "mine"'), ["offer mine: endpoint='mine'"]),
        (
            ('provider = "journeyapi"\nwire_id', 'endpoint = "/mine"\nprovider = "vtrix"\nwire_id'),
            ["offer mine: vtrix has no endpoints"],
        ),
    ],
)
def test_a_wrong_action_fails_with_key_and_what_is_allowed(
    tmp_path: Path, change: tuple[str, str], says: list[str]
) -> None:
    """Also an endpoint at a provider whose protocol has only one."""
    path = tmp_path / "mine.toml"
    path.write_text((GOOD + ACTION).replace(*change), encoding="utf-8")
    with pytest.raises(SetupError) as raised:
        registry.load((path,))
    for words in [str(path), *says]:
        assert words in str(raised.value)


def test_a_file_that_replaces_a_provider_needs_the_feature_of_its_actions(tmp_path: Path) -> None:
    """A file of an earlier version may do so; the error says what to add."""
    path = tmp_path / "mine.toml"
    path.write_text(
        """
[provider]
id = "journeyapi"
title = "JourneyAPI"
wire = "journeyapi"
base_url = "https://api.journeyapi.com/api/v1"
key_variable = "JOURNEYAPI_API_KEY"
base_url_variable = "JOURNEYAPI_BASE_URL"
sources = ["https://example.test"]
checked = 2026-11-21
""",
        encoding="utf-8",
    )
    with pytest.raises(SetupError, match="journeyapi has no endpoints") as raised:
        registry.load((path,))
    assert 'Add "actions" to `features`' in str(raised.value.failure.next_step)


def test_an_action_runs_and_costs_as_an_offer() -> None:
    """With the model of its parent; an action without a stated price has an unknown one."""
    (upscale,) = registry.load().catalog(["journeyapi"]).actions["upscale_2x"]
    offer = upscale.offer_for("midjourney")
    assert (offer.model, offer.endpoint, offer.unit) == ("midjourney", "/upscale-2x-4x", "credits")
    assert offer.credits == 2
    assert (dict(offer.constants), offer.prompt, offer.synchronous) == ({"type": "2x"}, "none", False)
    assert replace(upscale, credits=None).price == "unknown price"
    assert replace(upscale, credits=None, usd=Decimal("0.05")).price == "0.05 USD"
