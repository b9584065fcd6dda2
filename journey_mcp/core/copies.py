"""Copies of a finished image: whether there is one, and where it was saved for the person."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyRecord:
    """What is known of one image of a task, besides what its provider reported."""

    is_copied: bool = False
    """There was a copy; the person, or the limit of all copies, may have deleted it since."""
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    saved_to: str | None = None
    """The path of the file for the person."""
    copy_problem: str | None = None
    """Why there is no copy, after the last attempt."""
    save_problem: str | None = None
    """Why there is no file for the person (yet)."""
