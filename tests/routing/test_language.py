"""Detection of English prompts: its counts on two sets of prompts, and its limits."""

import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import check_generated

from journey_mcp.routing.language import Judgement, Verdict, judge

_DATA = Path(__file__).parents[1] / "data"
_DOCUMENT = Path(__file__).parents[2] / "docs" / "prompt-language.md"
_OTHER_SCRIPTS = frozenset(
    {"zh", "ja", "ko", "ru", "uk", "bg", "ar", "fa", "he", "hi", "bn", "ta", "th", "el", "ka", "hy"}
)

_QUOTATION_MARKS = (
    '""',
    "''",
    "\u201c\u201d",  # English double
    "\u2018\u2019",  # English single
    "\u201d\u201d",  # Swedish double
    "\u201e\u201c",  # German double
    "\u201e\u201d",  # Polish double
    "\u201a\u2018",  # German single
    "«»",
    "»«",
    "\u2039\u203a",
    "「」",
    "『』",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One line of a set."""

    group: str
    language: str
    text: str

    @property
    def kind(self) -> str:
        """Return the row of the table of counts."""
        if self.language == "en":
            return "English"
        return "other script" if self.language in _OTHER_SCRIPTS else "Latin script"


def _read(name: str, *groups: str) -> Iterator[Prompt]:
    """Read a file of prompts; each comment line begins the next of the groups."""
    remaining = iter(groups)
    group = ""
    for line in (_DATA / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            group = next(remaining)
        elif not line.startswith("language\t"):
            language, expected, text = line.split("\t")
            assert expected == ("english" if language == "en" else "foreign")
            yield Prompt(group=group, language=language, text=text)


PROMPTS = (
    *_read("prompts_tuning.tsv", "tuning", "tuning, hard", "held out at first"),
    *_read("prompts_held_out.tsv", "held out"),
)
_ENGLISH = [prompt.text for prompt in PROMPTS if prompt.language == "en"]


def _counts() -> dict[tuple[str, str], Counter[Verdict]]:
    counts: dict[tuple[str, str], Counter[Verdict]] = {}
    for prompt in PROMPTS:
        counts.setdefault((prompt.group, prompt.kind), Counter())[judge(prompt.text).verdict] += 1
    return counts


def _table(counts: dict[tuple[str, str], Counter[Verdict]]) -> str:
    lines = ["| set | prompts | number | goes through | with a notice | refused |", "|---|---|--:|--:|--:|--:|"]
    for (group, kind), of in counts.items():
        verdicts = " | ".join(str(of[verdict]) for verdict in Verdict)
        lines.append(f"| {group} | {kind} | {of.total()} | {verdicts} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("prompt", [pytest.param(text, id=text.encode("unicode_escape").decode()) for text in _ENGLISH])
def test_no_english_prompt_is_refused(prompt: str) -> None:
    """Names, brands, loanwords and quoted foreign text included, in all sets."""
    assert judge(prompt).verdict is not Verdict.FOREIGN


def test_the_tuning_set_meets_the_bounds() -> None:
    """Every prompt of another script is caught, and at least nine in ten of Latin script."""
    counts = _counts()
    english, other, latin = (counts["tuning", kind] for kind in ("English", "other script", "Latin script"))
    assert (english.total() >= 60, english[Verdict.FOREIGN]) == (True, 0)
    assert (other.total() >= 20, other[Verdict.FOREIGN]) == (True, other.total())
    assert latin.total() >= 40
    assert latin[Verdict.FOREIGN] / latin.total() >= 36 / 40


def test_the_held_out_set_is_as_measured_when_the_rule_was_fixed() -> None:
    """A change of these numbers is a change of the rule, and needs a new held-out set."""
    counts = {kind: of for (group, kind), of in _counts().items() if group == "held out"}
    assert counts == {
        "English": Counter({Verdict.ENGLISH: 71, Verdict.DOUBTFUL: 8}),
        "other script": Counter({Verdict.FOREIGN: 24, Verdict.DOUBTFUL: 1}),
        "Latin script": Counter({Verdict.FOREIGN: 43, Verdict.DOUBTFUL: 9}),
    }


def test_no_held_out_prompt_was_tuned_on() -> None:
    """Otherwise it would prove nothing."""
    held_out = {prompt.text.casefold() for prompt in PROMPTS if prompt.group == "held out"}
    assert held_out & {prompt.text.casefold() for prompt in PROMPTS if prompt.group != "held out"} == set()


@pytest.mark.generated
def test_the_document_shows_the_measured_counts() -> None:
    """docs/prompt-language.md holds the counts of today's rule; UPDATE_DOCS=1 rewrites them."""
    check_generated(_DOCUMENT, "counts", _table(_counts()))


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("把汽车改成红色,背景保持不变", "zh"),
        ("車を赤くして", "ja"),
        ("자동차를 빨간색으로 바꿔 주세요", "ko"),
        ("сделай машину красной", "ru"),
        ("зроби машину червоною, її дах синім", "uk"),
        ("اجعل السيارة حمراء", "ar"),
        ("ماشین را قرمز کن پس زمینه", "fa"),
        ("הפוך את המכונית לאדומה", "he"),
        ("कार को लाल कर दो", "hi"),
        ("เปลี่ยนรถเป็นสีแดง", "th"),
        ("κάνε το αυτοκίνητο κόκκινο", "el"),
        ("შეცვალე ცა", None),
        ("mach das auto rot und lass den hintergrund", "de"),
        ("MACH DAS AUTO ROT UND LASS DEN HINTERGRUND", "de"),
        ("rends la voiture rouge et garde l'arrière-plan", "fr"),
        ("haz el coche rojo y conserva el fondo", "es"),
        (unicodedata.normalize("NFD", "đổi màu chiếc xe thành đỏ và giữ nguyên nền"), "vi"),
    ],
)
def test_a_refusal_names_the_language(prompt: str, language: str | None) -> None:
    """The code of the language, if the letters or the detector show it."""
    assert judge(prompt) == Judgement(verdict=Verdict.FOREIGN, language=language)


@pytest.mark.parametrize("prompt", ["", "  \n", "123 !!! 4:3", "\U0001f389\U0001f389", '"Nur ein Zitat, sonst nichts"'])
def test_a_prompt_without_judged_letters_is_english(prompt: str) -> None:
    """There is nothing to translate."""
    assert judge(prompt) == Judgement(verdict=Verdict.ENGLISH)


@pytest.mark.parametrize("prompt", ["rotes Auto", "une voiture rouge", "ein rotes Auto hier", "czerwony"])
def test_up_to_four_words_of_latin_script_are_never_refused(prompt: str) -> None:
    """They get a notice at most, without the detector."""
    assert judge(prompt) == Judgement(verdict=Verdict.DOUBTFUL)


@pytest.mark.parametrize("prompt", ["portrait of 宮崎駿", "Κνωσός palace, red columns"])
def test_some_letters_of_another_script_get_a_notice(prompt: str) -> None:
    """An English prompt with a name in its original script is likelier than another language."""
    assert judge(prompt).verdict is Verdict.DOUBTFUL


@pytest.mark.parametrize("marks", _QUOTATION_MARKS)
@pytest.mark.parametrize("quoted", ["我爱你们所有的人,新年快乐", "l'arbre d'or est dans la forêt de Brocéliande"])
def test_quoted_text_may_be_in_any_language(marks: str, quoted: str) -> None:
    """It is drawn into the image, not followed."""
    assert judge(f"write {marks[0]}{quoted}{marks[1]} on it") == Judgement(verdict=Verdict.ENGLISH)


@pytest.mark.parametrize("marks", _QUOTATION_MARKS)
def test_english_in_quotes_does_not_make_a_prompt_english(marks: str) -> None:
    """Only the words around it are judged."""
    prompt = f"ersetze den Text auf dem Schild durch {marks[0]}we are open all day long{marks[1]}"
    assert judge(prompt).verdict is Verdict.FOREIGN


@pytest.mark.parametrize(
    "prompt",
    [
        "l'arbre d'or près de l'étang bleu",
        "l\u2019arbre d\u2019or près de l\u2019étang bleu",
        'füge "Hallo Welt hinzu und mach den Hintergrund blau',
        "füge \u201cHallo Welt hinzu und mach den Hintergrund blau",
        "füge «Hallo Welt hinzu und mach den Hintergrund blau",
        "zet 's avonds een rode lamp in 't oude huis",
    ],
)
def test_an_apostrophe_and_a_quotation_mark_without_partner_quote_nothing(prompt: str) -> None:
    """The words after them count."""
    assert judge(prompt).verdict is Verdict.FOREIGN


@pytest.mark.parametrize(
    "prompt",
    [
        "don't make the dogs' tails longer than the cats' ears",
        'a 12" ruler beside a 6\' 2" man in front of a white wall',
        'put the "SALE sign behind the counter',
    ],
)
def test_marks_that_quote_nothing_do_not_affect_english(prompt: str) -> None:
    """Apostrophes, inches and an unclosed quotation mark."""
    assert judge(prompt) == Judgement(verdict=Verdict.ENGLISH)


@pytest.mark.parametrize(
    "prompt",
    [
        "https://example.com/ein/schoenes/altes/haus/am/see.png make the house blue",
        "make the house blue www.example.com/ein/schoenes/altes/haus/am/see",
        "a lighthouse on a cliff --no Menschen, Autos und Häuser auf der Straße --ar 16:9",
        "a lighthouse on a cliff --no 人,汽车,房子,街道,文字,水印,天空,云朵,海洋",
        "a lighthouse on a cliff --style водолей-шестнадцать-девятнадцать-тридцать",
    ],
)
def test_urls_and_switches_are_not_judged(prompt: str) -> None:
    """Nor the value of a switch: one word, or the whole list of `--no`."""
    assert judge(prompt) == Judgement(verdict=Verdict.ENGLISH)


@pytest.mark.parametrize(
    "prompt",
    [
        "https://example.com/a.png把汽车改成红色",
        "https://example.com/the-red-car-on-the-road.png mach das Auto bitte blau und lass den Rest",
        "ein altes Haus im Sturm, düster und neblig --no people, cars, houses in the street --style raw",
    ],
)
def test_urls_and_switches_hide_nothing(prompt: str) -> None:
    """The words beside them are judged."""
    assert judge(prompt).verdict is Verdict.FOREIGN


def test_an_english_sentence_before_a_foreign_one_is_not_refused() -> None:
    """Mixed prompts get a notice at most."""
    assert judge("Make the car red and keep the street. Das Haus soll so bleiben").verdict is not Verdict.FOREIGN


@settings(deadline=None)  # the first example may load the detector
@given(st.text())
def test_any_text_is_judged(prompt: str) -> None:
    """Any characters get a judgement, and the same one again."""
    assert judge(prompt) == judge(prompt)


@settings(deadline=None)
@given(st.data())
def test_quoted_text_never_makes_an_english_prompt_foreign(data: st.DataObject) -> None:
    """Any quoted text, unless it contains quotation marks itself.

    Prompts with an apostrophe before a word ('70s) are left out: it may pair with a later single quotation mark.
    """
    prompt = data.draw(st.sampled_from([text for text in _ENGLISH if not re.search(r"(?<!\w)'", text)]))
    around = data.draw(st.sampled_from(_QUOTATION_MARKS))
    marks = set("".join(_QUOTATION_MARKS))
    quoted = data.draw(st.text().filter(lambda text: not marks & set(unicodedata.normalize("NFKC", text))))
    assert judge(f"{prompt} {around[0]}{quoted}{around[1]}").verdict is not Verdict.FOREIGN


@pytest.mark.parametrize(
    "prompt",
    [
        "mach das Auto rot, laß den Hintergrund. ",
        "make the car red. ",
        "把汽车改成红色,",
        "'x ",
        "«a ",
        "--no a ",
        "l'",
    ],
)
def test_a_long_prompt_costs_milliseconds_at_most(prompt: str) -> None:
    """No text of 8,000 characters makes the expressions backtrack; docs/prompt-language.md has the usual cost."""
    text = (prompt * 8000)[:8000]
    judge(text)
    started = time.thread_time()  # of the processor alone: other work of the machine does not count
    judge(text)
    assert time.thread_time() - started < 0.1


def test_only_the_beginning_of_a_long_prompt_is_read() -> None:
    """It is enough to determine the language."""
    assert (
        judge("a red kite over the dunes. " * 1_000 + "ein roter Drachen über den Dünen " * 200).verdict
        is Verdict.ENGLISH
    )
    assert judge('"' + "word " * 10_000).verdict is Verdict.ENGLISH
