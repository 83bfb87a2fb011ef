"""Series in the ledger: with their run, apart from it, gone with what replaces it."""

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import create_app
from carbon.rest.client import Client
from carbon.schema import NodeReport, RunReport, SeriesReport
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.fixtures.ledgers import Ledgers
from tests.reports import recorded_run
from tests.test_api_runs import put


def read(client: TestClient, report: RunReport, **query: str) -> RunReport:
    answer = client.get(f"/v1/runs/{report.run_id}", params=query)
    assert answer.status_code == 200, answer.text
    return RunReport.model_validate_json(answer.content)


def rows(app: FastAPI) -> int:
    with app.state.engine.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM series")).scalar_one())


def test_series_come_back_as_they_were_sent(api_app: FastAPI, api_client: TestClient) -> None:
    report = recorded_run(gpus=3)
    put(api_client, report)
    assert api_client.get(f"/v1/runs/{report.run_id}").text == report.model_dump_json()
    assert rows(api_app) == 3 + 1, "one for each device and one for the host"


def test_they_are_left_out_where_they_are_not_wanted(api_client: TestClient) -> None:
    report = recorded_run()
    put(api_client, report)
    light = read(api_client, report, series="false")
    assert light.nodes[0].series == []
    assert light.nodes[0].devices == report.nodes[0].devices
    assert read(api_client, report, series="true") == report
    assert api_client.get(f"/v1/runs/{report.run_id}?serie=true").status_code == 422


def test_the_client_asks_for_either(live_api: LiveApi) -> None:
    report = recorded_run()
    with Client(live_api.settings) as client:
        client.put_run(report)
        assert client.run(report.run_id) == report
        assert client.run(report.run_id, with_series=False).nodes[0].series == []


def test_a_report_takes_its_series_to_another_server(
    api_client: TestClient, ledgers: Ledgers
) -> None:
    report = recorded_run()
    put(api_client, report)
    with TestClient(create_app(ledgers.settings("elsewhere"))) as other:
        content = api_client.get(f"/v1/runs/{report.run_id}").content
        assert other.put(f"/v1/runs/{report.run_id}", content=content).status_code == 201
        assert read(other, report) == report


def test_a_newer_report_replaces_them_and_an_older_one_does_not(
    api_app: FastAPI, api_client: TestClient
) -> None:
    first = recorded_run(gpus=4, seq=1)
    put(api_client, first)
    second = recorded_run(gpus=1, points=7, seq=2, run_id=first.run_id)
    put(api_client, second, 200)
    assert read(api_client, first) == second
    put(api_client, first, 200)
    put(api_client, recorded_run(gpus=2, seq=2, run_id=first.run_id), 200)
    assert read(api_client, first) == second
    assert rows(api_app) == 2
    put(api_client, make_report(seq=3, run_id=first.run_id), 200)
    assert rows(api_app) == 0


def test_nodes_of_one_name_keep_their_own(api_client: TestClient) -> None:
    (one,) = recorded_run(points=3).nodes
    (other,) = recorded_run(points=5, gpus=1).nodes
    bare = NodeReport(hostname="node-1", attempt=1)
    report = make_report(nodes=[one, bare, other])
    put(api_client, report)
    assert read(api_client, report) == report


def test_lists_and_summaries_have_none(api_client: TestClient) -> None:
    put(api_client, recorded_run(study="s"))
    for path in ("/v1/runs", "/v1/projects/recorded/summary", "/v1/projects/recorded/tradeoff"):
        answer = api_client.get(path)
        assert answer.status_code == 200
        assert "gpu_power" not in answer.text


SOUND = SeriesReport(
    name="gpu_power", unit="W", device_uuid="GPU-0", start_s=0, interval_s=1, values=[1.0]
).model_dump(mode="json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": [1.0] * 2001}, "at most 2000 items"),
        ({"values": []}, "at least 1 item"),
        ({"interval_s": 0}, "greater than 0"),
        ({"start_s": -1}, "greater than or equal to 0"),
        ({"unit": "MHz"}, "gpu_power is in W, not in MHz"),
        ({"device_uuid": None}, "gpu_power belongs to an accelerator"),
        ({"name": "ram_power"}, "ram_power belongs to the host"),
        ({"name": "gpu_smell"}, "gpu_power"),
        ({"step": 1}, "not permitted"),
    ],
)
def test_what_is_no_series_is_refused(
    api_client: TestClient, changes: dict[str, object], message: str
) -> None:
    report = make_report()
    document = report.model_dump(mode="json")
    document["nodes"][0]["series"] = [SOUND | changes]
    answer = api_client.put(f"/v1/runs/{report.run_id}", json=document)
    assert answer.status_code == 422
    assert message in answer.text
    assert api_client.get(f"/v1/runs/{report.run_id}").status_code == 404


def test_a_series_that_is_there_twice_is_refused(api_client: TestClient) -> None:
    report = make_report()
    document = report.model_dump(mode="json")
    document["nodes"][0]["series"] = [SOUND, SOUND]
    answer = api_client.put(f"/v1/runs/{report.run_id}", json=document)
    assert answer.status_code == 422
    assert "a series is there twice" in answer.text
