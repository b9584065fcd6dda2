"""Switches in prompts, such as Midjourney's `--ar 16:9`: dashes from keyboards, misspelled and doubtful switches."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from journey_mcp.core.images import AspectRatio
from journey_mcp.core.notices import Notice
from journey_mcp.registry import Switch

_SIMILARITY = 0.8
"""The similarity, 0 to 1, from which a switch counts as misspelled."""
_MAX_SHOWN = 60
_PUNCTUATION = ",.;!?)]}\"'"
_MAX_NOTICES = 5
"""The most notices of a kind: a prompt may be full of dashes."""
Switches = Mapping[str, Switch]

_DASHES = (
    "\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}\N{HORIZONTAL BAR}\N{MINUS SIGN}"
    "\N{SMALL EM DASH}\N{SMALL HYPHEN-MINUS}\N{FULLWIDTH HYPHEN-MINUS}"
)
_DASH = rf"-?[{_DASHES}]{{1,2}}-?"
_SWITCH = re.compile(r"(?<!\S)--([a-z][a-z-]*)(?:(?:[\s=:]+|(?=[\d.]))(?!--)(\S+))?", re.IGNORECASE)
_END = rf"(?=\s*$|\s+[-{_DASHES}])"
_VALUES = {
    "ratio": r"[\s=:]*\d+\s*[:x/]\s*\d",
    "number": r"[\s=:]*\.?\d",
    "reference": r"[\s=:]*(?:https?://|\d|random\b)",
    "word": rf"\s+\S+{_END}",
    "nothing": _END,
    # a dash that another one closes is a parenthesis: "a dog —no cat— in snow"
    "text": rf"\s+(?![^{_DASHES}]*\S[{_DASHES}])",
}
"""What follows a switch; after the same word in a sentence, something else follows."""


def with_hyphens(prompt: str, switches: Switches) -> tuple[str, list[Notice]]:
    """Return the prompt with `--` before each switch that a keyboard wrote with one dash, and a notice for each.

    A dash counts only at the start of a word that names a switch and is followed by what that switch takes, so dashes
    in sentences stay as they are; a single hyphen counts only before an aspect ratio.
    """
    forms = [_dashed(name, switch) for name, switch in switches.items()]
    found = re.compile(rf"(?<!\S)(?:{'|'.join(forms)})([a-z]+)", re.IGNORECASE)
    read_as = dict.fromkeys((match[0], f"--{match[1]}") for match in found.finditer(prompt))
    notices = [Notice.of("switch_dash", given=given, sent=sent) for given, sent in read_as]
    return found.sub(r"--\1", prompt), notices[:_MAX_NOTICES]


def ratio(prompt: str, switches: Switches) -> str | None:
    """Return the value of the switch for the aspect ratio; `None` when the prompt has none."""
    return next((value for _, switch, value in _found(prompt, switches) if switch and switch.follows == "ratio"), None)


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A switch in a prompt that contradicts the documents."""

    written: str
    near: str | None = None
    """The known switch that a misspelled one resembles."""
    allowed: str | None = None
    """The documented values, if the given one is not among them."""


def mistakes(prompt: str, switches: Switches) -> Iterator[Mistake]:
    """Yield misspelled switches, and values outside of a documented range with both ends."""
    for name, switch, value in _found(prompt, switches):
        if switch is None:
            if near := _similar(f"--{name}", switches):
                yield Mistake(written=f"--{name}", near=near)
        elif _is_documented(switch) and (allowed := _allowed_instead(value, switch)):
            yield Mistake(written=f"--{name} {value}".rstrip(), allowed=allowed)


def warnings(prompt: str, switches: Switches, offer: str) -> list[Notice]:
    """Return a notice for each switch that may be wrong: an unknown one, or one newer than the documented values."""
    found: dict[str, Notice] = {}
    for name, switch, value in _found(prompt, switches):
        written = f"--{name} {value}".rstrip() if switch else f"--{name}"
        if written in found or len(found) == _MAX_NOTICES:
            continue
        if switch is None:
            if not _similar(written, switches):
                found[written] = Notice.of("switch_unknown", switch=written, offer=offer)
        elif not _is_documented(switch) and (allowed := _allowed_instead(value, switch)):
            found[written] = Notice.of("switch_value", switch=written, offer=offer, allowed=allowed)
    return list(found.values())


def _dashed(name: str, switch: Switch) -> str:
    """Return the pattern of the dash before this switch, if it was written with one dash."""
    dash = f"(?:{_DASH}|-)" if switch.follows == "ratio" else _DASH
    names = "|".join(map(re.escape, (name, *switch.aliases)))
    return rf"{dash}(?=(?:{names})(?![a-z]){_VALUES[switch.follows]})"


def _found(prompt: str, switches: Switches) -> Iterator[tuple[str, Switch | None, str]]:
    """Yield the switches in a prompt, as they are written, each with the text after it, which may be empty."""
    known = {alias: switch for name, switch in switches.items() for alias in (name, *switch.aliases)}
    for match in _SWITCH.finditer(prompt):
        yield match[1][:_MAX_SHOWN], known.get(match[1].lower()), (match[2] or "")[:_MAX_SHOWN].rstrip(_PUNCTUATION)


def _similar(written: str, switches: Switches) -> str | None:
    known = [f"--{alias}" for name, switch in switches.items() for alias in (name, *switch.aliases) if len(alias) > 1]
    return next(iter(difflib.get_close_matches(written.lower(), known, n=1, cutoff=_SIMILARITY)), None)


def _is_documented(switch: Switch) -> bool:
    """Return whether the whole range is documented; for a version only the newest is, and a newer one may exist."""
    return switch.follows == "ratio" or (switch.minimum is not None and switch.maximum is not None)


def _allowed_instead(value: str, switch: Switch) -> str | None:
    """Return the documented values if this one is not among them; `None` if it may be valid."""
    if switch.follows == "ratio":
        return None if AspectRatio.parse(value) else "W:H, such as 16:9"
    low, high = switch.minimum, switch.maximum
    if high is None or not value:
        return None
    allowed = f"{low:g} to {high:g}" if low is not None else f"up to {high:g}"
    if not re.fullmatch(r"\d*\.?\d+", value):
        return allowed if low is not None else None
    return None if (low or 0) <= float(value) <= high else allowed
