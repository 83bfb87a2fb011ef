"""Corrections: what was wrong is put right for good, and the log says by whom and why."""

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from carbon.attribution.run_id import new_run_id
from carbon.schema import NodeReport, RunReport
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers
from tests.keys import bearing, make_key
from tests.sums import sums_are_right

Answer = Mapping[str, Any]


def put(client: TestClient, report: RunReport) -> str:
    path = f"/v1/runs/{report.run_id}"
    answer = client.put(path, content=report.model_dump_json())
    assert answer.is_success, answer.text
    return path


def correct(client: TestClient, path: str, **fields: Any) -> dict[str, Any]:
    answer = client.patch(path, json={"reason": "it was wrong", **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def log(client: TestClient, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get(f"{path}/audit").json()["items"]
    return items


def test_a_correction_is_found_counted_and_logged(api_client: TestClient) -> None:
    path = put(api_client, make_report(project="vison", tags={"gpu": "old"}, user="ann"))
    headers = {"X-Request-ID": "corr-1"}
    body = {"reason": "a typo", "project": "vision", "tags": {"team": "a"}}
    answer = api_client.patch(path, json=body, headers=headers)
    assert answer.json()["project"] == "vision"
    assert [line["project"] for line in api_client.get("/v1/projects").json()["items"]] == [
        "vision"
    ]
    listed = api_client.get("/v1/runs", params={"tag": "team:a", "q": "vision"}).json()["items"]
    assert [run["user"] for run in listed] == ["ann"]
    assert api_client.get("/v1/runs", params={"tag": "gpu"}).json()["items"] == []
    (entry,) = log(api_client, path)
    assert entry["changes"] == {
        "project": {"before": "vison", "after": "vision"},
        "tags": {"before": {"gpu": "old"}, "after": {"team": "a"}},
    }
    assert (entry["action"], entry["reason"], entry["runs"]) == ("correct", "a typo", 1)
    assert (entry["project"], entry["request_id"]) == ("vison", "corr-1")
    assert entry["actor"] == "anonymous (testclient)"
    assert sums_are_right(api_client)


def test_a_correction_holds_whatever_comes_and_the_delivered_stays(api_client: TestClient) -> None:
    """Live updates, the late final report, and shares of nodes that come after it."""
    run = make_report(seq=1, status="running", ended_at=None, gpu_energy_kwh=1.0)
    path = put(api_client, run)
    correct(api_client, path, project="right", pue=1.5)
    last = make_report(run_id=run.run_id, seq=9, gpu_energy_kwh=2.0)
    put(api_client, last)
    put(api_client, run)
    now = api_client.get(path).json()
    assert (now["project"], now["pue"], now["gpu_energy_kwh"]) == ("right", 1.5, 2.0)
    assert now["emissions_kg"] == pytest.approx(2.003 * 1.5 * 0.38095)
    delivered = api_client.get(path, params={"as": "delivered"}).json()
    assert RunReport.model_validate(delivered) == last
    share = make_report(run_id=run.run_id, seq=1, reporter="n2", attempts=1, nodes=[])
    put(api_client, share)
    assert api_client.get(path).json()["project"] == "right"
    merged = api_client.get(path, params={"as": "delivered"}).json()
    assert (merged["project"], merged["pue"]) == ("digits", 1.2)
    assert sums_are_right(api_client)


def test_corrected_energy_counts_once_when_a_share_comes(api_client: TestClient) -> None:
    """What the shares are added to is the report, not what was made of it."""
    run = make_report(gpu_energy_kwh=50.0)
    path = put(api_client, run)
    correct(api_client, path, gpu_energy_kwh=0.5)
    share = make_report(
        run_id=run.run_id,
        reporter="node-2",
        gpu_energy_kwh=1.0,
        nodes=[NodeReport(hostname="node-2")],
    )
    put(api_client, share)
    whole = api_client.get(path).json()
    assert (whole["gpu_energy_kwh"], whole["energy_kwh"]) == (0.5, 0.506)
    delivered = api_client.get(path, params={"as": "delivered"}).json()
    assert (delivered["gpu_energy_kwh"], delivered["energy_kwh"]) == (51.0, 51.006)
    assert sums_are_right(api_client)


def test_a_wrong_meter_reading_is_corrected_and_kept(api_client: TestClient) -> None:
    path = put(api_client, make_report(gpu_energy_kwh=500.0, idle_energy_kwh=3.0))
    now = correct(api_client, path, gpu_energy_kwh=0.5)
    assert now["energy_kwh"] == 0.503
    assert (now["gpu_energy_method"], now["gpu_energy_uncertainty"]) == ("corrected", None)
    assert (now["cpu_energy_method"], now["energy_uncertainty"]) == ("codecarbon_cpu_load", None)
    assert now["idle_energy_kwh"] == 0.503
    assert now["emissions_kg"] == pytest.approx(0.503 * 1.2 * 0.38095)
    assert api_client.get("/v1/summary").json()["energy_kwh"] == 0.503
    (entry,) = log(api_client, path)
    assert entry["changes"]["gpu_energy_kwh"] == {"before": 500.0, "after": 0.5}
    assert entry["changes"]["energy_kwh"] == {"before": 500.003, "after": 0.503}
    current, old = api_client.get(f"{path}/costings").json()
    assert (current["is_current"], current["energy_kwh"]) == (True, 0.503)
    assert (old["is_current"], old["energy_kwh"]) == (False, 500.003)
    total = correct(api_client, path, energy_kwh=0.4)
    assert (total["gpu_energy_kwh"], total["cpu_energy_kwh"], total["energy_kwh"]) == (
        None,
        None,
        0.4,
    )
    unknown = correct(api_client, path, energy_kwh=None)
    assert (unknown["energy_kwh"], unknown["emissions_kg"]) == (None, None)
    assert sums_are_right(api_client)


def test_a_place_brings_its_intensity_unless_one_is_given(api_client: TestClient) -> None:
    path = put(api_client, make_report())
    now = correct(api_client, path, country_iso_code="FRA")
    known = api_client.get("/v1/grid").json()
    (france,) = (f for f in known if f["country_iso_code"] == "FRA" and f["region"] is None)
    assert now["intensity_g_per_kwh"] == france["intensity_g_per_kwh"]
    assert (now["intensity_source"], now["intensity_year"]) == (france["source"], france["year"])
    assert now["factor_table"].startswith("bundled-")
    assert now["emissions_kg"] == pytest.approx(
        0.003 * 1.2 * france["intensity_g_per_kwh"] / 1000, rel=1e-6
    )
    by_hand = correct(api_client, path, intensity_g_per_kwh=20.0, intensity_source="our own meter")
    assert (by_hand["country_iso_code"], by_hand["intensity_year"]) == ("FRA", None)
    assert (by_hand["intensity_source"], by_hand["factor_table"]) == ("our own meter", None)
    nowhere = correct(api_client, path, country_iso_code=None)
    assert (nowhere["intensity_g_per_kwh"], nowhere["emissions_kg"]) == (None, None)
    back = correct(
        api_client,
        path,
        withdraw=["country_iso_code", "region", "intensity_g_per_kwh"],
    )
    assert back["country_iso_code"] == "DEU"
    assert len(log(api_client, path)) == 4
    assert sums_are_right(api_client)


def test_what_is_withdrawn_is_as_delivered_again(api_client: TestClient) -> None:
    report = make_report(gpu_energy_kwh=7.0, tags={"a": "b"})
    path = put(api_client, report)
    fields = {"gpu_energy_kwh": 1.0, "tags": {}, "intensity_g_per_kwh": 1.0, "study": "s"}
    correct(api_client, path, **fields)
    etag = api_client.get(path).headers["etag"]
    correct(
        api_client,
        path,
        withdraw=["intensity_source", "intensity_year", *fields],
    )
    found = api_client.get(path, headers={"If-None-Match": etag})
    assert RunReport.model_validate_json(found.content) == report
    assert api_client.get(path, params={"as": "delivered"}).json() == found.json()
    assert sums_are_right(api_client)


def test_a_correction_that_is_sent_twice_is_logged_once(api_client: TestClient) -> None:
    path = put(api_client, make_report())
    first = correct(api_client, path, name="n", country_iso_code="FRA")
    assert correct(api_client, path, name="n", country_iso_code="FRA") == first
    assert len(log(api_client, path)) == 1


REFUSED: list[tuple[Any, str]] = [
    ({"project": "x"}, "reason"),
    ({"reason": " ", "project": "x"}, "reason"),
    ({"reason": "r"}, "correction"),
    ({"reason": "r", "project": None}, "project"),
    ({"reason": "r", "project": ".."}, "project"),
    ({"reason": "r", "tags": None}, "tags"),
    ({"reason": "r", "seq": 3}, "seq"),
    ({"reason": "r", "duration_s": 3}, "duration_s"),
    ({"reason": "r", "pue": 0.5}, "pue"),
    ({"reason": "r", "pue": None}, "pue"),
    ({"reason": "r", "energy_kwh": -1}, "energy_kwh"),
    ({"reason": "r", "energy_kwh": 1, "gpu_energy_kwh": 3}, "run"),
    ({"reason": "r", "energy_kwh": 9e6, "pue": 10}, "emissions_kg"),
    ({"reason": "r", "country_iso_code": "XXX"}, "country_iso_code"),
    ({"reason": "r", "region": "Atlantis"}, "region"),
    ({"reason": "r", "name": "x", "withdraw": ["name"]}, "name"),
    ({"reason": "r", "withdraw": ["seq"]}, "withdraw.0"),
    ([], "correction"),
    (7, "correction"),
]


def test_what_makes_no_run_is_refused_and_changes_nothing(api_client: TestClient) -> None:
    path = put(api_client, make_report())
    before = api_client.get(path).json()
    for body, field in REFUSED:
        answer = api_client.patch(path, json=body)
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["errors"][0]["field"] == field
    assert api_client.patch(path, content=b"{").status_code == 400
    assert api_client.get(path).json() == before
    assert log(api_client, path) == []


def test_energy_of_a_run_that_goes_on_is_not_corrected(api_client: TestClient) -> None:
    path = put(api_client, make_report(status="running", ended_at=None))
    answer = api_client.patch(path, json={"reason": "r", "gpu_energy_kwh": 1})
    assert answer.status_code == 409
    assert "once it has ended" in answer.json()["detail"]
    assert correct(api_client, path, name="n")["name"] == "n"


def test_a_run_that_knows_its_total_only_has_no_component_corrected(
    api_client: TestClient,
) -> None:
    nothing = {"cpu_energy_kwh": None, "ram_energy_kwh": None}
    report = make_report(**nothing).model_copy(update={"energy_kwh": 4.0})
    path = put(api_client, report)
    answer = api_client.patch(path, json={"reason": "r", "gpu_energy_kwh": 1})
    assert "in total only" in answer.json()["detail"]
    both = {"energy_kwh": 3.0, "gpu_energy_kwh": 1.0, "cpu_energy_kwh": 2.0}
    assert correct(api_client, path, **both)["cpu_energy_kwh"] == 2.0


def test_a_report_that_fits_no_correction_is_refused(api_client: TestClient) -> None:
    run = make_report(gpu_energy_kwh=1.0)
    path = put(api_client, run)
    correct(api_client, path, pue=10.0, intensity_g_per_kwh=10_000.0)
    late = make_report(run_id=run.run_id, seq=5, gpu_energy_kwh=8e6)
    answer = api_client.put(path, content=late.model_dump_json())
    assert answer.status_code == 422
    assert "with what was corrected of run" in answer.json()["detail"]
    assert api_client.get(path).json()["gpu_energy_kwh"] == 1.0
    assert sums_are_right(api_client)


def test_a_deletion_leaves_its_sums_in_the_log(api_client: TestClient) -> None:
    report = make_report(project="gone", gpu_energy_kwh=5.0)
    path = put(api_client, report)
    correct(api_client, path, pue=1.0)
    assert api_client.delete(path, params={"reason": "a test"}).status_code == 204
    entry, _ = log(api_client, path)
    assert (entry["action"], entry["project"], entry["reason"]) == ("delete", "gone", "a test")
    assert entry["changes"]["energy_kwh"] == {"before": 5.003, "after": None}
    assert entry["changes"]["emissions_kg"]["before"] == pytest.approx(5.003 * 0.38095)
    put(api_client, report)
    assert api_client.get(path).json()["pue"] == 1.2
    assert [line["is_current"] for line in api_client.get(f"{path}/costings").json()] == [True]
    assert api_client.delete(path, params={"why": "x"}).status_code == 422


def test_nothing_is_corrected_that_is_not_there(api_client: TestClient) -> None:
    path = f"/v1/runs/{new_run_id()}"
    assert api_client.patch(path, json={"reason": "r", "name": "n"}).status_code == 404
    assert api_client.get(f"{path}/costings").status_code == 404
    assert log(api_client, path) == []


def test_the_log_is_read_page_by_page_and_never_written(api_client: TestClient) -> None:
    first = put(api_client, make_report(project="a"))
    second = put(api_client, make_report(project="b"))
    for number in range(5):
        correct(api_client, first, name=f"n{number}")
        correct(api_client, second, name=f"n{number}")
    middle = log(api_client, second)[2]["at"]
    seen: list[str] = []
    asked: dict[str, str | int] = {"project": "a", "limit": 2}
    page = api_client.get("/v1/audit", params=asked).json()
    while True:
        seen += [entry["changes"]["name"]["after"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
        page = api_client.get("/v1/audit", params={**asked, "cursor": cursor}).json()
    assert seen == ["n4", "n3", "n2", "n1", "n0"]
    since = api_client.get("/v1/audit", params={"since": middle}).json()["items"]
    assert len(since) == 5
    run_id = second.rpartition("/")[2]
    assert len(api_client.get("/v1/audit", params={"run_id": run_id}).json()["items"]) == 5
    assert api_client.get("/v1/audit", params={"cursor": cursor}).status_code == 422
    assert api_client.get("/v1/audit", params={"actor": "x"}).status_code == 422
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert api_client.request(method, "/v1/audit").status_code == 405


# ------------------------------------------------------------------------------------------- keys


def test_the_log_names_the_key_and_tells_a_project_nothing_of_another(ledgers: Ledgers) -> None:
    url = ledgers.url()
    a_key, a = make_key(url, "a", scopes=("admin", "ingest"))
    b = make_key(url, "b", scopes=("admin", "ingest"))[1]
    settings = ledgers.settings(api_key="correct horse battery")
    run = make_report(project="a", seq=1, status="running", ended_at=None)
    path = f"/v1/runs/{run.run_id}"

    with TestClient(create_app(settings)) as client:

        def sent(key: str, report: RunReport) -> int:
            body = report.model_dump_json()
            return client.put(path, content=body, headers=bearing(key)).status_code

        def corrected(key: str, **fields: Any) -> Any:
            return client.patch(path, json={"reason": "r", **fields}, headers=bearing(key))

        def whole(key: str, query: str = "") -> list[Any]:
            items = client.get(f"/v1/audit{query}", headers=bearing(key)).json()["items"]
            return list(items)

        def seen(key: str, asked: str = f"{path}/audit") -> list[Any]:
            items = client.get(asked, headers=bearing(key)).json()["items"]
            return [(entry["actor"], *entry["changes"]) for entry in items]

        assert sent(a, run) == 201
        assert corrected(a, name="n").status_code == 200
        assert corrected(a, project="b").status_code == 403
        assert corrected("correct horse battery", project="b", user="u").status_code == 200
        assert corrected(a, name="m").status_code == 404
        assert corrected(b, study="s").status_code == 200

        by_a, moved = (f"key {a_key.id}", "name"), ("the server's key", "project")
        by_all = (*moved, "user")
        assert seen(a) == [moved, by_a]
        by_b, came = seen(b)
        assert (by_b[1:], came) == (("study",), moved)
        assert seen("correct horse battery") == [by_b, by_all, by_a]
        for key, own, other in ((a, "a", "b"), (b, "b", "a")):
            assert seen(key, "/v1/audit") == seen(key)
            assert seen(key, f"/v1/audit?project={own}") == seen(key)
            assert seen(key, f"/v1/audit?project={other}") == []
        went, came = (
            next(entry for entry in whole(key) if "project" in entry["changes"]) for key in (a, b)
        )
        for entry, change in (
            (went, {"before": "a", "after": None}),
            (came, {"before": None, "after": "b"}),
        ):
            # Its reason may name the other one, and what else was corrected is of both.
            assert entry["changes"] == {"project": change}
            assert (entry["project"], entry["reason"]) == (change["before"] or "b", None)
        of_b = [entry["project"] for entry in whole("correct horse battery", "?project=b")]
        assert of_b == ["b", "a"]

        # It goes on as what it says it is, and only those who may see that can read it as such.
        assert sent(a, run.model_copy(update={"seq": 2})) == 200
        assert sent(b, run.model_copy(update={"seq": 3, "project": "b"})) == 409
        assert client.get(path, headers=bearing(a)).status_code == 404
        now = client.get(path, headers=bearing(b)).json()
        assert (now["project"], now["name"], now["study"], now["seq"]) == ("b", "n", "s", 2)
        delivered = client.get(path, params={"as": "delivered"}, headers=bearing(b))
        assert delivered.status_code == 404
        back = corrected(b, withdraw=["project"])
        assert back.status_code == 403
        assert "'a'" not in back.text
