"""The settings of the fake Vtrix."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class VtrixSettings:
    """The fake Vtrix, with one reading of each point that its documents leave open."""

    keys: tuple[str, ...] | None = None
    """The accepted keys, without `Bearer`; None accepts any that is not empty."""
    balance_usd: float = 50
    """The initial balance. All keys share it."""
    refunds_failed_tasks: bool = True
    """Whether a failed task is refunded: `usage` is documented for completed tasks only."""
    extra_models: tuple[str, ...] = ()
    """Further model ids; they accept any parameter."""
    body: Literal["wrapped", "both"] = "wrapped"
    """Parameters belong in `input[0].params`; `both` also accepts them next to `model`, as on the model pages."""
    task_id_field: Literal["id", "task_id"] = "id"
    """The id field of a task object; the sources disagree."""
    created_at: Literal["unix", "iso"] = "unix"
    """The time format of a task object: Unix seconds, or ISO 8601 together with `completed_at`."""
    error_form: Literal["object", "number", "text"] = "object"
    """`{"code": "...", "message"}`, `{"code": 123, "error_message"}`, or the text alone: all three are documented."""
    waiting_words: tuple[str, ...] = ("in_progress",)
    """The statuses of a running task, in equal parts of its time; `pending` and `processing` are documented too."""
    safety_minimum: Literal[0, 1] = 0
    """The lowest safety_tolerance of flux_kontext_pro and flux_2_pro, whose pages list 1 and describe 0."""
    tasks_at_once: int | None = None
    """Further tasks get 429; the real limit is not documented."""
    body_limit_bytes: int = 120_000_000
    """Enough for four images of 20 MB in base64; the real limit is not documented."""

    def __post_init__(self) -> None:
        if not self.waiting_words:
            raise ValueError("waiting_words needs at least one word.")
