"""Runs of which nothing is heard any more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.heartbeats import Patience, mark_lost
from carbon.delivery.live import LONGEST_PAUSE_S
from carbon.schema import RunReport
from tests.factories import make_report
from tests.test_carbon_spool_shares import share

LEAST_S = 30.0
INTERVAL_S = 10.0
# What `Patience` makes of these.
DEADLINE_S = 35.0


def running(**fields: Any) -> RunReport:
    values = {
        "status": "running",
        "ended_at": None,
        "live_interval_s": INTERVAL_S,
        "seq": 1,
        "study": "s",
    }
    return make_report(**(values | fields))


def put(client: TestClient, report: RunReport) -> None:
    answer = client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
    assert answer.is_success, answer.text


def read(client: TestClient, report: RunReport) -> RunReport:
    return RunReport.model_validate_json(client.get(f"/v1/runs/{report.run_id}").content)


def pass_time(app: FastAPI, seconds: float, *, server_age_s: float = 3600.0) -> None:
    """Let a server look for lost runs `seconds` from now."""
    now = datetime.now(UTC)
    patience = Patience(LEAST_S, now - timedelta(seconds=server_age_s))
    mark_lost(app.state.engine, patience, now + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("interval_s", "wait_s"), [(0.2, 30.0), (5.0, 30.0), (10.0, 35.0), (100.0, 305.0)]
)
def test_three_reports_may_be_missing(interval_s: float, wait_s: float) -> None:
    began = datetime(2026, 3, 1, tzinfo=UTC)
    heard_at = began + timedelta(seconds=1)
    ends_at = Patience(LEAST_S, began).ends_at(heard_at, interval_s)
    assert (ends_at - heard_at).total_seconds() == wait_s


def test_an_overdue_run_is_interrupted_everywhere(api_app: FastAPI, api_client: TestClient) -> None:
    lost, fresh = running(), make_report(study="s")
    put(api_client, lost)
    put(api_client, fresh)
    pass_time(api_app, DEADLINE_S - 1)
    assert read(api_client, lost) == lost
    pass_time(api_app, DEADLINE_S + 1)
    run = read(api_client, lost)
    assert run.status == "interrupted"
    assert run.ended_at == lost.started_at + timedelta(seconds=lost.duration_s)
    assert run.live_interval_s is None
    assert (run.seq, run.energy_kwh) == (lost.seq, lost.energy_kwh)

    def listed(status: str) -> list[str]:
        answer = api_client.get("/v1/runs", params={"status": status})
        return [item["run_id"] for item in answer.json()["items"]]

    assert (listed("interrupted"), listed("running")) == ([str(lost.run_id)], [])
    for path in ("/v1/summary", "/v1/projects/digits/summary"):
        summary = api_client.get(path).json()
        assert summary["runs_by_status"]["interrupted"] == 1
        assert summary["runs_by_status"]["running"] == 0
        assert summary["energy_kwh"] == 0.006, "what it drew until then counts"
    (point,) = api_client.get("/v1/projects/digits/tradeoff").json()["points"]
    assert point["runs"] == 1


def test_a_run_that_is_heard_of_again_is_running_again(
    api_app: FastAPI, api_client: TestClient
) -> None:
    report = running()
    put(api_client, report)
    pass_time(api_app, DEADLINE_S + 1)
    put(api_client, report)  # What was sent before, once more, is no news.
    assert read(api_client, report).status == "interrupted"
    news = report.model_copy(update={"seq": 2})
    put(api_client, news)
    assert read(api_client, report) == news
    final = make_report(run_id=report.run_id, seq=3)
    put(api_client, final)
    put(api_client, report.model_copy(update={"seq": 2, "energy_kwh": 0.003}))
    pass_time(api_app, 10 * DEADLINE_S)
    assert read(api_client, report) == final


@pytest.mark.parametrize(
    "fields",
    [
        {"live_interval_s": None},
        {"status": "completed", "ended_at": datetime(2026, 3, 2, tzinfo=UTC)},
        {"status": "failed"},
    ],
)
def test_a_run_from_which_no_news_are_due_is_left_alone(
    fields: dict[str, Any], api_app: FastAPI, api_client: TestClient
) -> None:
    report = running(**fields)
    put(api_client, report)
    pass_time(api_app, 1e6)
    assert read(api_client, report) == report


def test_after_a_server_was_down_its_senders_get_time_to_find_it_again(
    api_app: FastAPI, api_client: TestClient
) -> None:
    report = running()
    put(api_client, report)
    began_in_s = 600.0  # A server that starts ten minutes after the last news.
    wait_s = LONGEST_PAUSE_S + DEADLINE_S
    pass_time(api_app, began_in_s + wait_s - 1, server_age_s=-began_in_s)
    assert read(api_client, report).status == "running"
    pass_time(api_app, began_in_s + wait_s + 1, server_age_s=-began_in_s)
    assert read(api_client, report).status == "interrupted"


def test_what_was_marked_stays_so_while_another_server_starts(
    api_app: FastAPI, api_client: TestClient
) -> None:
    report = running()
    put(api_client, report)
    pass_time(api_app, DEADLINE_S + 1)
    pass_time(api_app, DEADLINE_S + 1, server_age_s=-DEADLINE_S)
    assert read(api_client, report).status == "interrupted"


def test_a_run_is_interrupted_when_one_of_its_nodes_is_lost(
    api_app: FastAPI, api_client: TestClient
) -> None:
    live: dict[str, Any] = {"status": "running", "ended_at": None, "live_interval_s": INTERVAL_S}
    one, two = share("a", 0, **live), share("b", 1, **live)
    put(api_client, one)
    put(api_client, two)
    assert (read(api_client, one).status, read(api_client, one).live_interval_s) == ("running", 10)
    put(api_client, share("a", 0, seq=2))
    assert read(api_client, one).status == "running"
    pass_time(api_app, DEADLINE_S + 1)
    run = read(api_client, one)
    assert (run.status, run.energy_kwh) == ("interrupted", 0.006)
    assert run.ended_at is not None
    put(api_client, two.model_copy(update={"seq": 2}))
    assert read(api_client, one).status == "running"
    put(api_client, share("b", 1, seq=3))
    assert read(api_client, one).status == "completed"
    pass_time(api_app, 1e6)
    assert read(api_client, one).status == "completed"
