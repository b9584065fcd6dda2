"""Tasks and their state changes."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.core.errors import Failure
from journey_mcp.core.images import AspectRatio, ImageId, OutputImage
from journey_mcp.core.money import Charges, Cost
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Prediction, Status
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Submission, Task, new_task_id

REQUEST = ImageRequest(tool="imagine", prompt="p", model="m")
NEW = Task(id="tsk_1", principal=LOCAL, request=REQUEST, provider="x", base_url="u", created_at=1.0, updated_at=1.0)
FAILURE = Failure(code="generation_failed", message="m")
CHARGED = Notice.of("cancel_unsupported", provider="x")
RETRYING = Notice.of("retrying", reason="No connection.")
SOME_LEFT_OUT, MORE_LEFT_OUT = (Notice.of("images_left_out", returned=count, kept=64) for count in (70, 80))

images = st.lists(st.builds(OutputImage, url=st.sampled_from(["a", "b", "c"])), max_size=4).map(tuple)
predictions = st.builds(
    Prediction,
    prediction_id=st.just("p"),
    status=st.sampled_from(Status),
    progress=st.none() | st.floats(0, 1),
    images=images,
    grid_url=st.none() | st.just("grid"),
    seed=st.none() | st.just("7"),
    cost=st.none() | st.just(Cost(amount=Decimal(4), unit="credits", source="provider")),
    failure=st.just(FAILURE),
)


@given(st.lists(predictions))
def test_a_finished_task_never_changes(observations: list[Prediction]) -> None:
    """In every order of responses, the first final one is kept."""
    task = NEW.sent(2.0)
    for at, prediction in enumerate(observations, start=3):
        before, task = task, task.apply(prediction, float(at))
        assert not before.status.is_final or task is before
    if task.status.is_final:
        assert task == task.sent(99).requeue(99).failed(FAILURE, 99).refused(FAILURE, 99).noticed(CHARGED, 99)
        assert task == task.accepted(Prediction(prediction_id="q", status=Status.RUNNING), 99)


@given(st.lists(predictions))
def test_nothing_known_is_lost(observations: list[Prediction]) -> None:
    """Progress never decreases, and a later response removes no image, seed or cost."""
    task = NEW.sent(2.0)
    for at, prediction in enumerate(observations, start=3):
        before, task = task, task.apply(prediction, float(at))
        assert (task.progress or 0.0) >= (before.progress or 0.0)
        assert len(task.images) >= len(before.images)
        assert not before.seed or task.seed
        assert not before.cost or task.cost


def test_a_reported_cost_replaces_the_unknown_cost() -> None:
    """In both units if the unit was unknown; an estimate in another unit was admitted by the limits of that unit."""
    reported = Cost(amount=Decimal("0.03"), unit="usd", source="provider")
    unknown: Charges = {"credits": Decimal(8), "usd": Decimal("0.10")}
    priced = Cost(amount=Decimal(4), unit="credits", source="registry")
    cases: list[tuple[Cost | None, Charges, Charges]] = [
        (None, unknown, {"usd": reported.amount}),
        (priced, {"credits": priced.amount}, {"credits": priced.amount, "usd": reported.amount}),
    ]
    for cost, charges, left in cases:
        task = replace(NEW, cost=cost, charges=charges).sent(2.0)
        assert task.apply(Prediction(prediction_id="p", status=Status.RUNNING), 3.0).charges == charges
        running = task.apply(Prediction(prediction_id="p", status=Status.RUNNING, cost=reported), 3.0)
        done = running.apply(Prediction(prediction_id="p", status=Status.SUCCEEDED, cost=reported), 4.0)
        assert running.charges == done.charges == left


def test_a_report_on_a_task_without_an_answer_is_its_answer() -> None:
    """The task was taken over, and waits for its webhook, while a copy of its image was made."""
    waiting = NEW.sent(2.0).noticed_transiently(CHARGED, 2.0)
    done = waiting.apply(Prediction(prediction_id="p", status=Status.SUCCEEDED), 3.0)
    assert (done.status, done.submission, done.prediction_id) == (Status.SUCCEEDED, Submission.ACCEPTED, "p")
    assert done.transient_notices == ()


def test_notices_of_a_result_are_kept() -> None:
    """Once, and only those of the final response."""
    early = Prediction(prediction_id="p", status=Status.RUNNING, notices=(SOME_LEFT_OUT,))
    last = Prediction(prediction_id="p", status=Status.SUCCEEDED, notices=(MORE_LEFT_OUT, CHARGED))
    running = NEW.noticed(CHARGED, 1.0).sent(2.0).accepted(early, 3.0)
    assert running.notices == (CHARGED,)
    assert running.apply(last, 4.0).notices == (CHARGED, MORE_LEFT_OUT)


def test_a_response_without_news_changes_nothing() -> None:
    """Not even the time of the last change, so nothing is written."""
    running = NEW.sent(2.0).accepted(Prediction(prediction_id="p", status=Status.RUNNING, progress=0.5), 3.0)
    assert running.apply(Prediction(prediction_id="p", status=Status.RUNNING, progress=0.4), 9.0) is running


def test_a_refused_task_is_free_and_an_unconfirmed_one_keeps_its_cost() -> None:
    """A task that may have been charged counts; a refused one does not."""
    priced = replace(NEW, cost=Cost(amount=Decimal(4), unit="credits", source="registry"))
    refused = priced.sent(2).refused(FAILURE, 3)
    assert (refused.status, refused.submission, refused.cost) == (Status.FAILED, Submission.REFUSED, None)
    unanswered = priced.sent(2).failed(FAILURE, 3)
    assert (unanswered.status, unanswered.submission) == (Status.FAILED, Submission.SENT)
    assert unanswered.cost == priced.cost


def test_only_an_accepted_task_can_be_polled() -> None:
    """Before that there is no handle."""
    assert NEW.handle is None
    accepted = NEW.sent(2).accepted(Prediction(prediction_id="p", status=Status.RUNNING), 3)
    assert accepted.handle is not None
    assert accepted.handle.prediction_id == "p"


def test_ids_are_random_and_part_of_image_ids() -> None:
    """128 bits; a dot and a number name one image of the task."""
    ids = {new_task_id() for _ in range(1000)}
    assert len(ids) == 1000
    for id_ in ids:
        assert ImageId.parse(f"{id_}.12") == ImageId(id_, 12)


@pytest.mark.parametrize(
    "text", ["", "tsk_x.1", "tsk_AAAAAAAAAAAAAAAAAAAAAA", "tsk_AAAAAAAAAAAAAAAAAAAAAA.0", "http://x/y.1"]
)
def test_text_that_is_not_an_image_id_is_none(text: str) -> None:
    """Numbers start at 1."""
    assert ImageId.parse(text) is None


@given(st.integers(1, 9999), st.integers(1, 9999))
def test_aspect_ratios_survive_the_round_trip(width: int, height: int) -> None:
    """Formatted and parsed again they are equal."""
    assert AspectRatio.parse(str(AspectRatio(width, height))) == AspectRatio(width, height)


@pytest.mark.parametrize("text", ["", "1:0", "0:1", "1x1", "-1:2", "1:2:3", "16:9 wide"])
def test_text_that_is_not_an_aspect_ratio_is_none(text: str) -> None:
    """Anything but two positive whole numbers."""
    assert AspectRatio.parse(text) is None


def test_a_request_survives_storage() -> None:
    """Plain data has only what was given."""
    full = ImageRequest(
        tool="edit_image", prompt="p", model="m", image="i", reference_images=("a", "b"), seed=0, aspect_ratio="1:1"
    )
    assert ImageRequest.from_plain(full.as_plain()) == full
    assert REQUEST.as_plain() == {"tool": "imagine", "prompt": "p", "model": "m"}


def test_a_refusal_does_not_undo_a_webhook() -> None:
    """The provider has the task, so it is neither free nor sent again."""
    sent = NEW.sent(2.0, 500.0)
    known = sent.accepted(Prediction(prediction_id="p", status=Status.RUNNING, poll_url="https://a.test/p"), 3.0)
    for changed in (known.refused(FAILURE, 4.0), known.requeue(4.0), known.sent(4.0)):
        assert changed == known
    assert known.accepted(Prediction(prediction_id="p", status=Status.RUNNING), 5.0).poll_url == "https://a.test/p"


def test_transient_notices_end_with_the_response_of_the_provider() -> None:
    """With every response; other notices stay."""
    queued = NEW.noticed(CHARGED, 2.0).noticed_transiently(RETRYING, 3.0)
    assert queued.noticed_transiently(RETRYING, 4.0) == queued
    running = Prediction(prediction_id="p", status=Status.RUNNING)
    for reported in (
        queued.sent(5.0).accepted(running, 6.0),
        queued.refused(FAILURE, 5.0),
        queued.sent(5.0).failed(FAILURE, 6.0),
    ):
        assert (reported.notices, reported.transient_notices) == ((CHARGED,), ())
