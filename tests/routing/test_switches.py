"""Switches in prompts: dashes from keyboards, unknown names, and values beyond the documented ones."""

from pathlib import Path

import pytest
from support import make_environment_without_copies, make_request

from journey_mcp import registry
from journey_mcp.core.errors import UnsupportedValue
from journey_mcp.core.principals import LOCAL
from journey_mcp.routing import validation
from journey_mcp.routing.switches import mistakes, ratio, warnings, with_hyphens
from journey_mcp.tools import results

CATALOG = registry.load().catalog(["journeyapi"])
(MIDJOURNEY,) = CATALOG.offers["midjourney"]
SWITCHES = MIDJOURNEY.switches


@pytest.mark.parametrize(
    "dash", ["\u2014", "\u2013", "\u2212", "\u2012", "\u2015", "\uff0d\uff0d", "\u2014-", "\u2013\u2013", "-"]
)
@pytest.mark.parametrize("name", ["ar", "AR", "aspect"])
def test_a_dash_before_an_aspect_ratio_is_its_switch(dash: str, name: str) -> None:
    """It overrides `aspect_ratio`, and the prompt is sent with two hyphens."""
    request = make_request(model="midjourney", prompt=f"a fox in snow {dash}{name} 16:9", aspect_ratio="1:1")
    sent, found = validation.validate(request, MIDJOURNEY, CATALOG)
    assert (sent.prompt, sent.aspect_ratio) == (f"a fox in snow --{name} 16:9", None)
    assert list(map(str, found)) == [
        f"{dash}{name} in the prompt was read as --{name}.",
        "--ar 16:9 in the prompt overrides aspect_ratio=1:1, which was not sent.",
    ]


async def test_what_was_read_is_what_is_sent(tmp_path: Path) -> None:
    """And the stored task has the notices."""
    async with make_environment_without_copies(tmp_path) as here:
        made = await here.made(model="midjourney", prompt="a fox \u2014ar 16:9 --v 9", aspect_ratio="1:1")
        assert here.sent[0]["prompt"] == "a fox --ar 16:9 --v 9"
        assert "aspect_ratio" not in here.sent[0]
        stored = (await here.studio.newest(LOCAL))[0]
        assert results.task_object(stored, now=0)["notices"] == [
            "\u2014ar in the prompt was read as --ar.",
            "--v 9 is not a documented value of midjourney (up to 7): it may be ignored or refused.",
            "--ar 16:9 in the prompt overrides aspect_ratio=1:1, which was not sent.",
        ]
        assert stored.notices == made.notices


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        ("\u2014ar 4:5 a fox", "--ar 4:5 a fox"),
        ("a fox \u2014v 7 \u2014s 250 \u2014no text, frame", "a fox --v 7 --s 250 --no text, frame"),
        ("a fox \u2014style raw \u2013chaos 20", "a fox --style raw --chaos 20"),
        ("a fox \u2014tile \u2014raw", "a fox --tile --raw"),
        ("a fox \u2014sref https://example.test/a.png \u2014sw 20", "a fox --sref https://example.test/a.png --sw 20"),
        ("1990\u20132000 \u2014niji 6", "1990\u20132000 --niji 6"),
        ("a fox \u2014q .5", "a fox --q .5"),
    ],
)
def test_other_switches_are_recognized_by_what_follows_them(prompt: str, sent: str) -> None:
    """A number, a URL, one last word, or nothing more."""
    assert with_hyphens(prompt, SWITCHES)[0] == sent


@pytest.mark.parametrize(
    "prompt",
    [
        "a dog \u2014 in snow",
        "a dog \u2014no cat\u2014 in snow",
        "un perro \u2014no un gato\u2014 en la nieve",
        "the chair \u2014style of 1970\u2014 is red",
        "a man \u2014arms raised\u2014 runs",
        "a fox\u2014ar 16:9",
        "a loft \u2014raw concrete, bare",
        "1990\u20132000",
        "-v 7 stays",
        "a -ar chart",
        "--ar 16:9",
    ],
)
def test_dashes_in_sentences_stay(prompt: str) -> None:
    """And switches that are right already."""
    assert with_hyphens(prompt, SWITCHES) == (prompt, [])


def test_the_prompt_of_another_model_stays() -> None:
    """It has no switches."""
    request = make_request(model="z-image", prompt="a fox \u2014ar 16:9 --foo", aspect_ratio="1:1")
    assert validation.validate(request, CATALOG.offers["z-image"][0], CATALOG) == (request, ())


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("--Stylise 9", "--Stylise in the prompt is not a switch of midjourney. Did you mean --stylize?"),
        ("--s 5000", "--s 5000 in the prompt is not a value that midjourney takes (allowed: 0 to 1000)."),
        ("--stylize=1001", "--stylize 1001 in the prompt is not a value that midjourney takes (allowed: 0 to 1000)."),
        ("--chaos 200,", "--chaos 200 in the prompt is not a value that midjourney takes (allowed: 0 to 100)."),
        ("--chaos high", "--chaos high in the prompt is not a value that midjourney takes (allowed: 0 to 100)."),
        ("--sw 1001", "--sw 1001 in the prompt is not a value that midjourney takes (allowed: 0 to 1000)."),
        ("--ar 0:1", "--ar 0:1 in the prompt is not a value that midjourney takes (allowed: W:H, such as 16:9)."),
        ("--ar", "--ar in the prompt is not a value that midjourney takes (allowed: W:H, such as 16:9)."),
    ],
)
def test_a_switch_that_contradicts_the_documents_is_refused_before_it_costs_anything(prompt: str, says: str) -> None:
    """The error names the switch, and what to write instead."""
    request = make_request(model="midjourney", prompt=f"a fox {prompt} --tile")
    with pytest.raises(UnsupportedValue) as caught:
        validation.validate(request, MIDJOURNEY, CATALOG)
    said = f"{caught.value} {caught.value.failure.next_step}"
    assert said.startswith(says)
    assert "nothing was charged" in said


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("--foo", "--foo is not a known switch of midjourney: it may be ignored or refused."),
        ("--v 99", "--v 99 is not a documented value of midjourney (up to 7): it may be ignored or refused."),
        ("--niji 7", "--niji 7 is not a documented value of midjourney (up to 6): it may be ignored or refused."),
    ],
)
def test_a_switch_that_may_be_newer_than_the_documents_is_sent_with_a_notice(prompt: str, says: str) -> None:
    """Midjourney gets new switches and versions."""
    assert list(map(str, warnings(f"a fox {prompt} --tile", SWITCHES, "midjourney"))) == [says]


@pytest.mark.parametrize(
    "prompt",
    [
        "--ar 16:9 --chaos 0 --stylize 1000 --sw 0 --v 7 --niji 6 --style raw --sref https://example.test/a.png",
        "--v 6.1 --niji --chaos --c 20 --q 2 --seed 42 --no text, frame --tile --iw .5 --weird 9999 --p abc",
        "--ar16:9 --v7",
        "in snow (--chaos 20, --ar 16:9)",
        '"a fox --ar 16:9"',
        "a -- b --- c",
        'a sign that says "--foo"',
    ],
)
def test_a_documented_or_unstated_value_gets_no_notice(prompt: str) -> None:
    """Midjourney has more switches than JourneyAPI names."""
    assert warnings(prompt, SWITCHES, "midjourney") == []
    assert list(mistakes(prompt, SWITCHES)) == []


def test_only_the_first_of_many_warnings_are_kept() -> None:
    """Each once, however long the prompt is."""
    assert len(warnings("--foo " * 6_000, SWITCHES, "midjourney")) == 1
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert len(warnings(" ".join(f"--zz{a}{b}" for a in letters for b in letters), SWITCHES, "midjourney")) == 5
    dashed = " ".join(f"\u2014{name} 1:1" for name in ("ar", "aR", "Ar", "AR", "aspect", "Aspect", "ASPECT"))
    assert len(with_hyphens(dashed, SWITCHES)[1]) == 5


def test_the_ratio_is_that_of_the_first_switch() -> None:
    """Under either of its names."""
    assert ratio("a fox --aspect 4:5 --ar 16:9", SWITCHES) == "4:5"
    assert ratio("a fox --v 7", SWITCHES) is None
