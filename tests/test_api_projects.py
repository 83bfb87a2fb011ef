"""Projects by any name: their list, their summaries and what their studies compare."""

from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from api import runs
from carbon.rest.client import Client
from carbon.schema import NodeReport, ProjectTotals, RunReport, Summary, Tradeoff
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.studies import tradeoff_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def put(client: TestClient, *reports: RunReport) -> None:
    for report in reports:
        answer = client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
        assert answer.status_code == 201, answer.text


NAMES = [
    "plain",
    "with space",
    "a/b",
    "a/summary",
    "a/tradeoff",
    "summary",
    "/summary/",
    "//",
    "50 %",
    "%2F",
    "what?",
    "a&b=c#d;e+f",
    "\"double\" and 'single'",
    "new\nline",
    "dots...",
    "...",
    "a/../b",
    ".hidden",
    "日本語",
    "é̀🌱",
    "<script>alert(1)</script>",
    "'; DROP TABLE runs; --",
    "back\\slash",
    "x" * 200,
]


def test_a_project_and_a_study_may_have_any_name(live_api: LiveApi) -> None:
    # Over HTTP, for Starlette's test client decodes a path twice and could not say "%2F".
    names = {*NAMES, "a", "b", "plain/summary", "a/summary/summary"}
    with Client(live_api.settings) as client:
        for name in names:
            client.put_run(make_report(project=name, study=name, name=name))
        assert {line.project for line in client.projects()} == names
        for name in names:
            total = client.summary(name)
            assert (total.project, total.runs) == (name, 1)
            assert total.last_run is not None
            assert total.last_run.name == name
            assert client.tradeoff(name).project == name
            assert client.scaling(name, name).study == name
            assert [run.name for run in client.runs(project=name).items] == [name]


def test_projects_are_listed_with_their_totals_the_newest_first(api_client: TestClient) -> None:
    put(
        api_client,
        make_report(project="old", started_at=NOON - HOUR),
        make_report(project="b", started_at=NOON),
        make_report(project="a", started_at=NOON),
        make_report(project="new", started_at=NOON + HOUR),
        make_report(project="new", started_at=NOON - 2 * HOUR, status="failed"),
    )
    listed = api_client.get("/v1/projects").json()["items"]
    lines = [ProjectTotals.model_validate(line) for line in listed]
    assert [line.project for line in lines] == ["new", "a", "b", "old"]
    assert (lines[0].runs, lines[0].energy_kwh) == (2, 0.006)
    assert (lines[0].first_run_at, lines[0].last_run_at) == (NOON - 2 * HOUR, NOON + HOUR)
    for line in lines:
        answer = api_client.get(f"/v1/projects/{line.project}/summary")
        total = Summary.model_validate_json(answer.content).model_dump(
            include=set(ProjectTotals.model_fields)
        )
        assert total == line.model_dump()


def test_the_tradeoff_is_over_the_completed_runs_of_the_projects_studies(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_READ_TOGETHER", 1)  # So that a study comes in parts.
    busy = NodeReport(hostname="node-1", series_means={"cpu_utilization": 80.0})
    compared = [
        make_report(study="s", strategy="single"),
        make_report(study="s", strategy="ddp", world_size=2, duration_s=35.0, nodes=[busy]),
        make_report(study="t", strategy="single", config={"lr": 1}),
        make_report(study="t", strategy="single", config={"lr": 2}),
    ]
    put(
        api_client,
        *compared,
        make_report(study="s", status="failed", gpu_energy_kwh=99.0),
        make_report(study=None, gpu_energy_kwh=99.0),
        make_report(study="s", project="another", gpu_energy_kwh=99.0),
    )
    answer = api_client.get("/v1/projects/digits/tradeoff")
    assert answer.status_code == 200
    found = Tradeoff.model_validate_json(answer.content)
    assert found == tradeoff_of("digits", compared)
    assert 80.0 in [point.cpu_utilization_percent for point in found.points]
    assert {(point.study, point.strategy): point.runs for point in found.points} == {
        ("s", "single"): 1,
        ("s", "ddp"): 1,
        ("t", "single"): 2,
    }
    assert found.differences == {"t": ["config lr"]}


def test_a_project_without_a_study_has_an_empty_tradeoff(api_client: TestClient) -> None:
    put(api_client, make_report())
    found = api_client.get("/v1/projects/digits/tradeoff").json()
    assert found == {"project": "digits", "points": [], "differences": {}}


def test_a_study_scales(api_client: TestClient) -> None:
    for workers, study in ((1, "s/1"), (2, "s/1"), (4, "other")):
        put(api_client, make_report(study=study, strategy="ddp", world_size=workers))
    path = "/v1/projects/digits/studies/s%2F1/scaling"
    answer = api_client.get(path).json()
    assert (answer["project"], answer["study"]) == ("digits", "s/1")
    assert [point["workers"] for point in answer["points"]] == [1, 2]
    whole = api_client.get("/v1/projects/digits/tradeoff").json()
    assert answer["points"] == [point for point in whole["points"] if point["study"] == "s/1"]
    put(api_client, make_report(study="failed", status="failed"))
    assert api_client.get(path.replace("s%2F1", "failed")).json()["points"] == []
    for missing in (path.replace("s%2F1", "none"), path.replace("digits", "none")):
        assert api_client.get(missing).status_code == 404


def test_lists_come_in_pages_and_complete_where_runs_started_at_once(
    api_client: TestClient,
) -> None:
    names = ["c", "a", "new", "b", "'; DROP"]
    for name in names:
        started_at = NOON + HOUR if name == "new" else NOON
        put(api_client, make_report(project=name, study="s", started_at=started_at))
        put(api_client, make_report(project="all", study=name, started_at=started_at))
    expected = ["new", "'; DROP", "a", "b", "c"]
    for path, field, listed in (
        ("/v1/projects", "project", ["all", *expected]),
        ("/v1/projects/all/studies", "study", expected),
    ):
        found: list[str] = []
        parameters = {"limit": "2"}
        while True:
            page = api_client.get(path, params=parameters).json()
            assert len(page["items"]) <= 2
            found += [line[field] for line in page["items"]]
            if page["next_cursor"] is None:
                break
            parameters["cursor"] = page["next_cursor"]
        assert found == listed
    answer = api_client.get("/v1/projects", params={"cursor": parameters["cursor"]})
    assert answer.status_code == 422
    assert api_client.get("/v1/projects/none/studies").status_code == 404
    assert api_client.get("/v1/projects?limt=3").status_code == 422
