"""The same energy under other conditions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from carbon import grid
from carbon.attribution.run_id import new_run_id
from carbon.schema import NodeReport, RunReport, SeriesReport, WhatIf
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers

EIGHT = datetime(2026, 3, 1, 8, tzinfo=UTC)
BY_HOUR = [500.0] * 8 + [100.0] * 8 + [300.0] * 8


def put(client: TestClient, *sent: RunReport) -> None:
    for report in sent:
        answer = client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
        assert answer.status_code == 201, answer.text


def compared(answer: Any) -> WhatIf:
    assert answer.status_code == 200, answer.text
    return WhatIf.model_validate_json(answer.content)


def test_a_run_elsewhere_and_at_another_pue(ledgers: Ledgers) -> None:
    with TestClient(create_app(ledgers.settings(currency="EUR", price_per_kwh="0.5"))) as client:
        run = make_report(gpu_energy_kwh=1.0)
        put(client, run)
        path = f"/v1/runs/{run.run_id}/what-if"
        found = compared(client.get(path, params={"country": "fra", "pue": 1.05}))
        posted = client.post(path, json={"country": "FRA", "pue": 1.05})
        assert compared(posted) == found
    france = grid.lookup("FRA", None)
    assert france is not None
    assert found.actual.emissions_kg == run.emissions_kg
    other = found.hypothetical
    assert other.energy_kwh == found.actual.energy_kwh == 1.003
    assert (other.grid_energy_kwh, other.intensity_source) == (1.05315, france.source)
    assert other.intensity_year == france.year
    would_be_kg = 1.05315 * france.intensity_g_per_kwh / 1000
    assert other.emissions_kg == pytest.approx(would_be_kg)
    assert found.difference.grid_energy_ratio == pytest.approx(1.05 / 1.2)
    assert found.difference.cost == {"EUR": pytest.approx(-0.5 * 1.003 * 0.15)}
    assert found.difference.cost_ratio == {"EUR": pytest.approx(1.05 / 1.2)}
    assert found.difference.emissions_kg == pytest.approx(would_be_kg - (run.emissions_kg or 0))
    assert "a PUE of 1.05" in other.method
    assert "yearly mean intensity of FRA" in other.method


def test_a_run_at_another_hour_by_what_it_drew_in_each(shared_client: TestClient) -> None:
    power = SeriesReport(
        name="gpu_power",
        unit="W",
        device_uuid="GPU-1",
        start_s=0.0,
        interval_s=3600.0,
        values=[100.0, 0.0, 300.0],
    )
    run = make_report(
        started_at=EIGHT - timedelta(hours=1),  # 500 for its first hour, then 100.
        ended_at=EIGHT + timedelta(hours=2),
        duration_s=10800.0,
        gpu_energy_kwh=4.0,
        cpu_energy_kwh=None,
        ram_energy_kwh=None,
        pue=1.0,
        nodes=[NodeReport(hostname="node-1", series=[power])],
    )
    put(shared_client, run)
    path = f"/v1/runs/{run.run_id}/what-if"
    sent = {"shift_h": 1, "hourly_g_per_kwh": BY_HOUR, "intensity_source": "the grid's operator"}
    found = compared(shared_client.post(path, json=sent))
    assert found.actual.emissions_kg == 1 * 0.5 + 3 * 0.1
    assert found.actual.intensity_g_per_kwh == 200.0
    assert found.hypothetical.emissions_kg == 4 * 0.1
    assert found.hypothetical.intensity_source == "the grid's operator"
    assert found.difference.emissions_ratio == pytest.approx(0.5)
    assert "by the power recorded over time of gpu" in found.hypothetical.method
    moments = [
        [(EIGHT + timedelta(hours=hour)).isoformat(), value]
        for hour, value in ((-2, 900), (-1, 500), (0, 100), (8, 300))
    ]
    same = compared(shared_client.post(path, json={"shift_h": 1, "intensities": moments}))
    assert same.difference == found.difference
    short = shared_client.post(path, json={"shift_h": 10, "intensities": moments})
    assert short.status_code == 422
    assert short.json()["errors"][0]["field"] == "intensities"
    late = shared_client.post(path, json={"shift_h": -8784, "hourly_g_per_kwh": BY_HOUR})
    assert late.status_code == 200


def test_a_shift_out_of_all_years_is_refused(shared_client: TestClient) -> None:
    run = make_report(started_at=datetime(1, 1, 2, tzinfo=UTC))
    put(shared_client, run)
    answer = shared_client.post(
        f"/v1/runs/{run.run_id}/what-if", json={"shift_h": -48, "hourly_g_per_kwh": BY_HOUR}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "shift_h"


def test_what_is_unknown_stays_unknown(shared_client: TestClient) -> None:
    nothing: dict[str, Any] = {"cpu_energy_kwh": None, "ram_energy_kwh": None}
    unmeasured, nowhere = make_report(**nothing), make_report(intensity_g_per_kwh=None)
    put(shared_client, unmeasured, nowhere)
    found = compared(shared_client.get(f"/v1/runs/{unmeasured.run_id}/what-if?country=FRA"))
    assert found.hypothetical.emissions_kg is None
    assert found.hypothetical.grid_energy_kwh is None
    assert found.difference.emissions_ratio is None
    found = compared(shared_client.get(f"/v1/runs/{nowhere.run_id}/what-if?country=FRA"))
    assert found.actual.emissions_kg is None
    assert found.hypothetical.emissions_kg is not None
    assert found.difference.emissions_kg is None
    found = compared(shared_client.get(f"/v1/runs/{nowhere.run_id}/what-if?pue=1.5"))
    assert found.hypothetical.emissions_kg is None
    # Of this country there is no figure.
    found = compared(shared_client.get(f"/v1/runs/{nowhere.run_id}/what-if?country=AND"))
    assert (found.hypothetical.emissions_kg, found.hypothetical.intensity_g_per_kwh) == (None, None)
    assert "not known" in found.hypothetical.method


def test_a_project_is_the_sum_of_its_runs(ledgers: Ledgers) -> None:
    with TestClient(create_app(ledgers.settings(currency="EUR", price_per_kwh="0.5"))) as client:
        runs = [
            make_report(gpu_energy_kwh=1.0, pue=1.1),
            make_report(gpu_energy_kwh=2.0, pue=1.1, intensity_g_per_kwh=50.0),
            make_report(gpu_energy_kwh=8e6, cpu_energy_kwh=None, pue=1.5),
            make_report(gpu_energy_kwh=8e6, cpu_energy_kwh=None, pue=1.5),
            make_report(gpu_energy_kwh=4.0, intensity_g_per_kwh=None),
            make_report(cpu_energy_kwh=None, ram_energy_kwh=None),
        ]
        put(client, *runs, make_report(project="other", gpu_energy_kwh=99.0))
        for asked in ({"country": "FRA"}, {"pue": "1.0"}, {"country": "FRA", "pue": "1.3"}):
            alone = [
                compared(client.get(f"/v1/runs/{run.run_id}/what-if", params=asked)) for run in runs
            ]
            found = compared(client.get("/v1/projects/digits/what-if", params=asked))
            assert found.runs == 6
            for side in ("actual", "hypothetical"):
                together, parts = getattr(found, side), [getattr(one, side) for one in alone]
                for name in ("energy_kwh", "grid_energy_kwh", "emissions_kg"):
                    total = sum(getattr(part, name) or 0 for part in parts)
                    assert getattr(together, name) == pytest.approx(total, rel=1e-14), (side, name)
                for name in ("runs_without_energy", "runs_without_emissions"):
                    assert getattr(together, name) == sum(getattr(part, name) for part in parts)
                paid = sum(cost.cost for part in parts for cost in part.costs)
                assert [cost.cost for cost in together.costs] == [pytest.approx(paid)]
            both = [one.difference.emissions_kg or 0 for one in alone]
            assert found.difference.emissions_kg == pytest.approx(sum(both))
        assert client.get("/v1/projects/none/what-if?pue=1").status_code == 404


NO_QUERIES = [
    ("", "request"),
    ("country=XXX", "country"),
    ("country=germany", "country"),
    ("region=Bavaria", "request"),
    ("country=DEU&region=Nowhere", "region"),
    ("pue=0.9", "pue"),
    ("shift_h=3", "shift_h"),
    ("cuntry=DEU", "cuntry"),
]


def test_what_cannot_be_compared_is_refused(shared_client: TestClient) -> None:
    run = make_report()
    put(shared_client, run)
    for path in (f"/v1/runs/{run.run_id}/what-if", "/v1/projects/digits/what-if"):
        for query, field in NO_QUERIES:
            answer = shared_client.get(f"{path}?{query}")
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"][0]["field"] == field


NO_CONDITIONS: list[dict[str, Any]] = [
    {},
    {"shift_h": 3},
    {"hourly_g_per_kwh": [1.0] * 23},
    {"hourly_g_per_kwh": [-1.0] * 24},
    {"hourly_g_per_kwh": BY_HOUR, "country": "FRA"},
    {"hourly_g_per_kwh": BY_HOUR, "intensities": [["2026-03-01T00:00:00Z", 1]]},
    {"intensities": []},
    {"intensities": [["2026-03-01T00:00:00", 1]]},
    {"intensities": [["2026-03-01T01:00:00Z", 1], ["2026-03-01T00:00:00Z", 1]]},
    {"intensity_source": "x"},
]


def test_what_is_no_condition_is_refused(shared_client: TestClient) -> None:
    run = make_report(started_at=EIGHT)
    put(shared_client, run)
    for body in NO_CONDITIONS:
        answer = shared_client.post(f"/v1/runs/{run.run_id}/what-if", json=body)
        assert answer.status_code == 422, body


def test_a_run_that_is_not_there(shared_client: TestClient) -> None:
    path = f"/v1/runs/{new_run_id()}"
    assert shared_client.get(f"{path}/what-if?pue=1").status_code == 404
    assert shared_client.post(f"{path}/what-if", json={"pue": 1}).status_code == 404
    assert shared_client.get(f"{path}/footprint").status_code == 404
