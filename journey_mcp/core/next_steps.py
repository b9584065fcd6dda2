"""Next steps: what to do about an error, in the words for a model and in the words for the person at a terminal."""

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do now, for both readers; together with text that is the same for both it is a longer one."""

    for_model: str
    """A model serves a person, and may have to ask them."""
    for_person: str

    def __str__(self) -> str:
        """Return the words for a model, which are those of the results."""
        return self.for_model

    def __add__(self, more: Union[str, "NextStep"]) -> "NextStep":
        """Return this step, and then what follows."""
        return NextStep(self.for_model + str(more), self.for_person + person_words(more))

    def __radd__(self, before: str) -> "NextStep":
        """Return this step after a text."""
        return NextStep(before + self.for_model, before + self.for_person)


def ask_person(what: str, *, who: str = "the person") -> NextStep:
    """Return an instruction for the person, which a model passes on as a request.

    `what` is an imperative. Its first letter is a capital at the beginning of a sentence.
    """
    ask = "Ask" if what[0].isupper() else "ask"
    return NextStep(f"{ask} {who} to {what[0].lower()}{what[1:]}", what)


def person_words(step: str | NextStep) -> str:
    """Return the words for the person."""
    return step.for_person if isinstance(step, NextStep) else step
