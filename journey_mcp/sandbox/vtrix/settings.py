"""Everything about the imitation of Vtrix that a test may choose."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class VtrixSettings:
    """Vtrix as this sandbox imitates it, with one reading of each point its documents leave open."""

    keys: tuple[str, ...] | None = None
    """The keys that are accepted, without `Bearer`; None accepts any that is not empty."""
    balance_usd: float = 50
    """The balance at the start. All keys share it."""
    refunds_failed_tasks: bool = True
    """The price of a task that fails comes back: `usage` is stated for completed tasks only."""
    extra_models: tuple[str, ...] = ()
    """Model ids accepted besides the documented ones; they take any parameter."""
    body: Literal["wrapped", "both"] = "wrapped"
    """Parameters stand in `input[0].params`; `both` takes them next to `model` too, as the model pages print."""
    task_id_field: Literal["id", "task_id"] = "id"
    """Where a task object carries its id; the sources disagree."""
    created_at: Literal["unix", "iso"] = "unix"
    """How a task object tells its time: Unix seconds, or ISO 8601 and then `completed_at` too."""
    error_form: Literal["object", "number", "text"] = "object"
    """`{"code": "...", "message"}`, `{"code": 123, "error_message"}`, or the text alone: all three are told of."""
    waiting_words: tuple[str, ...] = ("in_progress",)
    """The statuses of a task under way, in equal shares of its time; `pending` and `processing` are told of too."""
    safety_minimum: Literal[0, 1] = 0
    """The lowest safety_tolerance of flux_kontext_pro and flux_2_pro, whose pages print 1 and describe 0."""
    tasks_at_once: int | None = None
    """Further tasks get 429; the real limit is not documented."""
    body_limit_bytes: int = 120_000_000
    """Enough for four pictures of 20 MB in base64; the real limit is not documented."""

    def __post_init__(self) -> None:
        if not self.waiting_words:
            raise ValueError("waiting_words has one word or more.")
