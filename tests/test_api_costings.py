"""Factor tables, and costing runs anew with one: old figures stay, sums follow, nobody waits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from api import costings
from api.app import create_app
from carbon import grid
from carbon.schema import RunReport
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers
from tests.sums import sums_are_right

TABLE: dict[str, Any] = {
    "version": "owid-2025",
    "source": "Our World in Data",
    "year": 2025,
    "factors": [
        {"country_iso_code": "DEU", "intensity_g_per_kwh": 300.0},
        {
            "country_iso_code": "USA",
            "region": "New York",
            "intensity_g_per_kwh": 200.0,
            "year": 2024,
        },
    ],
}


def put(client: TestClient, report: RunReport) -> str:
    path = f"/v1/runs/{report.run_id}"
    answer = client.put(path, content=report.model_dump_json())
    assert answer.is_success, answer.text
    return path


def recost(client: TestClient, **order: Any) -> dict[str, Any]:
    answer = client.post("/v1/recost", json={"table": "owid-2025", **order})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def client(api_client: TestClient) -> TestClient:
    """A ledger that has the table."""
    assert api_client.post("/v1/factor-tables", json=TABLE).status_code == 201
    return api_client


def test_a_table_is_kept_under_its_version_and_does_not_change(client: TestClient) -> None:
    again = client.post("/v1/factor-tables", json=TABLE)
    assert again.status_code == 200
    other = {**TABLE, "factors": [{"country_iso_code": "DEU", "intensity_g_per_kwh": 1}]}
    assert client.post("/v1/factor-tables", json=other).status_code == 409
    own, bundled = client.get("/v1/factor-tables").json()
    assert own == again.json()
    assert (own["version"], own["year"], own["factors"]) == ("owid-2025", 2025, 2)
    assert (bundled["version"], bundled["imported_at"]) == (grid.bundled_version(), None)
    germany, new_york = client.get("/v1/grid", params={"table": "owid-2025"}).json()
    assert (germany["country_name"], germany["region"]) == ("Germany", None)
    assert (germany["source"], germany["year"]) == ("Our World in Data", 2025)
    assert (new_york["region"], new_york["year"]) == ("New York", 2024)
    own_table = client.get("/v1/grid", params={"table": bundled["version"]})
    assert own_table.json() == client.get("/v1/grid").json()
    assert len(own_table.json()) == bundled["factors"]
    (entry,) = client.get("/v1/audit").json()["items"]
    assert (entry["action"], entry["changes"]["factor_table"]["after"]) == ("import", "owid-2025")


def test_what_is_no_table_is_refused(api_client: TestClient) -> None:
    factor = {"country_iso_code": "DEU", "intensity_g_per_kwh": 1}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"factors": []}, "factors"),
        ({"factors": [{**factor, "country_iso_code": "XYZ"}]}, "factors.0.country_iso_code"),
        ({"factors": [{**factor, "intensity_g_per_kwh": -1}]}, "factors.0.intensity_g_per_kwh"),
        ({"factors": [factor, factor]}, "factors.1"),
        (
            {"factors": [{**factor, "region": "X"}, {**factor, "region": " x "}]},
            "factors.1",
        ),
        ({"version": "bundled-1"}, "version"),
        ({"version": "a/b"}, "version"),
        ({"source": ""}, "source"),
        ({"colour": "red"}, "colour"),
    ]
    for changed, field in refused:
        answer = api_client.post("/v1/factor-tables", json={**TABLE, **changed})
        assert answer.status_code == 422, changed
        assert answer.json()["errors"][0]["field"] == field
    assert len(api_client.get("/v1/factor-tables").json()) == 1
    assert api_client.get("/v1/grid", params={"table": "none"}).status_code == 404
    assert api_client.get("/v1/grid", params={"tabel": "x"}).status_code == 422
    assert api_client.post("/v1/recost", json={"table": "none"}).status_code == 404
    never = {"since": "2026-03-02T00:00:00Z", "until": "2026-03-02T00:00:00Z"}
    answer = api_client.post("/v1/recost", json={"table": "none", **never})
    assert (answer.status_code, "is not before until" in answer.text) == (422, True)


def test_runs_are_costed_anew_and_the_old_figures_stay(client: TestClient) -> None:
    report = make_report(gpu_energy_kwh=1.0)
    path = put(client, report)
    elsewhere = put(client, make_report(country_iso_code="FRA"))
    put(client, make_report(country_iso_code="USA", region="new york", pue=1.0))
    before = client.get("/v1/summary").json()
    planned = recost(client, dry_run=True)
    assert client.get("/v1/summary").json() == before
    done = recost(client, reason="the year is over")
    assert done == planned
    assert (done["runs"], done["runs_without_factor"], done["next_cursor"]) == (2, 1, None)
    assert done["difference_kg"] == pytest.approx(
        1.003 * 1.2 * (300 - 380.95) / 1000 + 0.003 * (200 - 380.95) / 1000
    )
    after = client.get("/v1/summary").json()
    moved = after["emissions_kg"] - before["emissions_kg"]
    assert moved == pytest.approx(done["difference_kg"])
    now = client.get(path).json()
    assert (now["factor_table"], now["intensity_year"]) == ("owid-2025", 2025)
    assert now["emissions_kg"] == pytest.approx(1.003 * 1.2 * 0.3)
    current, old = client.get(f"{path}/costings").json()
    assert (current["is_current"], current["emissions_kg"]) == (True, now["emissions_kg"])
    assert (old["emissions_kg"], old["intensity_year"]) == (report.emissions_kg, 2023)
    assert len(client.get(f"{elsewhere}/costings").json()) == 1
    (entry, _) = client.get("/v1/audit").json()["items"]
    assert (entry["action"], entry["runs"], entry["reason"]) == ("recost", 2, "the year is over")
    moved = entry["changes"]["emissions_kg"]
    assert moved["after"] - moved["before"] == pytest.approx(done["difference_kg"])
    again = recost(client)
    assert (again["runs"], again["runs_as_before"], again["difference_kg"]) == (0, 2, 0.0)
    assert sums_are_right(client)


def test_a_new_figure_holds_when_the_run_reports_again(client: TestClient) -> None:
    run = make_report(seq=1, status="running", ended_at=None)
    path = put(client, run)
    recost(client)
    last = make_report(run_id=run.run_id, seq=2, gpu_energy_kwh=1.0)
    put(client, last)
    now = client.get(path).json()
    assert (now["factor_table"], now["intensity_g_per_kwh"]) == ("owid-2025", 300.0)
    assert now["emissions_kg"] == pytest.approx(1.003 * 1.2 * 0.3)
    delivered = client.get(path, params={"as": "delivered"})
    assert RunReport.model_validate_json(delivered.content) == last
    assert sums_are_right(client)


def test_an_intensity_that_was_corrected_by_hand_is_left_alone(client: TestClient) -> None:
    path = put(client, make_report())
    client.patch(path, json={"reason": "our own turbine", "intensity_g_per_kwh": 9})
    assert recost(client)["runs_corrected"] == 1
    assert client.get(path).json()["intensity_g_per_kwh"] == 9
    body = {"reason": "sold", "withdraw": ["intensity_g_per_kwh", "intensity_source"]}
    assert client.patch(path, json=body).status_code == 200
    assert recost(client)["runs"] == 1


def test_a_corrected_place_is_looked_up_in_the_table_of_the_run(client: TestClient) -> None:
    path = put(client, make_report())
    recost(client)
    body = {"reason": "moved", "country_iso_code": "USA", "region": "New York"}
    now = client.patch(path, json=body).json()
    assert (now["intensity_g_per_kwh"], now["factor_table"]) == (200.0, "owid-2025")


def test_the_programs_own_table_is_kept_once_a_run_is_costed_with_it(client: TestClient) -> None:
    path = put(client, make_report(country_iso_code="USA", region="NY"))
    recost(client, table=grid.bundled_version())
    now = client.get(path).json()
    assert now["intensity_source"].startswith("eGRID") or "EPA" in now["intensity_source"]
    bundled = next(
        table
        for table in client.get("/v1/factor-tables").json()
        if table["version"] == grid.bundled_version()
    )
    assert bundled["imported_at"] is not None
    assert bundled["factors"] == len(client.get("/v1/grid").json())


def test_only_what_is_asked_for_is_costed_some_at_a_time(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costings, "TOGETHER", 2)
    monkeypatch.setattr(costings, "PAUSE_S", 0.0)
    for _ in range(5):
        put(client, make_report(project="a"))
    put(client, make_report(project="b"))
    assert recost(client, project="a", since="2026-03-02T00:00:00Z")["runs"] == 0
    assert recost(client, project="a", until="2026-03-01T12:00:00Z")["runs"] == 0
    first = recost(client, project="a", limit=3)
    assert first["runs"] == 3
    wrong = client.post("/v1/recost", json={"table": "owid-2025", "cursor": first["next_cursor"]})
    assert wrong.status_code == 422
    second = recost(client, project="a", limit=3, cursor=first["next_cursor"])
    assert (second["runs"], second["next_cursor"]) == (2, None)
    told = client.get("/v1/audit", params={"project": "a"}).json()["items"]
    assert [entry["runs"] for entry in told] == [2, 1, 2]
    assert recost(client)["runs"] == 1
    assert sums_are_right(client)


def test_the_log_of_a_run_has_the_costings_that_it_was_one_of(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costings, "TOGETHER", 3)
    monkeypatch.setattr(costings, "PAUSE_S", 0.0)
    mine, beside = (put(client, make_report(project="a")) for _ in range(2))
    other = put(client, make_report(project="b"))
    alone = put(client, make_report(project="b"))
    nowhere = put(client, make_report(project="c", country_iso_code=None, region=None))
    assert client.patch(mine, json={"reason": "r", "user": "u"}).status_code == 200
    assert recost(client)["runs"] == 4

    def log(path: str) -> list[tuple[str, str, int]]:
        items = client.get(f"{path}/audit").json()["items"]
        return [(entry["action"], entry["project"], entry["runs"]) for entry in items]

    of_a = ("recost", "a", 2)
    assert log(mine) == [of_a, ("correct", "a", 1)]
    assert log(beside) == [of_a]
    assert log(other) == log(alone) == [("recost", "b", 1)]  # Of two transactions.
    assert log(nowhere) == []


def test_the_sums_are_right_wherever_a_costing_stops(client: TestClient) -> None:
    """What a row of sums had of runs that left it is not in it any more, whoever is left."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for number, intensity in enumerate([500.0, 400.0, 500.0, None, 400.0, 450.0, 600.0, 400.0]):
        moment = noon + timedelta(hours=number * 7)
        for project in ("a", "b"):
            put(
                client,
                make_report(project=project, started_at=moment, intensity_g_per_kwh=intensity),
            )
    cursor = None
    for _ in range(2 * 8):
        done = recost(client, limit=1, cursor=cursor)
        cursor = done["next_cursor"]
        assert (done["runs"], sums_are_right(client)) == (1, True)
    told = client.get("/v1/audit", params={"project": "b"}).json()["items"]
    assert [entry["runs"] for entry in told] == [1] * 8


# ---------------------------------------------------------------------------------- market-based

MARKET: dict[str, Any] = {
    "version": "residual-2024",
    "kind": "market",
    "source": "Association of Issuing Bodies",
    "year": 2024,
    "factors": [{"country_iso_code": "DEU", "intensity_g_per_kwh": 700.0}],
}


def import_market(client: TestClient, **fields: Any) -> None:
    assert client.post("/v1/factor-tables", json=MARKET | fields).status_code == 201


@pytest.fixture
def market(client: TestClient) -> TestClient:
    """A ledger that has a table of each kind."""
    import_market(client)
    return client


def patch(client: TestClient, path: str, **fields: Any) -> dict[str, Any]:
    answer = client.patch(path, json={"reason": "r", **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_runs_to_come_have_the_figure_of_the_market_table_imported_last(
    ledgers: Ledgers,
) -> None:
    """On whichever server it was imported."""
    with (
        TestClient(create_app(ledgers.settings())) as one,
        TestClient(create_app(ledgers.settings())) as other,
    ):
        import_market(one)
        france = {"country_iso_code": "FRA", "intensity_g_per_kwh": 50.0}
        import_market(one, version="france-2025", factors=[france])
        report = make_report(gpu_energy_kwh=1.0)
        of_share = make_report(reporter="node-1", gpu_energy_kwh=1.0)
        found = []
        for each in (
            report,
            of_share,
            make_report(country_iso_code="FRA", gpu_energy_kwh=1.0),
            make_report(country_iso_code="SWE", gpu_energy_kwh=1.0),
            make_report(market_intensity_g_per_kwh=9.0),
            make_report(country_iso_code=None, gpu_energy_kwh=1.0),
        ):
            run = other.get(put(other, each)).json()
            found.append((run["market_table"], run["market_intensity_g_per_kwh"]))
            assert run["emissions_kg"] == each.emissions_kg
        assert found == [
            *[("residual-2024", 700.0)] * 2,
            ("france-2025", 50.0),
            (None, None),
            (None, 9.0),
            (None, None),
        ]
        # As it goes on: from the same table, though there is a newer one, and with its energy.
        import_market(one, version="residual-2025")
        path = put(other, report.model_copy(update={"seq": 1, "duration_s": 61.0}))
        whole = put(other, make_report(run_id=of_share.run_id, reporter="node-2", nodes=[]))
        for held in (path, whole):
            run = other.get(held).json()
            assert run["market_table"] == "residual-2024"
            assert run["market_emissions_kg"] == pytest.approx(run["energy_kwh"] * 1.2 * 0.7)
        # One whose place is not known from the beginning.
        late = make_report(country_iso_code=None, gpu_energy_kwh=1.0)
        put(other, late)
        put(other, late.model_copy(update={"seq": 1, "country_iso_code": "DEU"}))
        now = other.get(f"/v1/runs/{late.run_id}").json()
        assert now["market_table"] == "residual-2025"
        assert sums_are_right(other)


def test_market_based_figures_stand_beside_the_others(client: TestClient) -> None:
    report = make_report(gpu_energy_kwh=1.0, study="s")
    path = put(market := client, report)
    put(market, make_report(country_iso_code="FRA"))
    import_market(market)
    before = market.get("/v1/summary").json()
    assert (before["market_emissions_kg"], before["runs_without_market_emissions"]) == (None, 2)
    done = recost(market, table="residual-2024")
    expected_kg = pytest.approx(1.003 * 1.2 * 0.7)
    assert (done["runs"], done["runs_without_factor"]) == (1, 1)
    assert (done["emissions_before_kg"], done["emissions_after_kg"]) == (None, expected_kg)
    assert done["difference_kg"] is None  # From what is not known.
    (entry, *_) = market.get("/v1/audit").json()["items"]
    assert entry["changes"]["market_emissions_kg"] == {"before": None, "after": expected_kg}
    now = market.get(path).json()
    assert (now["emissions_kg"], now["factor_table"]) == (report.emissions_kg, None)
    assert (now["market_emissions_kg"], now["market_intensity_g_per_kwh"]) == (expected_kg, 700)
    assert (now["market_table"], now["market_source"]) == ("residual-2024", MARKET["source"])
    summary = market.get("/v1/summary").json()
    assert summary["emissions_kg"] == before["emissions_kg"]
    (study,) = market.get("/v1/projects/digits/studies").json()["items"]
    for totals, without in ((summary, 1), (study, 0)):
        assert totals["market_emissions_kg"] == expected_kg
        assert totals["runs_without_market_emissions"] == without
    current, old = market.get(f"{path}/costings").json()
    assert (old["market_emissions_kg"], old["emissions_kg"]) == (None, report.emissions_kg)
    assert current["market_table"] == "residual-2024"
    assert current["emissions_kg"] == old["emissions_kg"]
    recost(market)
    again = market.get(path).json()
    assert (again["factor_table"], again["market_emissions_kg"]) == ("owid-2025", expected_kg)
    assert sums_are_right(market)


def test_a_market_based_figure_follows_its_run(market: TestClient) -> None:
    """What it reports later, and what is corrected of it: energy, PUE and place."""
    run = make_report(seq=1, status="running", ended_at=None)
    path = put(market, run)
    recost(market, table="residual-2024")
    put(market, make_report(run_id=run.run_id, seq=2, gpu_energy_kwh=1.0))
    assert market.get(path).json()["market_emissions_kg"] == pytest.approx(1.003 * 1.2 * 0.7)
    corrected = patch(market, path, gpu_energy_kwh=2.0, pue=1.0)
    assert corrected["market_emissions_kg"] == pytest.approx(2.003 * 0.7)
    moved = patch(market, path, country_iso_code="FRA")
    assert (moved["market_emissions_kg"], moved["market_table"]) == (None, None)
    assert moved["emissions_kg"] is not None
    recost(market, table="residual-2024")
    back = patch(market, path, country_iso_code="DEU")
    assert back["market_emissions_kg"] == pytest.approx(2.003 * 0.7)
    assert recost(market, table="residual-2024")["runs_as_before"] == 1
    share = make_report(run_id=run.run_id, seq=1, reporter="node-2", nodes=[])
    put(market, share)
    whole = market.get(path).json()
    assert whole["energy_kwh"] > 2.003
    assert whole["market_emissions_kg"] == pytest.approx(whole["energy_kwh"] * 0.7)
    assert sums_are_right(market)


def test_a_contract_is_said_by_hand(market: TestClient) -> None:
    path = put(market, make_report())
    now = patch(market, path, market_intensity_g_per_kwh=0, market_source="a wind park")
    assert (now["market_emissions_kg"], now["market_source"]) == (0.0, "a wind park")
    assert now["emissions_kg"] > 0
    assert recost(market, table="residual-2024")["runs_corrected"] == 1
    assert market.get("/v1/summary").json()["market_emissions_kg"] == 0.0
    back = patch(market, path, withdraw=["market_intensity_g_per_kwh", "market_source"])
    assert (back["market_emissions_kg"], back["market_source"]) == (None, None)
    assert sums_are_right(market)


def test_a_report_may_say_it_itself(market: TestClient) -> None:
    report = make_report(gpu_energy_kwh=1.0, market_intensity_g_per_kwh=100.0)
    said = report.model_dump(mode="json") | {"market_emissions_kg": 1.003 * 1.2 * 0.1}
    path = f"/v1/runs/{report.run_id}"
    assert market.put(path, json=said | {"market_emissions_kg": 7.0}).status_code == 422
    unfounded = said | {"market_intensity_g_per_kwh": None}
    assert "market_intensity_g_per_kwh beside it" in market.put(path, json=unfounded).text
    assert market.put(path, json=said).status_code == 201
    share = make_report(run_id=report.run_id, reporter="node-2", nodes=[], cpu_energy_kwh=1.0)
    put(market, share)
    found = market.get(path).json()
    assert found["market_emissions_kg"] == pytest.approx(found["energy_kwh"] * 1.2 * 0.1)
    assert sums_are_right(market)
