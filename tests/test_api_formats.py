"""The forms of an answer: JSON, CSV, Parquet, JSON lines; tagged, compressed, streamed."""

import csv
import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from starlette.testclient import TestClient

from api import audit, listing
from api.formats import MEDIA_TYPES
from api.routes import projects
from carbon.errors import ApiRejectedError
from carbon.rest.client import Client
from carbon.schema import NodeReport, RunFields, RunReport
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.reports import recorded_run
from tests.test_api_runs import put

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def stored(api_client: TestClient) -> list[RunReport]:
    """Three runs, the newest first, with much and with nothing known."""
    reports = [
        make_report(
            name="=1+1",
            started_at=NOON + timedelta(microseconds=1),
            tags={"a": '"x", y\nz'},
            metrics={"loss": -0.5},
            gpu_energy_kwh=1e-12,
        ),
        make_report(started_at=NOON, cpu_energy_kwh=None, ram_energy_kwh=None),
        make_report(name="日本語", started_at=NOON - timedelta(days=1), region="-west"),
    ]
    for report in reports:
        put(api_client, report)
    return reports


def as_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_csv_is_every_run_flat_and_safe_in_a_spreadsheet(
    api_client: TestClient, stored: list[RunReport]
) -> None:
    answer = api_client.get("/v1/runs?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="runs.csv"'
    first, second, third = as_csv(answer.text)
    assert tuple(first) == listing.FIELDS
    assert first["run_id"] == str(stored[0].run_id)
    assert first["name"] == "'=1+1"
    assert (first["started_at"], first["ended_at"]) == (
        "2026-03-01T12:00:00.000001Z",
        "2026-03-01T12:01:00.000001Z",
    )
    assert float(first["gpu_energy_kwh"]) == 1e-12
    assert json.loads(first["tags"]) == {"a": '"x", y\nz'}
    assert json.loads(first["metrics"]) == {"loss": -0.5}
    assert (second["name"], second["energy_kwh"], second["duration_s"]) == ("", "", "60.0")
    assert (third["name"], third["region"]) == ("日本語", "'-west")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_is_a_formula(api_client: TestClient, start: str) -> None:
    put(api_client, make_report(intensity_source=f"{start}cmd|' /C calc'!A0"))
    (row,) = as_csv(api_client.get("/v1/runs?format=csv&fields=intensity_source").text)
    assert row == {"intensity_source": f"'{start}cmd|' /C calc'!A0"}


def test_a_parquet_file_has_types(api_client: TestClient, stored: list[RunReport]) -> None:
    answer = api_client.get("/v1/runs", headers={"Accept": MEDIA_TYPES["parquet"]})
    assert "content-encoding" not in answer.headers
    table = parquet.read_table(io.BytesIO(answer.content))
    assert tuple(table.column_names) == listing.FIELDS
    types = {name: table.schema.field(name).type for name in table.column_names}
    assert types["started_at"] == pyarrow.timestamp("us", tz="UTC")
    assert types["energy_kwh"] == types["intensity_g_per_kwh"] == pyarrow.float64()
    assert types["world_size"] == types["seq"] == pyarrow.int64()
    assert types["run_id"] == types["status"] == types["tags"] == pyarrow.string()
    for row, report in zip(table.to_pylist(), stored, strict=True):
        fields = RunFields.model_validate(report.model_dump(include=set(listing.FIELDS)))
        texts = {name: json.loads(row[name]) for name in ("tags", "config", "metrics", "software")}
        assert RunFields.model_validate(row | texts) == fields


def test_json_lines_are_every_run(api_client: TestClient, stored: list[RunReport]) -> None:
    lines = api_client.get("/v1/runs?format=jsonl").text.splitlines()
    assert [json.loads(line) for line in lines] == api_client.get("/v1/runs").json()["items"]


def test_a_file_is_of_what_was_asked_for(api_client: TestClient, stored: list[RunReport]) -> None:
    query = "format=csv&fields=run_id&sort=started_at"
    ids = [str(report.run_id) for report in reversed(stored)]
    assert api_client.get(f"/v1/runs?{query}").text.split() == ["run_id", *ids]
    assert api_client.get(f"/v1/runs?{query}&limit=2").text.split() == ["run_id", *ids[:2]]
    assert api_client.get(f"/v1/runs?{query}&project=none").text.split() == ["run_id"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_file_of_many_parts_has_each_run_once(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(listing, "CHUNK", 2)
    reports = [make_report(nodes=[], epochs=[]) for _ in range(5)]
    for report in reports:
        put(api_client, report)
    answer = api_client.get(f"/v1/runs?format={form}&fields=run_id")
    if form == "parquet":
        found = parquet.read_table(io.BytesIO(answer.content))["run_id"].to_pylist()
    else:
        found = [line.strip() for line in answer.text.splitlines() if line != "run_id"]
        found = [json.loads(line)["run_id"] if form == "jsonl" else line for line in found]
    assert found == sorted((str(report.run_id) for report in reports), reverse=True)
    assert api_client.get("/v1/runs?format=parquet&project=none").content[:4] == b"PAR1"


LISTS = {
    "/v1/projects": ("items", ["project", "runs"]),
    "/v1/projects/digits/studies": ("items", ["project", "study", "runs"]),
    "/v1/projects/digits/tradeoff": ("points", ["study", "strategy", "workers", "runs"]),
    "/v1/projects/digits/studies/s/scaling": ("points", ["study", "strategy", "workers", "runs"]),
}
"""Each with the field that has its lines, and the first columns of a file."""

SET_AND_DONE = {
    "/v1/grid": ("", 0, ["country_iso_code", "country_name", "region"]),
    "/v1/prices": ("items", 1, ["project", "valid_from", "price_per_kwh", "currency"]),
    "/v1/projects/digits/prices": ("items", 3, ["project", "valid_from", "price_per_kwh"]),
    "/v1/hardware": ("items", 1, ["kind", "name", "embodied_kg"]),
    "/v1/projects/digits/budgets": ("items", 1, ["project", "name", "quantity"]),
    "/v1/audit": ("items", 8, ["id", "at", "actor", "action"]),
    "/v1/factor-tables": ("", 0, ["version", "kind", "source"]),
}
"""The same, with how many lines there are between them; without a name the answer is the lines."""


def test_projects_studies_and_their_comparisons_come_in_every_form(api_client: TestClient) -> None:
    for strategy in ("single", "ddp"):
        put(api_client, make_report(study="s", strategy=strategy))
    put(api_client, make_report(study="t"))
    for path, (named, columns) in LISTS.items():
        expected = api_client.get(path).json()[named]
        assert expected
        lines = api_client.get(path, headers={"Accept": "application/x-ndjson"}).text.splitlines()
        assert [json.loads(line) for line in lines] == expected
        text = api_client.get(f"{path}?format=csv").text
        assert text.split("\r\n")[0].split(",")[: len(columns)] == columns
        assert [row["runs"] for row in as_csv(text)] == [str(line["runs"]) for line in expected]
        table = parquet.read_table(io.BytesIO(api_client.get(f"{path}?format=parquet").content))
        for name in ("energy_kwh", "runs", "on_pareto_front"):
            if name in expected[0]:
                assert table[name].to_pylist() == [line[name] for line in expected]
        assert api_client.get(f"{path}?format=xml").status_code == 406
        assert api_client.get(f"{path}?fromat=csv").status_code == 422
    assert {row["on_pareto_front"] for row in as_csv(text)} <= {"true", "false"}


def test_what_was_set_and_what_was_done_come_in_every_form(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_READ_TOGETHER", 2)  # So that the log comes in parts.
    run = make_report()
    put(api_client, run)
    price = {"price_per_kwh": 0.25, "currency": "EUR", "source": "=a contract"}
    for path, terms in {
        "/v1/prices/2026-01-01": price,
        "/v1/projects/digits/prices/2026-02-01": price,
        "/v1/projects/digits/prices/2026-03-01": price,
        "/v1/hardware/gpu/Tesla V100": {"embodied_kg": 150.0, "lifetime_h": 35_000},
        "/v1/projects/digits/budgets/year": {
            "quantity": "energy_kwh",
            "limit": 9,
            "period": "year",
        },
    }.items():
        assert api_client.put(path, json=terms).status_code == 201, path
    for number in range(3):
        corrected = {"reason": "r", "pue": 1.5 + number}
        assert api_client.patch(f"/v1/runs/{run.run_id}", json=corrected).status_code == 200
    of_the_run = {
        f"/v1/runs/{run.run_id}/audit": ("items", 3, ["id", "at", "actor", "action"]),
        f"/v1/runs/{run.run_id}/costings": ("", 0, ["is_current", "replaced_at"]),
    }
    for path, (named, count, columns) in {**SET_AND_DONE, **of_the_run}.items():
        whole = api_client.get(path).json()
        expected = whole[named] if named else whole
        assert len(expected) == count or not named, path
        lines = api_client.get(path, headers={"Accept": "application/x-ndjson"}).text.splitlines()
        assert [json.loads(line) for line in lines] == expected
        rows = as_csv(api_client.get(f"{path}?format=csv").text)
        assert len(rows) == len(expected)
        assert list(rows[0])[: len(columns)] == columns
        file = io.BytesIO(api_client.get(f"{path}?format=parquet").content)
        for row, csv_row, line in zip(
            parquet.read_table(file).to_pylist(), rows, expected, strict=True
        ):
            assert row.keys() == csv_row.keys() == line.keys()
            for name, value in line.items():
                if isinstance(value, dict):
                    assert json.loads(row[name]) == json.loads(csv_row[name]) == value
                elif value is None:
                    assert (row[name], csv_row[name]) == (None, "")
                elif isinstance(value, bool):
                    assert (row[name], csv_row[name]) == (value, str(value).lower())
                elif isinstance(value, int | float):
                    assert float(csv_row[name]) == row[name] == value
        assert api_client.get(f"{path}?format=xml").status_code == 406
        assert api_client.get(f"{path}?fromat=csv").status_code == 422
    assert api_client.get("/v1/prices?format=csv").text.count("'=a contract") == 1
    cursor = api_client.get("/v1/audit?limit=1").json()["next_cursor"]
    rest = {"format": "csv", "cursor": cursor}
    assert len(as_csv(api_client.get("/v1/audit", params=rest).text)) == 7
    assert len(as_csv(api_client.get("/v1/audit", params=rest | {"limit": "1"}).text)) == 1
    wrong = api_client.get("/v1/audit?format=csv&cursor=nonsense")
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")


def test_a_file_of_projects_holds_more_than_a_page(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects, "PAGE_LENGTH", 1)
    for name in ("a", "b"):
        put(api_client, make_report(project=name))
    assert len(api_client.get("/v1/projects").json()["items"]) == 1
    assert len(as_csv(api_client.get("/v1/projects?format=csv").text)) == 2
    assert len(as_csv(api_client.get("/v1/projects?format=csv&limit=1").text)) == 1


ACCEPTED = [
    ("", "application/json"),
    ("*/*", "application/json"),
    ("text/csv", "text/csv"),
    ("text/*", "text/csv"),
    ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
    ("application/json;q=0.5, text/csv;q=0.9", "text/csv"),
    ("application/json;q=0, */*", "application/x-ndjson"),
    ("TEXT/CSV; Q=1", "text/csv"),
]


@pytest.mark.parametrize(("accept", "expected"), ACCEPTED)
def test_the_form_is_what_the_request_accepts_most(
    api_client: TestClient, accept: str, expected: str
) -> None:
    answer = api_client.get("/v1/runs", headers={"Accept": accept})
    assert answer.headers["content-type"].split(";")[0] == expected
    assert "Accept" in answer.headers["vary"].split(", ")


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/{run}/epochs"])
def test_a_form_that_is_not_there_is_refused(
    api_client: TestClient, stored: list[RunReport], path: str
) -> None:
    path = path.format(run=stored[0].run_id)
    for answer in (
        api_client.get(path, headers={"Accept": "text/html"}),
        api_client.get(f"{path}?format=xml"),
    ):
        assert answer.status_code == 406
        assert answer.headers["content-type"] == "application/problem+json"
        assert "csv (text/csv)" in answer.json()["detail"]


def test_a_file_that_cannot_begin_is_a_problem(api_client: TestClient) -> None:
    answer = api_client.get("/v1/runs?format=csv&cursor=nonsense")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_epochs_come_in_every_form(api_client: TestClient) -> None:
    report = make_report()
    put(api_client, report)
    path = f"/v1/runs/{report.run_id}/epochs"
    assert api_client.get(path).json() == report.model_dump(mode="json")["epochs"]
    rows = as_csv(api_client.get(f"{path}?format=csv").text)
    assert [(row["index"], row["duration_s"]) for row in rows] == [
        ("0", "20.0"),
        ("1", "20.0"),
        ("2", "20.0"),
    ]
    table = parquet.read_table(io.BytesIO(api_client.get(f"{path}?format=parquet").content))
    assert table["energy_kwh"].to_pylist() == [epoch.energy_kwh for epoch in report.epochs]
    assert api_client.get(f"/v1/runs/{make_report().run_id}/epochs").status_code == 404


# ------------------------------------------------------------------------------------ entity tags


def tagged(client: TestClient, path: str, etag: str | None = None) -> Any:
    return client.get(path, headers={"If-None-Match": etag} if etag else {})


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs",
        "/v1/runs/{run}",
        "/v1/runs/{run}/epochs",
        "/v1/projects",
        "/v1/projects/digits/studies",
        "/v1/projects/digits/studies/s/scaling",
        "/v1/projects/digits/summary",
        "/v1/projects/digits/tradeoff",
        "/v1/summary",
        "/v1/summary?group_by=day",
    ],
)
def test_what_is_known_already_is_not_sent_again(api_client: TestClient, path: str) -> None:
    first = make_report(study="s")
    put(api_client, first)
    path = path.format(run=first.run_id)
    answer = tagged(api_client, path)
    etag = answer.headers["etag"]
    for held in (etag, "*", f'"other", {etag}', etag.removeprefix("W/")):
        again = tagged(api_client, path, held)
        assert (again.status_code, again.content) == (304, b""), held
        assert again.headers["etag"] == etag
    changed = first.model_copy(update={"seq": 1, "epochs": first.epochs[:1], "duration_s": 1.0})
    put(api_client, changed, 200)
    anew = tagged(api_client, path, etag)
    assert anew.status_code == 200
    assert anew.headers["etag"] != etag


def test_whatever_is_read_has_a_tag(api_client: TestClient) -> None:
    run = make_report()
    put(api_client, run)
    for path in (
        "/v1/grid",
        "/v1/factor-tables",
        "/v1/hardware",
        "/v1/prices",
        "/v1/audit",
        f"/v1/runs/{run.run_id}/costings",
        f"/v1/runs/{run.run_id}/footprint",
        "/v1/projects/digits/what-if?country=FRA",
        "/v1/projects/digits/budgets",
    ):
        answer = api_client.get(path)
        again = tagged(api_client, path, answer.headers["etag"])
        assert (answer.status_code, again.status_code, again.content) == (200, 304, b""), path
        assert again.headers["cache-control"] == "private, no-cache"
        assert "content-length" not in again.headers
    assert api_client.head("/v1/grid").headers["etag"] == api_client.get("/v1/grid").headers["etag"]
    assert "etag" not in api_client.get("/v1/projects/none/summary").headers


def test_a_run_with_and_without_series_has_two_tags(api_client: TestClient) -> None:
    report = recorded_run()
    put(api_client, report)
    path = f"/v1/runs/{report.run_id}"
    etag = tagged(api_client, path).headers["etag"]
    assert tagged(api_client, f"{path}?series=false", etag).status_code == 200


def test_a_report_that_changes_a_node_only_changes_the_tag(api_client: TestClient) -> None:
    report = make_report()
    put(api_client, report)
    path = f"/v1/runs/{report.run_id}"
    etag = tagged(api_client, path).headers["etag"]
    nodes = [NodeReport(hostname="another")]
    put(api_client, report.model_copy(update={"seq": 1, "nodes": nodes}), 200)
    assert tagged(api_client, path, etag).json()["nodes"][0]["hostname"] == "another"


# ------------------------------------------------------------------------------------- compression


@pytest.mark.parametrize("query", ["", "?format=csv", "?format=jsonl"])
def test_large_answers_are_compressed_for_those_who_can_read_it(
    api_client: TestClient, query: str
) -> None:
    for _ in range(20):
        put(api_client, make_report())
    url = f"/v1/runs{query}"
    plain = api_client.get(url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with api_client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        sent = b"".join(answer.iter_raw())
    assert len(sent) < len(plain.content) / 3
    assert gzip.decompress(sent) == plain.content


def test_the_client_reads_all_pages_and_files(live_api: LiveApi) -> None:
    with Client(live_api.settings) as client:
        reports = [make_report(project=project, study="s") for project in ("p", "p", "q")]
        for report in reports:
            client.put_run(report)
        assert {run.run_id for run in client.all_runs()} == {run.run_id for run in reports}
        found = list(client.all_runs(project=["p", "r"], since=NOON.date(), sort="duration_s"))
        assert [run.run_id for run in found] == sorted(run.run_id for run in reports[:2])
        assert [line.runs for line in client.studies("p")] == [2]
        text = b"".join(client.export_runs("csv", project="p")).decode()
        assert len(as_csv(text)) == 2
        with pytest.raises(ApiRejectedError, match="there is no format 'xml'"):
            list(client.export_runs("xml"))
