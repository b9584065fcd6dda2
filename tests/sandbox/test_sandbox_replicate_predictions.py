"""Predictions: statuses, waiting, deadlines, cancellation, retention, and the list."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx2 import Response
from manual_clock import ManualClock, until

from journey_mcp.sandbox import Fault, ReplicateSettings, Settings

from .replicate_upstream import PRO, SCHNELL, Upstream, upstream

BOTH = pytest.mark.parametrize("service", ["kkiai", "replicate"])
HANG = (Fault(on="submit", kind="hang"),)


def at_real_speed(*, faults: tuple[Fault, ...] = (), **replicate: Any) -> Settings:
    return Settings(speed=1, seed=3, faults=faults, replicate=ReplicateSettings(**replicate))


def seconds(payload: Any, name: str) -> float:
    """Return the seconds from the creation of a prediction to a date in it."""
    date, created = (datetime.fromisoformat(payload[field]) for field in (name, "created_at"))
    return (date - created).total_seconds()


async def waiting(up: Upstream, preference: str = "wait", **inputs: Any) -> "asyncio.Task[Response]":
    """Start a creation that waits; return when the sandbox has received it."""
    tasks = up.running.sandbox.tasks
    before = tasks.running_of("replicate")
    creation = asyncio.create_task(up.predict(headers={"Prefer": preference}, **inputs))
    await until(lambda: tasks.running_of("replicate") == before + 1)
    return creation


@BOTH
async def test_a_prediction_passes_the_documented_states(service: str) -> None:
    clock = ManualClock()
    async with upstream(service, at_real_speed()) as up:
        payload = await up.made()
        seen = []
        for _ in range(150):
            payload = await up.fetch(payload["id"])
            seen.append(
                (payload["status"], payload["output"] is None, "started_at" in payload, "completed_at" in payload)
            )
            clock.advance(0.1)
        assert list(dict.fromkeys(seen)) == [
            ("starting", True, False, False),
            ("processing", True, True, False),
            ("succeeded", False, True, True),
        ]
        assert seconds(payload, "started_at") == pytest.approx(1, abs=0.002)
        assert 7 <= seconds(payload, "completed_at") <= 13
        assert payload["metrics"]["total_time"] == pytest.approx(payload["metrics"]["predict_time"] + 1)
        assert payload["logs"].startswith("Using seed: ")


async def test_dates_start_today_and_follow_the_clock() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed()) as up:
        first = datetime.fromisoformat((await up.made())["created_at"])
        clock.advance(3_600)
        second = datetime.fromisoformat((await up.made())["created_at"])
        assert abs((datetime.now(UTC) - first).total_seconds()) < 60
        assert (second - first).total_seconds() == pytest.approx(3_600, abs=0.002)


async def test_a_creation_that_waits_returns_the_output_with_the_status_processing() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed()) as up:
        creation = await waiting(up, "wait=20")
        clock.advance(13)
        response = await creation
        payload = response.json()
        assert (response.status_code, payload["status"], payload["error"]) == (201, "processing", None)
        assert response.headers["preference-applied"] == "wait=20"
        assert "location" not in response.headers
        assert not {"completed_at", "metrics"} & payload.keys()
        assert (await up.image(payload["output"])).status_code == 200
        assert (await up.fetch(payload["id"]))["status"] == "succeeded"


async def test_a_creation_that_waits_may_return_the_status_succeeded() -> None:
    settings = Settings(speed=0, replicate=ReplicateSettings(sync_status="succeeded"))
    async with upstream("replicate", settings) as up:
        payload = (await up.predict(SCHNELL, headers={"Prefer": "wait"}, num_outputs=2)).json()
        assert (payload["status"], len(payload["output"])) == ("succeeded", 2)
        assert payload == await up.fetch(payload["id"])


async def test_a_creation_that_waits_returns_its_failure() -> None:
    async with upstream("replicate", Settings(speed=0)) as up:
        response = await up.predict(headers={"Prefer": "wait"}, prompt="forbidden-in-sandbox")
        payload = response.json()
        assert (response.status_code, payload["status"], payload["output"]) == (201, "failed", None)
        assert payload["error"] == "The prompt was refused by the content policy"


@pytest.mark.parametrize(("choice", "status"), [({}, "starting"), ({"timed_out_status": "as it is"}, "processing")])
async def test_a_creation_whose_wait_ends_returns_the_url_to_poll(choice: dict[str, Any], status: str) -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed(**choice)) as up:
        creation = await waiting(up, "wait=5")
        clock.advance(4.9)
        assert not creation.done()
        clock.advance(0.1)
        response = await creation
        payload = response.json()
        assert (response.status_code, payload["status"], payload["output"]) == (202, status, None)
        assert response.headers["location"] == payload["urls"]["get"]
        assert (await up.client.get(response.headers["location"])).json()["status"] == "processing"


async def test_a_creation_whose_wait_ends_can_return_foreign_urls() -> None:
    faults = (*HANG, Fault.parse("replicate/submit:foreign_url=http://elsewhere.test"))
    async with upstream("replicate", Settings(speed=0, faults=faults)) as up:
        response = await up.predict(headers={"Prefer": "wait"})
        url = f"http://elsewhere.test/replicate/v1/predictions/{response.json()['id']}"
        assert (response.status_code, response.headers["location"], response.json()["urls"]["get"]) == (202, url, url)


async def test_a_wait_without_a_number_ends_after_a_minute() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed(faults=HANG)) as up:
        creation = await waiting(up)
        clock.advance(60)
        assert (await creation).status_code == 202


async def test_a_creation_that_waits_returns_its_cancellation() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed()) as up:
        creation = await waiting(up)
        (payload,) = (await up.client.get("/predictions")).json()["results"]
        await up.client.post(f"/predictions/{payload['id']}/cancel")
        clock.advance(13)
        response = await creation
        assert (response.status_code, response.json()["status"], response.json()["output"]) == (201, "canceled", None)


@pytest.mark.parametrize("preference", ["wait=0", "wait=61", "wait=100", "wait=x", "respond-async", ""])
async def test_invalid_preferences_are_rejected(preference: str) -> None:
    async with upstream("replicate", Settings()) as up:
        response = await up.predict(headers={"Prefer": preference})
        assert (response.status_code, response.json()["detail"]) == (
            422,
            "- Prefer: Must be wait or wait=N with N from 1 to 60",
        )


async def test_the_published_pattern_allows_longer_waits() -> None:
    async with upstream("replicate", Settings(speed=0, replicate=ReplicateSettings(longest_wait_s=99))) as up:
        assert (await up.predict(headers={"Prefer": "wait=99"})).status_code == 201


async def test_kkiai_does_not_wait() -> None:
    async with upstream("kkiai", Settings(speed=1)) as up:
        response = await up.predict(headers={"Prefer": "wait=100", "Cancel-After": "1"})
        assert (response.status_code, response.json()["status"]) == (200, "starting")
        assert "preference-applied" not in response.headers
        assert "deadline" not in response.json()


@pytest.mark.parametrize(
    ("boot_s", "status", "has_started", "balance"), [(30.0, "aborted", False, 10), (1.0, "canceled", True, 9)]
)
async def test_a_deadline_aborts_a_starting_prediction_and_cancels_a_running_one(
    boot_s: float, status: str, has_started: bool, balance: float
) -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed(boot_s=boot_s, balance=10, prices={PRO: 1.0})) as up:
        response = await up.predict(headers={"Cancel-After": "5s"})
        payload = response.json()
        assert (response.status_code, payload["status"]) == (201, "starting")
        assert seconds(payload, "deadline") == pytest.approx(5, abs=0.002)
        clock.advance(4.9)
        assert (await up.fetch(payload["id"]))["status"] in ("starting", "processing")
        clock.advance(0.1)
        payload = await up.fetch(payload["id"])
        assert (payload["status"], payload["output"], payload["error"]) == (status, None, None)
        assert ("started_at" in payload) == has_started
        assert seconds(payload, "completed_at") == pytest.approx(5, abs=0.002)
        assert up.account.balance == balance
        assert (await up.image(f"{up.running.origin}/pictures/{payload['id']}/out-0.png")).status_code == 404


async def test_a_deadline_ends_a_prediction_that_hangs() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed(faults=HANG)) as up:
        payload = (await up.predict(headers={"Cancel-After": "1m"})).json()
        clock.advance(59)
        assert (await up.fetch(payload["id"]))["status"] == "processing"
        clock.advance(1)
        assert (await up.fetch(payload["id"]))["status"] == "canceled"


@pytest.mark.parametrize(
    ("written", "deadline_s"), [("5", 5), ("90s", 90), ("5m", 300), ("2h", 7_200), ("1h30m", 5_400), ("1m5s", 65)]
)
async def test_deadlines_are_written_in_hours_minutes_and_seconds(written: str, deadline_s: int) -> None:
    async with upstream("replicate", Settings(speed=1)) as up:
        payload = (await up.predict(headers={"Cancel-After": written})).json()
        assert seconds(payload, "deadline") == pytest.approx(deadline_s, abs=0.002)


@pytest.mark.parametrize("written", ["4", "0m", "soon", "5x", "s", "1m1h", "-5", ""])
async def test_invalid_deadlines_are_rejected(written: str) -> None:
    async with upstream("replicate", Settings()) as up:
        response = await up.predict(headers={"Cancel-After": written})
        assert response.status_code == 422
        assert response.json()["detail"].startswith("- Cancel-After: Must be a duration")


async def test_a_prediction_can_be_canceled_once() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed(balance=10, prices={PRO: 1.0})) as up:
        made = await up.made()
        clock.advance(3)
        first = await up.client.post(made["urls"]["cancel"])
        clock.advance(3)
        second = await up.client.post(made["urls"]["cancel"])
        payload = first.json()
        assert (first.status_code, payload["status"], payload["output"], payload["error"]) == (
            200,
            "canceled",
            None,
            None,
        )
        assert seconds(payload, "completed_at") == pytest.approx(3, abs=0.002)
        assert payload == second.json() == await up.fetch(payload["id"])
        assert up.account.balance == 9
        assert up.running.sandbox.request_log.requests["replicate/cancel"] == 2


async def test_an_ended_prediction_cannot_be_canceled() -> None:
    async with upstream("replicate", Settings(speed=0)) as up:
        made = await up.made()
        response = await up.client.post(made["urls"]["cancel"])
        assert (response.status_code, response.json()["status"]) == (200, "succeeded")


async def test_a_hanging_prediction_can_be_canceled() -> None:
    async with upstream("replicate", Settings(speed=0, faults=HANG)) as up:
        made = await up.made()
        assert (await up.fetch(made["id"]))["status"] == "processing"
        assert (await up.client.post(made["urls"]["cancel"])).json()["status"] == "canceled"


async def test_an_unknown_prediction_cannot_be_canceled_or_polled() -> None:
    async with upstream("replicate", Settings()) as up:
        for response in (
            await up.client.post("/predictions/unknown/cancel"),
            await up.client.get("/predictions/unknown"),
        ):
            assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
            assert response.json() == {"detail": "The requested resource could not be found.", "status": 404}


async def test_faults_affect_cancellations() -> None:
    faults = (Fault.parse("replicate/cancel:status=500"), Fault.parse("cancel:status_word=stopped,after=1"))
    async with upstream("replicate", Settings(faults=faults)) as up:
        made = await up.made()
        responses = [await up.client.post(made["urls"]["cancel"]) for _ in range(2)]
        assert responses[0].status_code == 500
        assert responses[1].json()["status"] == "stopped"


@BOTH
async def test_after_an_hour_the_data_is_removed_and_the_prediction_stays(service: str) -> None:
    clock = ManualClock()
    async with upstream(service, at_real_speed()) as up:
        made = await up.made()
        clock.advance(13)
        whole = await up.fetch(made["id"])
        ended_s = seconds(whole, "completed_at")
        clock.advance(ended_s + 3_600 - 13 - 0.01)
        assert await up.fetch(made["id"]) == whole
        assert (await up.image(whole["output"])).status_code == 200
        clock.advance(0.02)
        assert await up.fetch(made["id"]) == whole | {
            "input": {},
            "logs": "",
            "output": None,
            "data_removed": True,
        }
        assert (await up.image(whole["output"])).status_code == 404


async def test_the_lifetime_of_predictions_is_a_setting() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed(lifetime_s=0)) as up:
        made = await up.made()
        clock.advance(13)
        payload = await up.fetch(made["id"])
        assert (payload["status"], payload["data_removed"], payload["output"]) == ("succeeded", True, None)


async def test_predictions_are_listed_in_pages_with_the_latest_first() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed(page_size=2)) as up:
        ids: list[str] = []
        for _ in range(5):
            ids.insert(0, (await up.made())["id"])
            clock.advance(1)
        pages = [(await up.client.get("/predictions")).json()]
        while pages[-1]["next"]:
            pages.append((await up.client.get(pages[-1]["next"])).json())
        assert [[payload["id"] for payload in page["results"]] for page in pages] == [ids[:2], ids[2:4], ids[4:]]
        assert pages[0]["previous"] is None
        assert (await up.client.get(pages[2]["previous"])).json() == pages[1]
        assert (await up.client.get(pages[1]["previous"])).json() == pages[0]
        assert pages[0]["results"][0] == await up.fetch(ids[0])


async def test_the_list_can_be_filtered_by_dates() -> None:
    clock = ManualClock()
    async with upstream("replicate", at_real_speed(page_size=1)) as up:
        made = []
        for _ in range(4):
            made.append(await up.made())
            clock.advance(10)
        # a date on the wire is truncated to milliseconds, so its time is slightly earlier
        limits = {"created_after": made[1]["created_at"], "created_before": made[3]["created_at"]}
        first = (await up.client.get("/predictions", params=limits)).json()
        second = (await up.client.get(first["next"])).json()
        assert [page["results"][0]["id"] for page in (first, second)] == [made[2]["id"], made[1]["id"]]
        assert second["next"] is None
        naive = {"created_before": made[1]["created_at"].removesuffix("Z")}
        assert [payload["id"] for payload in (await up.client.get("/predictions", params=naive)).json()["results"]] == [
            made[0]["id"]
        ]


@pytest.mark.parametrize("query", [{"created_after": "yesterday"}, {"created_before": "1"}, {"cursor": "unknown"}])
async def test_an_invalid_list_query_is_rejected(query: dict[str, str]) -> None:
    async with upstream("replicate", Settings()) as up:
        assert (await up.client.get("/predictions", params=query)).status_code == 422


async def test_faults_affect_the_list() -> None:
    faults = (Fault.parse("fetch_many:bad_json"), Fault.parse("replicate/fetch_many:status_word=dreaming,after=1"))
    async with upstream("replicate", Settings(faults=faults)) as up:
        await up.made()
        responses = [await up.client.get("/predictions") for _ in range(2)]
        assert responses[0].text.startswith("no json")
        assert responses[1].json()["results"][0]["status"] == "dreaming"
