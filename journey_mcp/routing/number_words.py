"""Integers in English words, as people and models sometimes write them: `twenty-one`, `sixteen by nine`."""

import re

_ONES = {
    word: number
    for number, word in enumerate(
        (
            *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
            *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
        )
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2)
}
_FACTORS = {"hundred": 100, "thousand": 1000}
_LONGEST = 100
_DIGITS = "|".join(word for word, number in _ONES.items() if 0 < number < 10)  # noqa: PLR2004  # as it says
_BELOW_100 = re.compile(rf"\b(?:({'|'.join(_TENS)})(?:[-\s]({_DIGITS}))?|({'|'.join(_ONES)}))\b", re.IGNORECASE)


def with_digits(text: str) -> str:
    """Return the text with digits in place of every number word below 100."""
    return _BELOW_100.sub(
        lambda match: str(sum({**_ONES, **_TENS}[word.lower()] for word in match.groups() if word)), text
    )


def value_of(text: str) -> int | None:
    """Return the number, below a million, that a text spells; `None` for any other text."""
    words = re.findall(r"[a-z]+|[^a-z\s-]", text.lower()) if len(text) <= _LONGEST else []
    total, part = 0, 0
    for word in words:
        if word in _FACTORS:
            part = max(part, 1) * _FACTORS[word]
            if word == "thousand":
                total, part = total + part, 0
        elif word in _ONES or word in _TENS:
            part += _ONES.get(word, _TENS.get(word, 0))
        elif word not in {"and", "a"}:
            return None
    return total + part if set(words) - {"and", "a"} else None
