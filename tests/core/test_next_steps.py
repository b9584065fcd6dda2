"""Next steps, as a model and as the person at a terminal read them."""

import pytest

from journey_mcp.core.next_steps import NextStep, ask_person, person_words


@pytest.mark.parametrize(
    ("step", "for_model", "for_person"),
    [
        (ask_person("Set the key."), "Ask the person to set the key.", "Set the key."),
        (
            "Nothing was sent. Wait, or " + ask_person("raise the budget") + ". Then call again.",
            "Nothing was sent. Wait, or ask the person to raise the budget. Then call again.",
            "Nothing was sent. Wait, or raise the budget. Then call again.",
        ),
        (
            ask_person("Look at the disk.", who="the person who runs the server"),
            "Ask the person who runs the server to look at the disk.",
            "Look at the disk.",
        ),
        ("Give a file." + NextStep(" Chats have none.", ""), "Give a file. Chats have none.", "Give a file."),
        (
            ask_person("Restart it") + ", or " + ask_person("wait."),
            "Ask the person to restart it, or ask the person to wait.",
            "Restart it, or wait.",
        ),
        ("Call again.", "Call again.", "Call again."),
    ],
)
def test_a_model_asks_the_person_and_the_person_acts(step: str | NextStep, for_model: str, for_person: str) -> None:
    """Text that is the same for both may stand before and after it."""
    assert (str(step), person_words(step)) == (for_model, for_person)
