"""`/metrics`, read as Prometheus reads it."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.testclient import TestClient

from carbon.schema import RunReport
from tests.factories import make_report
from tests.fixtures.api import LiveApi, begun, serving
from tests.patience import PATIENCE_S

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return read(answer.text)


def read(page: str) -> Samples:
    listed = [
        ((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]
    found = dict(listed)
    assert len(found) == len(listed), "a line stands there twice"
    return found


def of(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def put(client: TestClient, report: RunReport) -> None:
    path = f"/v1/runs/{report.run_id}"
    assert client.put(path, content=report.model_dump_json()).is_success


def test_requests_are_counted_by_template_method_and_status(api_client: TestClient) -> None:
    for path in ("/v1/runs/7", "/v1/runs/8", "/nope/1", "/nope/2", "/nope/3"):
        api_client.get(path)
    api_client.request("BREW", "/v1/summary")
    found = samples(api_client)
    total, seconds = "carbon_http_requests_total", "carbon_http_request_duration_seconds"
    assert of(found, total, method="GET", route="/v1/runs/{run_id}", status="422") == 2
    assert of(found, total, method="GET", route="unmatched", status="404") == 3
    assert of(found, total, method="other", route="/v1/summary", status="405") == 1
    assert of(found, f"{seconds}_count", method="GET", route="unmatched") == 3
    assert of(found, f"{seconds}_bucket", method="GET", route="unmatched", le="+Inf") == 3
    taken_s = of(found, f"{seconds}_sum", method="GET", route="unmatched")
    assert taken_s is not None
    assert taken_s > 0
    assert not [key for key in found if "/nope" in str(key)]
    assert not [name for name, _ in found if name.endswith("_created")]


def test_the_scrape_itself_is_in_flight_and_nothing_else(api_client: TestClient) -> None:
    api_client.get("/nope")
    assert of(samples(api_client), "carbon_http_requests_in_flight") == 1


def test_reports_are_counted_by_what_became_of_them(api_client: TestClient) -> None:
    name = "carbon_reports_stored_total"
    assert of(samples(api_client), name, outcome="outdated") == 0
    report = make_report()
    for seq in (5, 6, 6, 2):
        put(api_client, report.model_copy(update={"seq": seq}))
    api_client.put(f"/v1/runs/{report.run_id}", content=b"{}")
    found = samples(api_client)
    assert of(found, name, outcome="created") == 1
    assert of(found, name, outcome="updated") == 2
    assert of(found, name, outcome="outdated") == 1


def test_projects_stand_as_in_the_ledger_and_the_unknown_is_absent(api_client: TestClient) -> None:
    for energy_kwh in (0.1, 0.2):
        put(api_client, make_report(project="a", cpu_energy_kwh=energy_kwh, ram_energy_kwh=0.0))
    put(api_client, make_report(project="a", cpu_energy_kwh=None, ram_energy_kwh=None))
    put(api_client, make_report(project="b", cpu_energy_kwh=None, ram_energy_kwh=None))
    found = samples(api_client)
    listed = {line["project"]: line for line in api_client.get("/v1/projects").json()["items"]}
    for name, field in (
        ("carbon_project_runs", "runs"),
        ("carbon_project_runs_without_energy", "runs_without_energy"),
        ("carbon_project_runs_without_emissions", "runs_without_emissions"),
        ("carbon_project_duration_seconds", "duration_s"),
        ("carbon_project_energy_kwh", "energy_kwh"),
        ("carbon_project_emissions_kg", "emissions_kg"),
    ):
        for project in ("a", "b"):
            assert of(found, name, project=project) == listed[project][field], name
    assert of(found, "carbon_project_energy_kwh", project="a") == 0.3
    assert of(found, "carbon_project_energy_kwh", project="b") is None


@pytest.mark.parametrize(
    "project", ['say "hi"', "back\\slash", "two\nlines", 'evil"} 1\ninjected 7', "é🌱", "{}", "\\n"]
)
def test_any_name_of_a_project_comes_back_as_it_is(api_client: TestClient, project: str) -> None:
    put(api_client, make_report(project=project))
    found = samples(api_client)
    assert of(found, "carbon_project_runs", project=project) == 1
    assert of(found, "injected") is None


def test_the_build_and_the_database_are_told(api_app: FastAPI, api_client: TestClient) -> None:
    found = samples(api_client)
    (labels,) = (dict(labels) for name, labels in found if name == "carbon_build_info")
    assert set(labels) == {"version", "schema_version", "python"}
    assert of(found, "carbon_database_up") == 1
    assert of(found, "carbon_database_connections_kept") == api_app.state.engine.pool.size()
    with api_app.state.engine.connect(), api_app.state.engine.connect():
        # The page is asked for this before it connects by itself.
        assert of(samples(api_client), "carbon_database_connections_in_use") == 2
    assert of(samples(api_client), "carbon_database_connections_in_use") == 0


def test_without_a_database_the_service_still_tells_of_itself(
    api_app: FastAPI, api_client: TestClient
) -> None:
    put(api_client, make_report(project="a"))
    with api_app.state.engine.begin() as connection:
        connection.execute(text("DROP TABLE totals"))
    found = samples(api_client)
    assert of(found, "carbon_database_up") == 0
    assert of(found, "carbon_reports_stored_total", outcome="created") == 1
    assert of(found, "carbon_project_runs", project="a") is None


def test_openmetrics_is_given_where_it_is_preferred(api_client: TestClient) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    answer = api_client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_servers_that_share_a_directory_tell_of_all_of_them(tmp_path: Path) -> None:
    shared = tmp_path / "metrics"
    shared.mkdir()
    with (
        serving(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(shared)) as one,
        serving(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(shared)) as two,
    ):

        def page(server: LiveApi) -> Samples:
            return read(httpx.get(f"{server.url}/metrics", timeout=PATIENCE_S).text)

        for server, times in ((one, 2), (two, 3)):
            for _ in range(times):
                httpx.get(f"{server.url}/v1/summary", timeout=PATIENCE_S)
        of_route = {"method": "GET", "route": "/v1/summary"}
        for server in (one, two):
            found = page(server)
            assert of(found, "carbon_http_requests_total", **of_route, status="200") == 5
            assert of(found, "carbon_http_request_duration_seconds_count", **of_route) == 5
            assert of(found, "carbon_reports_stored_total", outcome="created") == 0
            assert of(found, "carbon_database_up") == 1
            assert of(found, "carbon_http_requests_in_flight") == 1
        kept = of(page(two), "carbon_database_connections_kept")
        with begun(one, make_report()):
            assert of(page(two), "carbon_http_requests_in_flight") == 2
            one.process.kill()
            one.process.wait()
        # What was killed has nothing in flight any more; what it answered was answered.
        found = page(two)
        assert of(found, "carbon_http_requests_in_flight") == 1
        assert of(found, "carbon_http_requests_total", **of_route, status="200") == 5
        assert kept is not None
        assert of(found, "carbon_database_connections_kept") == kept / 2
