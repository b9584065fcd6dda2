"""The contract of an adapter (`journey_mcp.providers`): the same tests for every provider of the registry.

Each runs against the sandbox. What is particular to one protocol is tested in the file of its adapter.
"""

import asyncio
import json
import logging
import random
import traceback
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from io import BytesIO
from itertools import product
from typing import Any

import httpx2
import pytest
from manual_clock import ManualClock
from PIL import Image
from recording import SECRET, recorder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support import coarse, serving

from journey_mcp import registry, sandbox
from journey_mcp.core.errors import (
    CredentialsRejected,
    JourneyError,
    OutOfCredits,
    RateLimited,
    Refused,
    SubmissionUnconfirmed,
    Unreachable,
    UpstreamError,
)
from journey_mcp.core.images import InputImage
from journey_mcp.core.predictions import Handle, Prediction, Status
from journey_mcp.core.requests import PreparedRequest
from journey_mcp.providers.accounts import accounts_of
from journey_mcp.providers.base import Provider, SupportsBalance, SupportsCancel, SupportsUpload, SupportsWebhooks
from journey_mcp.providers.clients import ADAPTERS
from journey_mcp.providers.http import MAX_SUBMIT_S, POLL_TIMEOUT_S, new_http_client, read_url
from journey_mcp.registry import Offer
from journey_mcp.registry.facts import Feature
from journey_mcp.settings import read_settings

REGISTRY = registry.load()
PROVIDERS = tuple(REGISTRY.providers)
KEY = "key-of-the-contract-tests"
OTHER_KEY = "another-key-of-the-contract-tests"
PROMPT = "a red kite over the dunes"
BLOCKED = f"{PROMPT}, {sandbox.Settings().blocked_word}"
UNKNOWN = Handle(prediction_id="unknown-to-the-provider")
RUNNING, DONE, FAILED, CANCELED = Status.RUNNING, Status.SUCCEEDED, Status.FAILED, Status.CANCELED
ID_FIELDS = "id+task_id"
OTHER_FIELDS = "task_type+model+version+created_at+percentage+progress+details+preview+urls"
IMAGE_FIELDS = "output+result+image_url+image_urls+original_image_url"
"""Fields of task objects in the words of all protocols; a new protocol adds its words. A provider that does not have
one does not miss it."""


def providers_with(feature: Feature) -> tuple[str, ...]:
    """Return the providers that have a feature, by the registry."""
    return tuple(name for name, facts in REGISTRY.providers.items() if feature in facts.features)


every_provider = pytest.mark.parametrize("name", PROVIDERS)
with_balance = pytest.mark.parametrize(
    "name", [name for name, facts in REGISTRY.providers.items() if hasattr(ADAPTERS[facts.wire], "balance")]
)
with_cancel = pytest.mark.parametrize("name", providers_with("cancel"))
with_upload = pytest.mark.parametrize("name", providers_with("upload"))
with_webhook = pytest.mark.parametrize("name", providers_with("webhook"))


def new_adapter(name: str, base_url: str, http: httpx2.AsyncBaseTransport, key: str = KEY) -> Provider:
    """Return the adapter of a provider, made of settings as the server makes it."""
    facts = REGISTRY.providers[name]
    settings = read_settings({facts.key_variable: key, facts.base_url_variable: base_url})
    (account,) = accounts_of(settings, REGISTRY)
    return ADAPTERS[facts.wire](account, http)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """An adapter at a running sandbox."""

    name: str
    api: Provider
    running: sandbox.Running

    @property
    def offer(self) -> Offer:
        """The first offer that needs no image."""
        return next(o for o in REGISTRY.offers if o.provider == self.name and not o.is_edit_only)

    @property
    def outcomes(self) -> list[str]:
        """What the sandbox did with each creating request that it received."""
        return [entry.outcome for entry in self.running.sandbox.request_log.submissions]

    def fail(self, *faults: str | sandbox.Fault) -> None:
        """Set what goes wrong from now on."""
        self.running.sandbox.faults.replace(map(as_fault, faults))

    async def submit(self, offer: Offer | None = None, **more: Any) -> Prediction:
        """Send a creating request."""
        offer = offer or self.offer
        return checked(await self.api.submit(PreparedRequest(**{"prompt": PROMPT, **more}), offer))

    async def fetch(self, prediction: Prediction) -> Prediction:
        """Ask for one prediction."""
        handle = handle_of(prediction)
        return checked((await self.api.fetch([handle]))[handle.prediction_id])

    def verbs(self) -> Iterator[Awaitable[object]]:
        """Call everything that the provider can be asked."""
        yield self.api.submit(PreparedRequest(prompt=PROMPT), self.offer)
        yield self.api.fetch([UNKNOWN])
        if REGISTRY.providers[self.name].batch_limit > 1:
            yield self.api.fetch([UNKNOWN, replace(UNKNOWN, prediction_id="another")])
        if isinstance(self.api, SupportsBalance):
            yield self.api.balance()
        if self.name in providers_with("cancel"):
            assert isinstance(self.api, SupportsCancel)
            yield self.api.cancel(UNKNOWN)
        if self.name in providers_with("upload"):
            assert isinstance(self.api, SupportsUpload)
            yield self.api.upload(PreparedRequest(prompt=PROMPT, images=(LARGE,)))


def as_fault(fault: str | sandbox.Fault) -> sandbox.Fault:
    """Read a fault that is given as text."""
    return sandbox.Fault.parse(fault) if isinstance(fault, str) else fault


@asynccontextmanager
async def connected(
    name: str, *faults: str | sandbox.Fault, key: str = KEY, speed: float = 0
) -> AsyncIterator[Connection]:
    """Connect the adapter of a provider to a sandbox that accepts one key."""
    accepting: dict[str, Any] = {name: replace(getattr(coarse(), name), keys=(KEY,))}
    settings = coarse(speed=speed, faults=tuple(map(as_fault, faults)), **accepting)
    async with sandbox.running(settings) as running, new_http_client() as http:
        yield Connection(name=name, api=new_adapter(name, running.base_urls[name], http, key), running=running)


def handle_of(prediction: Prediction) -> Handle:
    """Return what is kept of a prediction."""
    return Handle(prediction_id=prediction.prediction_id, poll_url=prediction.poll_url)


def checked(prediction: Prediction) -> Prediction:
    """Return a prediction that keeps what every prediction promises."""
    assert prediction.prediction_id
    assert (prediction.failure is not None) == (prediction.status is FAILED)
    assert prediction.status is not DONE or prediction.images
    assert all(read_url(image.url) == image.url for image in prediction.images)
    assert prediction.progress is None or 0 <= prediction.progress <= 1
    assert not prediction.is_empty or (prediction.status, prediction.images) == (RUNNING, ())
    return prediction


async def said(call: Awaitable[object]) -> str:
    """Return everything that a caller or a log can show of a call: its result, or its error with all causes."""
    try:
        return repr(await call)
    except JourneyError as error:
        return f"{error.failure!r} {''.join(traceback.format_exception(error))}"


@cache
def png(side: int = 320) -> bytes:
    """Return an image."""
    file = BytesIO()
    Image.new("RGB", (side, side), "teal").save(file, "PNG")
    return file.getvalue()


LARGE = InputImage(content=random.Random(7).randbytes(400_000), mime_type="image/png")
"""Too large for a request, where the provider takes uploads."""


@asynccontextmanager
async def image_server() -> AsyncIterator[str]:
    """Serve an image; yield its address."""

    async def answer(_request: Request) -> Response:
        return Response(png(), media_type="image/png")

    async with serving(Starlette(routes=[Route("/image.png", answer)])) as origin:
        yield f"{origin}/image.png"


# --- the life of a task


@every_provider
async def test_a_task_runs_and_ends_with_its_images(name: str) -> None:
    """A poll returns status and progress, and the images as soon as they exist; if at once, the response has them."""
    async with connected(name, speed=1) as up:
        clock = ManualClock()
        submitted = await up.submit()
        if up.offer.synchronous:
            assert (submitted.status, bool(submitted.images)) == (DONE, True)
        else:
            early = await up.fetch(submitted)
            assert (submitted.status, early.status, early.images) == (RUNNING, RUNNING, ())
            clock.advance(100)
        late = await up.fetch(submitted)
        assert late.prediction_id == submitted.prediction_id
        assert (late.status, len(late.images)) == (DONE, 4 if up.offer.result == "grid" else 1)
        assert late.progress in {None, 1.0}
        assert all(image.url.startswith(up.running.origin) for image in late.images)
        assert up.outcomes == ["created"]


@pytest.mark.parametrize("offer", REGISTRY.offers, ids=lambda offer: f"{offer.provider}-{offer.model}")
async def test_every_offer_is_accepted_in_full(offer: Offer) -> None:
    """The provider takes as many images as the registry states, and each value of each option."""
    async with connected(offer.provider) as up, image_server() as url:
        is_data = offer.images.takes_data
        image = InputImage(content=png(), mime_type="image/png") if is_data else InputImage(url=url)
        taken = offer.images.maximum if offer.images.is_taken else 0
        images, mask = (image,) * taken, image if offer.images.mask_field else None
        submitted = await up.submit(offer, images=images, mask=mask)
        assert (submitted.status is DONE) == offer.synchronous
        fetched = await up.fetch(submitted)
        assert (fetched.status, len(fetched.images)) == (DONE, 4 if offer.result == "grid" else 1)
        fewest = images[: offer.images.minimum]
        for option, value in single_options(offer, has_images=bool(fewest)):
            await up.submit(offer, images=fewest, mask=mask, options={option: value})
        assert set(up.outcomes) == {"created"}
        assert up.running.sandbox.request_log.misplaced_keys == ()


def single_options(offer: Offer, *, has_images: bool) -> Iterator[tuple[str, Any]]:
    """Yield each option that can be sent alone with its values: all of a list, or both ends of a range."""
    for option, parameter in offer.parameters.items():
        is_size = option in {"width", "height"} and offer.size_field is not None
        is_computed = option == "aspect_ratio" and offer.ratio_pixels is not None
        highest = parameter.maximum_with_images if has_images else None
        for value in parameter.values or (parameter.minimum, highest or parameter.maximum):
            if value is not None and not is_size and not is_computed:
                yield option, value


@every_provider
async def test_an_unknown_id_is_left_out(name: str) -> None:
    """It is no error: the engine decides how long to wait for it."""
    async with connected(name) as up:
        assert await up.api.fetch([UNKNOWN]) == {}


@pytest.mark.parametrize("name", [name for name, facts in REGISTRY.providers.items() if facts.batch_limit > 1])
async def test_several_tasks_are_fetched_with_one_request(name: str) -> None:
    """Answers are matched by id; an unknown id among them is left out."""
    async with connected(name) as up:
        submitted = [await up.submit() for _ in range(3)]
        before = sum(up.running.sandbox.request_log.requests.values())
        fetched = await up.api.fetch([UNKNOWN, *map(handle_of, reversed(submitted))])
        assert {id_: prediction.status for id_, prediction in fetched.items()} == {
            prediction.prediction_id: DONE for prediction in submitted
        }
        assert sum(up.running.sandbox.request_log.requests.values()) == before + 1


@every_provider
async def test_an_unknown_status_word_means_running(name: str) -> None:
    """Whatever else the answer has."""
    async with connected(name, "fetch:status_word=dreaming") as up:
        submitted = await up.submit()
        assert (await up.fetch(submitted)).status is RUNNING
        assert (await up.fetch(submitted)).status is DONE


@every_provider
async def test_an_answer_without_the_id_is_about_the_task_that_was_asked_for(name: str) -> None:
    """A missing field loses no result."""
    async with connected(name, f"fetch:drop_fields={ID_FIELDS}+{OTHER_FIELDS}") as up:
        assert (await up.fetch(await up.submit())).status is DONE


@every_provider
async def test_a_finished_task_without_images_is_empty(name: str) -> None:
    """The next answer may have them."""
    async with connected(name, f"fetch:drop_fields={IMAGE_FIELDS}") as up:
        submitted = await up.submit()
        assert (await up.fetch(submitted)).is_empty, "IMAGE_FIELDS needs the provider's words"
        assert (await up.fetch(submitted)).status is DONE


@every_provider
@pytest.mark.parametrize(
    ("more", "fault", "words"),
    [({"prompt": BLOCKED}, None, ""), ({}, "submit:fail_task=Out of paint", "Out of paint")],
    ids=["moderated", "failed"],
)
async def test_a_failed_task_has_a_code_and_the_reason(
    name: str, more: dict[str, Any], fault: str | None, words: str
) -> None:
    """A task that moderation refuses fails like any other."""
    async with connected(name, *([fault] if fault else [])) as up:
        failed = await up.fetch(await up.submit(**more))
        assert (failed.status, failed.images) == (FAILED, ())
        assert failed.failure is not None
        assert failed.failure.code == "generation_failed"
        assert words in failed.failure.message
        assert failed.failure.next_step


# --- creating requests that fail

NOT_CREATED: list[tuple[str, type[JourneyError], str]] = [
    ("submit:status=401", CredentialsRejected, "does not accept the key"),
    ("submit:status=402", OutOfCredits, "too little money"),
    ("submit:status=429", RateLimited, "at its limit"),
    ("submit:status=400", Refused, "HTTP 400"),
    ("submit:status=404", Refused, "HTTP 404"),
    ("submit:status=413", Refused, "HTTP 413"),
    ("submit:status=422", Refused, "HTTP 422"),
]
PERHAPS_CREATED = [
    *((f"submit:status={status}", f"HTTP {status}") for status in (302, 408, 409, 425, 499, 500, 502, 503, 504)),
    ("submit:status_after=500", "HTTP 500"),
    ("submit:status_after=504", "HTTP 504"),
    ("submit:reset", "broke off"),
    ("submit:reset_after", "broke off"),
    ("submit:cut_body", "broke off"),
    ("submit:bad_json", "without a task id"),
    ("submit:wrong_type", "without a task id"),
    ("submit:empty_object", "without a task id"),
    (f"submit:drop_fields={ID_FIELDS}", "without a task id"),
    ("submit:huge_body", "more than"),
]


def check_free(error: JourneyError) -> None:
    """Nothing was created, and the error says that nothing was charged."""
    assert "Nothing was" in str(error.failure.next_step)
    assert KEY not in repr(error.failure)


@every_provider
@pytest.mark.parametrize(("fault", "error", "words"), NOT_CREATED, ids=[fault for fault, *_ in NOT_CREATED])
async def test_a_refused_creating_request_costs_nothing(
    name: str, fault: str, error: type[JourneyError], words: str
) -> None:
    """It is sent once."""
    async with connected(name, fault) as up:
        with pytest.raises(error) as raised:
            await up.submit()
        assert type(raised.value) is error
        assert words in str(raised.value)
        check_free(raised.value)
        assert up.outcomes == [f"refused {fault.rpartition('=')[2]}"]


@every_provider
@pytest.mark.parametrize(("fault", "words"), PERHAPS_CREATED, ids=[fault for fault, _ in PERHAPS_CREATED])
async def test_a_creating_request_without_a_usable_answer_is_unconfirmed(name: str, fault: str, words: str) -> None:
    """It is sent once, and nothing claims that it is free or can be repeated."""
    async with connected(name, fault) as up:
        with pytest.raises(SubmissionUnconfirmed) as raised:
            await up.submit()
        failure = raised.value.failure
        assert words in failure.message
        assert (failure.code, failure.retryable, failure.retry_after_s) == ("submission_unconfirmed", False, None)
        assert "Nothing was" not in f"{failure.message} {failure.next_step}"
        assert "may be paid" in str(failure.next_step) or "be paid for" in str(failure.next_step)
        assert KEY not in repr(failure)
        assert len(up.outcomes) == 1


@every_provider
async def test_a_wrong_key_is_rejected(name: str) -> None:
    """For every method; the error names the variable and not the key."""
    async with connected(name, key=OTHER_KEY) as up:
        for call in up.verbs():
            with pytest.raises(CredentialsRejected, match="does not accept the key") as raised:
                await call
            assert REGISTRY.providers[name].key_variable in str(raised.value.failure.next_step)
            assert OTHER_KEY not in repr(raised.value.failure)
            check_free(raised.value)
        assert [outcome.split()[0] for outcome in up.outcomes] == ["refused"]


@every_provider
async def test_an_empty_balance_is_no_other_refusal(name: str) -> None:
    """In any form of the provider."""
    async with connected(name) as up:
        up.running.services[name].balance = 0
        with pytest.raises(OutOfCredits) as raised:
            await up.submit()
        check_free(raised.value)
        up.running.services[name].balance = 1000
        await up.submit()
        assert [outcome.split()[0] for outcome in up.outcomes] == ["refused", "created"]


@every_provider
@pytest.mark.parametrize(
    ("header", "retry_after_s"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-5", 0.0),
        ("99999", 3600.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
async def test_retry_after_is_read_in_seconds(name: str, header: str | None, retry_after_s: float | None) -> None:
    """At most an hour; anything else counts as not stated."""
    headers = {} if header is None else {"Retry-After": header}
    fault = sandbox.Fault(on="submit", kind="status", status=429, body={}, headers=headers)
    async with connected(name, fault) as up:
        with pytest.raises(RateLimited) as raised:
            await up.submit()
        assert raised.value.failure.retry_after_s == retry_after_s


@every_provider
@pytest.mark.parametrize("status", [200, 201, 202, 302, 408, 500, 503])
async def test_an_id_counts_with_every_status_that_is_no_refusal(name: str, status: int) -> None:
    """A created task is never dropped."""
    body = {"id": "d9k2", "task_id": "d9k2"}
    async with connected(name, sandbox.Fault(on="submit", kind="status", status=status, body=body)) as up:
        assert (await up.submit()).prediction_id == "d9k2"


@every_provider
@pytest.mark.parametrize("fault", ["submit:delay=3600", "submit:drip=60"])
async def test_a_creating_request_has_a_time_limit(name: str, fault: str) -> None:
    """As a whole, however its bytes arrive; then it is unconfirmed."""
    loop = asyncio.get_running_loop()
    async with connected(name, fault) as up:
        began = loop.time()
        with pytest.raises(SubmissionUnconfirmed, match="broke off"):
            await up.submit()
        assert POLL_TIMEOUT_S < loop.time() - began < MAX_SUBMIT_S
        assert up.outcomes == ["created"]


# --- questions that fail


@every_provider
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status=302", UpstreamError),
        ("status=408", UpstreamError),
        ("status=500", UpstreamError),
        ("status=503", UpstreamError),
        ("status_after=500", UpstreamError),
        ("status=429", RateLimited),
        ("status=401", CredentialsRejected),
        ("reset", UpstreamError),
        ("reset_after", UpstreamError),
        ("cut_body", UpstreamError),
        ("bad_json", UpstreamError),
        ("wrong_type", UpstreamError),
        ("huge_body", UpstreamError),
    ],
)
async def test_a_poll_that_fails_is_an_error_and_no_result(name: str, fault: str, error: type[JourneyError]) -> None:
    """A task does not count as lost because an answer was broken; the next poll finds it."""
    async with connected(name, f"fetch:{fault}") as up:
        submitted = await up.submit()
        with pytest.raises(error) as raised:
            await up.fetch(submitted)
        assert not isinstance(raised.value, Refused | SubmissionUnconfirmed)
        assert (await up.fetch(submitted)).status is DONE


@every_provider
@pytest.mark.parametrize("fault", ["fetch:delay=3600", "fetch:drip=1"])
async def test_a_poll_has_a_time_limit(name: str, fault: str) -> None:
    """It can be repeated at any time."""
    loop = asyncio.get_running_loop()
    async with connected(name, fault) as up:
        submitted = await up.submit()
        began = loop.time()
        with pytest.raises(UpstreamError, match="broke off"):
            await up.fetch(submitted)
        assert loop.time() - began == pytest.approx(POLL_TIMEOUT_S, abs=0.001)


@every_provider
async def test_without_a_connection_nothing_is_sent(name: str) -> None:
    """Every method says so, and that it costs nothing."""
    async with connected(name) as up:
        pass
    async with new_http_client() as http:
        closed = replace(up, api=new_adapter(name, up.running.base_urls[name], http))
        for call in closed.verbs():
            with pytest.raises(Unreachable, match="No connection") as raised:
                await call
            assert raised.value.failure.retryable
            check_free(raised.value)


@every_provider
async def test_no_redirect_is_followed(name: str) -> None:
    """The key goes to the configured address only."""
    async with sandbox.running(coarse(speed=0)) as other, connected(name) as up:
        location = {"Location": f"{other.base_urls[name]}/fetch?id=1"}
        places = ("submit", "fetch", "fetch_many", "account", "cancel", "upload")
        up.fail(*(sandbox.Fault(on=on, kind="status", status=307, headers=location, body={}) for on in places))
        for call in up.verbs():
            with pytest.raises(UpstreamError):
                await call
        assert sum(other.sandbox.request_log.requests.values()) == 0


# --- secrets

ECHOES: tuple[Any, ...] = (
    f"bad {KEY}",
    {KEY: KEY},
    {"message": f"bad {KEY}"},
    {"detail": f"bad {KEY}"},
    {"detail": [{"loc": ["header", KEY], "msg": KEY, "input": KEY}]},
    {"error": f"bad {KEY}"},
    {"error": {"message": f"bad {KEY}"}},
    {"errors": [{"msg": f"bad {KEY}"}]},
)
"""What a provider that returns the key may answer."""


@every_provider
@pytest.mark.parametrize("status", [200, 302, 400, 401, 402, 403, 404, 422, 429, 500])
async def test_a_key_that_the_provider_returns_is_in_no_message(name: str, status: int) -> None:
    """Of any method, with any status, in any form of a body."""
    async with connected(name) as up:
        places = ("submit", "fetch", "fetch_many", "account", "cancel", "upload")
        for body in ECHOES:
            up.fail(*(sandbox.Fault(on=on, kind="status", status=status, body=body, times=None) for on in places))
            shown = "".join([await said(call) for call in up.verbs()])
            assert KEY not in shown, body
            assert "[secret]" in shown or status not in {400, 422, 500}, body


@every_provider
async def test_a_key_that_the_provider_returns_is_in_no_prediction(name: str) -> None:
    """Neither as an id nor in an address, a seed or a reason."""
    url = f"https://example.test/{KEY}"
    task = {"id": KEY, "task_id": KEY, "polling_url": url, "error": KEY, "details": KEY, "seed": KEY}
    images = {"image_url": url, "original_image_url": url, "result": {"sample": url, "seed": KEY}}
    outputs = (url, [url], [{"content": [{"type": "image", "url": url}]}])
    words = ("running", "failed", "error", "finished", "completed", "succeeded", "ready")
    async with connected(name) as up:
        for word, output in product(words, outputs):
            body = {**task, **images, "output": output, "status": word}
            places = ("submit", "fetch")
            up.fail(*(sandbox.Fault(on=on, kind="status", status=200, body=body) for on in places))
            shown = await said(up.submit()) + await said(up.api.fetch([UNKNOWN]))
            assert KEY not in shown, word
            assert "[secret]" in shown, word


@every_provider
async def test_the_key_is_in_no_log_and_not_shown_by_the_adapter(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """At any level, of any library."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="journey_mcp")  # an earlier test may have set another one
    async with connected(name) as up:
        for call in up.verbs():
            assert KEY not in await said(call)
        assert KEY not in repr(up.api)
    assert caplog.records
    assert KEY not in caplog.text


@with_webhook
async def test_the_secret_of_a_task_is_in_no_message(name: str) -> None:
    """Neither in a request, nor in an answer to it, if the protocol sends the secret at all."""
    async with connected(name) as up, recorder() as receiver:
        request = PreparedRequest(prompt=PROMPT, webhook=receiver.webhook())
        assert SECRET not in repr(request)
        await up.api.submit(request, up.offer)
        is_sent = SECRET in repr(up.running.sandbox.request_log.submissions)
        for status in (200, 400, 401, 402, 422, 500) if is_sent else ():
            for body in json.loads(json.dumps(ECHOES).replace(KEY, SECRET)):
                up.fail(sandbox.Fault(on="submit", kind="status", status=status, body=body))
                assert SECRET not in await said(up.api.submit(request, up.offer)), body


# --- balance, if the protocol has it


@with_balance
@pytest.mark.parametrize("left", [1000, 996.5, 0])
async def test_the_balance_is_what_is_left(name: str, left: float) -> None:
    """With its unit."""
    async with connected(name) as up:
        assert isinstance(up.api, SupportsBalance)
        up.running.services[name].balance = left
        balance = await up.api.balance()
        # a credit of Black Forest Labs is a cent
        assert Decimal(balance.amount) * (100 if balance.unit == "usd" else 1) == Decimal(str(left))
        assert balance.unit == registry.load().providers[name].unit


@with_balance
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status=500", UpstreamError),
        ("status=429", RateLimited),
        ("status=401", CredentialsRejected),
        ("reset", UpstreamError),
        ("cut_body", UpstreamError),
        ("bad_json", UpstreamError),
        ("wrong_type", UpstreamError),
        ("empty_object", UpstreamError),
        ("huge_body", UpstreamError),
    ],
)
async def test_a_balance_that_is_not_stated_is_an_error(name: str, fault: str, error: type[JourneyError]) -> None:
    """It is never a guess."""
    async with connected(name, f"account:{fault}") as up:
        assert isinstance(up.api, SupportsBalance)
        with pytest.raises(error):
            await up.api.balance()


# --- the feature `cancel`


@with_cancel
async def test_a_running_task_is_canceled_and_a_finished_one_stays(name: str) -> None:
    """The answer is the state of the task."""
    async with connected(name, "submit:hang") as up:
        running, finished = await up.submit(), await up.submit()
        assert isinstance(up.api, SupportsCancel)
        assert checked(await up.api.cancel(handle_of(running))).status is CANCELED
        assert (await up.fetch(running)).status is CANCELED
        assert checked(await up.api.cancel(handle_of(finished))).status is DONE


@with_cancel
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status=404", UpstreamError),
        ("status=500", UpstreamError),
        ("status=401", CredentialsRejected),
        ("reset", UpstreamError),
        ("cut_body", UpstreamError),
        ("bad_json", UpstreamError),
        ("empty_object", UpstreamError),
    ],
)
async def test_a_cancelation_that_fails_is_an_error(name: str, fault: str, error: type[JourneyError]) -> None:
    """Nothing is known of the task then."""
    async with connected(name, f"cancel:{fault}") as up:
        submitted = await up.submit()
        assert isinstance(up.api, SupportsCancel)
        with pytest.raises(error):
            await up.api.cancel(handle_of(submitted))


# --- the feature `upload`


@with_upload
async def test_a_large_image_is_uploaded_before_the_creating_request(name: str) -> None:
    """The request goes on with its address; nothing is created by the upload, and nothing else is changed."""
    small, elsewhere = InputImage(content=png(), mime_type="image/png"), InputImage(url="https://example.test/a.png")
    asked = PreparedRequest(prompt=PROMPT, images=(LARGE, small, elsewhere), mask=LARGE, options={"seed": 7})
    async with connected(name) as up:
        assert isinstance(up.api, SupportsUpload)
        uploaded = await up.api.upload(asked)
        assert up.outcomes == []
        assert uploaded.mask is not None
        assert all(image.url and not image.content for image in (uploaded.images[0], uploaded.mask))
        assert replace(uploaded, images=(LARGE, *uploaded.images[1:]), mask=LARGE) == asked


@with_upload
@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("status=413", Refused, "HTTP 413"),
        ("status=422", Refused, "HTTP 422"),
        ("status=401", CredentialsRejected, "does not accept the key"),
        ("status=402", OutOfCredits, "too little money"),
        ("status=429", RateLimited, "at its limit"),
        ("status=500", Unreachable, "did not accept the image (HTTP 500)"),
        ("status=302", Unreachable, "did not accept the image (HTTP 302)"),
        ("status=408", Unreachable, "did not accept the image (HTTP 408)"),
        ("status_after=502", Unreachable, "HTTP 502"),
        ("reset", Unreachable, "could not be uploaded"),
        ("reset_after", Unreachable, "could not be uploaded"),
        ("cut_body", Unreachable, "could not be uploaded"),
        ("bad_json", Unreachable, "did not accept the image"),
        ("wrong_type", Unreachable, "did not accept the image"),
        ("empty_object", Unreachable, "did not accept the image"),
        ("drop_fields=urls", Unreachable, "did not accept the image"),
        ("huge_body", Unreachable, "could not be uploaded"),
    ],
)
async def test_an_upload_that_fails_costs_nothing(name: str, fault: str, error: type[JourneyError], words: str) -> None:
    """It is tried once, and nothing was created."""
    async with connected(name, f"upload:{fault}") as up:
        assert isinstance(up.api, SupportsUpload)
        with pytest.raises(error) as raised:
            await up.api.upload(PreparedRequest(prompt=PROMPT, images=(LARGE,)))
        assert type(raised.value) is error
        assert words in str(raised.value)
        check_free(raised.value)
        assert sum(up.running.sandbox.request_log.requests.values()) == 1


# --- the feature `webhook`


@with_webhook
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (None, DONE),
        ("submit:fail_task=Out of paint", FAILED),
        ("webhook:status_word=dreaming", RUNNING),
        (f"webhook:drop_fields={IMAGE_FIELDS}", RUNNING),
    ],
)
async def test_a_webhook_states_what_a_poll_would(name: str, fault: str | None, status: Status) -> None:
    """A task that is not finished by its words is polled for."""
    async with connected(name, *([fault] if fault else [])) as up, recorder() as receiver:
        submitted = await up.submit(webhook=receiver.webhook())
        assert isinstance(up.api, SupportsWebhooks)
        read = await up.api.read_webhook(await receiver.delivery())
        assert read is not None
        assert (checked(read).prediction_id, read.status) == (submitted.prediction_id, status)
        polled = await up.fetch(submitted)
        if status.is_final:
            assert read == polled
        else:
            assert read.images == (() if "drop_fields" in str(fault) else polled.images)


@with_webhook
async def test_a_webhook_without_a_proof_is_not_believed(name: str) -> None:
    """Anyone can post to the address."""
    async with connected(name) as up, recorder() as receiver:
        await up.submit(webhook=receiver.webhook())
        assert isinstance(up.api, SupportsWebhooks)
        genuine = await receiver.delivery()
        assert SECRET not in repr(genuine)
        for headers in ({}, dict.fromkeys(genuine.headers, ""), dict.fromkeys(genuine.headers, "x")):
            assert await up.api.read_webhook(replace(genuine, headers=headers)) is None
        assert await up.api.read_webhook(genuine) is not None
