"""Ids of runs, which nobody mistypes or uses for other requests without being told."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import pytest

from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.runs import check_run_id, new_run_id

NOW = 1_795_953_600.0  # 2026-11-29T12:00:00Z
BOAT = ImageRequest(tool="imagine", model="z-image", prompt="a boat")
SHIP = ImageRequest(tool="imagine", model="z-image", prompt="a ship")


def test_an_id_names_the_day_and_is_new_each_time() -> None:
    ids = {new_run_id([BOAT], NOW) for _ in range(50)}
    assert len(ids) == 50
    assert all(id_.startswith("run_20261129_") for id_ in ids)


def test_the_same_requests_go_on() -> None:
    check_run_id(new_run_id([BOAT, SHIP], NOW), [BOAT, SHIP], NOW + 86400, keep_days=30)


@pytest.mark.parametrize("requests", [[BOAT], [SHIP, BOAT], [BOAT, SHIP, SHIP], []])
def test_other_requests_are_rejected(requests: list[ImageRequest]) -> None:
    run_id = new_run_id([BOAT, SHIP], NOW)
    with pytest.raises(InvalidArguments, match="began with other requests or options") as raised:
        check_run_id(run_id, requests, NOW, keep_days=30)
    assert "Nothing was sent" in (raised.value.failure.next_step or "")


def test_no_single_mistyped_digit_is_taken() -> None:
    run_id = new_run_id([BOAT], NOW)
    for position in range(13, len(run_id)):
        if run_id[position] != "_":
            typed = run_id[:position] + ("0" if run_id[position] != "0" else "1") + run_id[position + 1 :]
            with pytest.raises(InvalidArguments, match="mistyped"):
                check_run_id(typed, [BOAT], NOW, keep_days=30)


@pytest.mark.parametrize("text", ["", "run_1", "tsk_AAAAAAAAAAAAAAAAAAAAAA", "run_20261129_ABCDEF01_00000000"])
def test_what_is_no_id_is_rejected(text: str) -> None:
    with pytest.raises(InvalidArguments, match="is not the id of a run"):
        check_run_id(text, [BOAT], NOW, keep_days=30)


def test_a_run_whose_tasks_may_be_deleted_is_not_paid_again() -> None:
    run_id = new_run_id([BOAT], NOW)
    check_run_id(run_id, [BOAT], NOW + 29 * 86400, keep_days=30)
    with pytest.raises(InvalidArguments, match="began on 2026-11-29, and tasks are kept 30 days"):
        check_run_id(run_id, [BOAT], NOW + 30 * 86400, keep_days=30)
