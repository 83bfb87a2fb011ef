"""Many reports at once, and removing a run."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from carbon.attribution.run_id import new_run_id
from carbon.schema import MAX_BATCH, RunReport
from tests.factories import make_report
from tests.sums import sums_are_right


def batch(client: TestClient, *items: Any) -> list[dict[str, Any]]:
    reports = [json.loads(i.model_dump_json()) if isinstance(i, RunReport) else i for i in items]
    answer = client.post("/v1/runs/batch", json={"items": reports})
    assert answer.status_code == 200, answer.text
    listed: list[dict[str, Any]] = answer.json()["items"]
    return listed


def test_each_report_of_a_batch_has_its_result_in_order(api_client: TestClient) -> None:
    first, second = make_report(seq=3), make_report(project="other")
    broken = {"run_id": str(new_run_id()), "project": "digits"}
    found = batch(api_client, first, broken, second, 7)
    assert [item["status"] for item in found] == [201, 422, 201, 422]
    assert [item["run_id"] for item in found] == [str(first.run_id), None, str(second.run_id), None]
    assert [item["seq"] for item in found] == [3, None, 0, None]
    assert found[1]["problem"]["errors"][0]["field"] == "status"
    assert [item["status"] for item in batch(api_client, first, second)] == [200, 200]
    assert api_client.get("/v1/summary").json()["runs"] == 2
    assert sums_are_right(api_client)


def test_one_run_may_be_there_several_times(api_client: TestClient) -> None:
    run = make_report(seq=1, status="running", ended_at=None)
    later = make_report(run_id=run.run_id, seq=2, gpu_energy_kwh=1.0)
    found = batch(api_client, run, later, run)
    assert [(item["status"], item["seq"]) for item in found] == [(201, 1), (200, 2), (200, 2)]
    assert api_client.get(f"/v1/runs/{run.run_id}").json()["gpu_energy_kwh"] == 1.0
    assert sums_are_right(api_client)


def test_a_share_that_makes_no_valid_run_keeps_nobody_else_out(api_client: TestClient) -> None:
    run = make_report(reporter="node-1", project="a")
    at_odds = make_report(run_id=run.run_id, reporter="node-2", pue=3.0, intensity_g_per_kwh=9.0)
    other = make_report()
    found = batch(api_client, run, at_odds, other)
    alone = api_client.put(f"/v1/runs/{run.run_id}", content=at_odds.model_dump_json())
    assert found[1]["status"] == alone.status_code
    assert [found[0]["status"], found[2]["status"]] == [201, 201]
    assert sums_are_right(api_client)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"[]", 422, "batch"),
        (b"{}", 422, "items"),
        (b'{"items": 3}', 422, "items"),
        (b'{"items": [], "more": 1}', 422, "more"),
        (json.dumps({"items": [0] * (MAX_BATCH + 1)}).encode(), 422, "items"),
    ],
)
def test_what_is_no_batch_is_refused(
    api_client: TestClient, body: bytes, status: int, field: str | None
) -> None:
    answer = api_client.post("/v1/runs/batch", content=body)
    assert answer.status_code == status, answer.text
    assert [error["field"] for error in answer.json()["errors"]][:1] == ([field] if field else [])


def test_an_empty_batch_has_no_results(api_client: TestClient) -> None:
    assert batch(api_client) == []


def test_a_batch_may_be_larger_than_a_report_but_not_endless(api_client: TestClient) -> None:
    headers = {"content-length": str(65 * 1024**2), "content-type": "application/json"}
    answer = api_client.post("/v1/runs/batch", content=b"{}", headers=headers)
    assert answer.status_code == 413
    assert "64 MiB; send fewer reports at once" in answer.json()["detail"]


def test_a_run_that_is_removed_is_in_no_sum(api_client: TestClient) -> None:
    kept, gone = make_report(), make_report(gpu_energy_kwh=5.0)
    batch(api_client, kept, gone)
    assert api_client.delete(f"/v1/runs/{gone.run_id}").status_code == 204
    assert api_client.get(f"/v1/runs/{gone.run_id}").status_code == 404
    assert api_client.get("/v1/summary").json()["energy_kwh"] == kept.energy_kwh
    again = api_client.delete(f"/v1/runs/{gone.run_id}")
    assert (again.status_code, again.headers["content-type"]) == (404, "application/problem+json")
    assert sums_are_right(api_client)
