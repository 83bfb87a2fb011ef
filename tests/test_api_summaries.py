"""What projects and places add up to: exactly, and unknown where nothing is known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from carbon.equivalents import equivalents
from carbon.grid import all_factors
from carbon.schema import GridFactor, PlaceTotals, RunFields, RunReport, Summary
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def put(client: TestClient, *reports: RunReport) -> None:
    for report in reports:
        answer = client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
        assert answer.status_code == 201, answer.text


def summary(client: TestClient, project: str | None = None) -> Summary:
    answer = client.get("/v1/summary" if project is None else f"/v1/projects/{project}/summary")
    assert answer.status_code == 200, answer.text
    return Summary.model_validate_json(answer.content)


def place(client: TestClient, country: str | None) -> PlaceTotals:
    (found,) = [each for each in summary(client).places if each.country_iso_code == country]
    return found


# ----------------------------------------------------------------------------------------- totals


def test_an_empty_ledger_has_no_runs_and_unknown_energy(api_client: TestClient) -> None:
    empty = summary(api_client)
    assert empty == Summary(
        project=None,
        runs=0,
        runs_without_energy=0,
        runs_without_emissions=0,
        runs_without_market_emissions=0,
        runs_without_idle_energy=0,
        duration_s=0.0,
        energy_kwh=None,
        gpu_energy_kwh=None,
        cpu_energy_kwh=None,
        ram_energy_kwh=None,
        idle_energy_kwh=None,
        energy_uncertainty=None,
        emissions_uncertainty=None,
        grid_energy_kwh=None,
        emissions_kg=None,
        market_emissions_kg=None,
        first_run_at=None,
        last_run_at=None,
        runs_by_status={"running": 0, "completed": 0, "failed": 0, "interrupted": 0},
        places=[],
        last_run=None,
        equivalents=[],
        last_run_equivalents=[],
    )
    assert api_client.get("/v1/projects").json() == {"items": [], "next_cursor": None}


def test_failed_and_interrupted_runs_count_too(api_client: TestClient) -> None:
    statuses = ["completed", "failed", "interrupted", "running", "failed"]
    put(api_client, *(make_report(status=status, ended_at=None) for status in statuses))
    total = summary(api_client)
    assert total.runs == 5
    assert total.energy_kwh == 0.015
    assert total.duration_s == 300.0
    assert total.runs_by_status == {"running": 1, "completed": 1, "failed": 2, "interrupted": 1}


def test_the_last_run_is_the_one_that_started_last(api_client: TestClient) -> None:
    newest = make_report(started_at=NOON + HOUR, gpu_energy_kwh=10.0)
    put(api_client, newest, make_report(started_at=NOON), make_report(started_at=NOON - HOUR))
    total = summary(api_client)
    assert total.last_run is not None
    listed = newest.model_dump(include=set(RunFields.model_fields))
    assert total.last_run.model_dump() == listed
    assert (total.first_run_at, total.last_run_at) == (NOON - HOUR, NOON + HOUR)
    assert total.equivalents == equivalents(total.emissions_kg, 0.3) != []
    assert total.last_run_equivalents == equivalents(newest.emissions_kg, 0.3) != total.equivalents


def test_the_band_of_emissions_is_weighted_by_emissions(api_client: TestClient) -> None:
    clean = make_report(gpu_energy_kwh=0.997, energy_uncertainty=0.1, intensity_g_per_kwh=50.0)
    dirty = make_report(gpu_energy_kwh=0.997, energy_uncertainty=0.3, intensity_g_per_kwh=550.0)
    nowhere = make_report(
        gpu_energy_kwh=7.997,
        energy_uncertainty=0.2,
        intensity_g_per_kwh=None,
        country_iso_code=None,
    )
    put(api_client, clean, dirty, nowhere)
    total = summary(api_client)
    assert total.energy_uncertainty == pytest.approx((0.1 + 0.3 + 8 * 0.2) / 10)
    expected = (50 * 0.1 + 550 * 0.3) / 600
    assert total.emissions_uncertainty == pytest.approx(expected)
    (car, *_) = [e for e in total.equivalents if e.key == "car_km"]
    assert car.amount_uncertainty == pytest.approx(car.amount * expected)


def test_the_idle_part_is_summed_over_the_runs_that_know_it(api_client: TestClient) -> None:
    put(api_client, make_report(idle_energy_kwh=0.001), make_report(idle_energy_kwh=0.0005))
    known = summary(api_client)
    assert (known.idle_energy_kwh, known.runs_without_idle_energy) == (0.0015, 0)
    put(api_client, make_report())
    mixed = summary(api_client)
    assert (mixed.idle_energy_kwh, mixed.runs_without_idle_energy) == (0.0015, 1)
    assert mixed.energy_kwh == 0.009
    # The gross energy stays what is billed.
    assert mixed.emissions_kg == pytest.approx(mixed.energy_kwh * 1.2 * 380.95 / 1000)


def test_what_is_unknown_is_counted_and_left_out_of_the_sums(api_client: TestClient) -> None:
    unmeasured = make_report(cpu_energy_kwh=None, ram_energy_kwh=None)
    nowhere = make_report(country_iso_code=None, intensity_g_per_kwh=None)
    put(api_client, make_report(), unmeasured, nowhere)
    total = summary(api_client)
    assert (total.runs_without_energy, total.runs_without_emissions) == (1, 2)
    assert (total.energy_kwh, total.gpu_energy_kwh) == (0.006, None)
    assert total.emissions_kg == make_report().emissions_kg


@pytest.mark.parametrize("unknown", ["energy", "emissions"])
def test_a_sum_of_nothing_known_is_unknown(api_client: TestClient, unknown: str) -> None:
    values: dict[str, Any] = {"intensity_g_per_kwh": None}
    if unknown == "energy":
        values |= {"cpu_energy_kwh": None, "ram_energy_kwh": None}
    put(api_client, make_report(**values), make_report(**values))
    total = summary(api_client)
    assert total.emissions_kg is None
    assert total.energy_kwh == (None if unknown == "energy" else 0.006)


def test_a_measured_zero_is_zero(api_client: TestClient) -> None:
    put(api_client, make_report(cpu_energy_kwh=0.0, ram_energy_kwh=0.0))
    total = summary(api_client)
    assert (total.energy_kwh, total.emissions_kg, total.runs_without_energy) == (0.0, 0.0, 0)


UNCERTAIN: list[tuple[list[tuple[float, float | None]], float | None]] = [
    ([(1.0, 0.1), (3.0, 0.3)], 0.25),
    ([(1.0, 0.1), (1.0, 0.1), (1.0, 0.1)], 0.1),
    ([(1.0, 0.1), (3.0, None)], 0.1),
    ([(1.0, None)], None),
    ([(0.0, 0.1), (2.0, 0.3)], 0.3),
    ([(0.0, 0.2)], None),  # Of no energy there is no share that could be wrong.
    ([(0.0, 0.1), (0.0, 0.3)], None),
]


@pytest.mark.parametrize(("runs", "expected"), UNCERTAIN)
def test_uncertainty_is_the_energy_weighted_mean(
    api_client: TestClient, runs: list[tuple[float, float | None]], expected: float | None
) -> None:
    for energy, uncertainty in runs:
        report = make_report(
            cpu_energy_kwh=energy, ram_energy_kwh=None, energy_uncertainty=uncertainty
        )
        put(api_client, report)
    found = summary(api_client).energy_uncertainty
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))


# --------------------------------------------------------------------------- to the last digit

# 15 runs of these stay below 1000 kWh and kg: 15 digits, and a float shows every one of them.
small = st.integers(0, 20 * 10**12).map(lambda count: count / 10**12)
large = st.floats(0, 2e6).map(lambda value: round(value, 12))


@st.composite
def values(draw: st.DrawFn, energy: st.SearchStrategy[float]) -> dict[str, Any]:
    return {
        "gpu_energy_kwh": draw(st.none() | energy),
        "cpu_energy_kwh": draw(st.none() | energy),
        "ram_energy_kwh": draw(st.none() | energy),
        "intensity_g_per_kwh": draw(st.none() | st.floats(0, 900)),
        "country_iso_code": draw(st.sampled_from([None, "DEU", "FRA"])),
        "duration_s": draw(st.floats(0, 1e5)),
        "pue": draw(st.floats(1, 1.2)),
    }


SUMMED = (
    "energy_kwh",
    "gpu_energy_kwh",
    "cpu_energy_kwh",
    "ram_energy_kwh",
    "emissions_kg",
    "duration_s",
)


@pytest.fixture(scope="module")
def ledger(module_ledgers: Ledgers) -> Iterator[TestClient]:
    with TestClient(create_app(module_ledgers.settings())) as client:
        yield client


def decimal_sums(project: str, client: TestClient) -> dict[str, Decimal | None]:
    runs = client.get("/v1/runs", params={"project": project}).json()["items"]
    sums: dict[str, Decimal | None] = {}
    for field in SUMMED:
        known = [Decimal(repr(run[field])) for run in runs if run[field] is not None]
        sums[field] = sum(known, start=Decimal(0)) if known else None
    return sums


@given(runs=st.lists(values(small), min_size=1, max_size=15))
def test_totals_are_the_decimal_sum_of_the_runs(
    ledger: TestClient, runs: list[dict[str, Any]]
) -> None:
    project = f"small-{uuid4()}"
    put(ledger, *(make_report(project=project, **run) for run in runs))
    total = summary(ledger, project)
    sums = decimal_sums(project, ledger)
    for field, expected in sums.items():
        value = getattr(total, field)
        assert (None if value is None else Decimal(repr(value))) == expected, field
    listed = ledger.get("/v1/projects", params={"limit": 1000}).json()["items"]
    (line,) = [line for line in listed if line["project"] == project]
    assert {field: line[field] for field in SUMMED} == {
        field: getattr(total, field) for field in SUMMED
    }


@given(runs=st.lists(values(large), min_size=1, max_size=8))
def test_huge_totals_are_the_float_nearest_to_the_decimal_sum(
    ledger: TestClient, runs: list[dict[str, Any]]
) -> None:
    project = f"large-{uuid4()}"
    put(ledger, *(make_report(project=project, **run) for run in runs))
    total = summary(ledger, project)
    for field, expected in decimal_sums(project, ledger).items():
        assert getattr(total, field) == (None if expected is None else float(expected)), field


def test_a_sum_may_exceed_64_bits(api_client: TestClient) -> None:
    for _ in range(3):
        report = make_report(cpu_energy_kwh=9e6, ram_energy_kwh=0.0, intensity_g_per_kwh=100)
        put(api_client, report)
    total = summary(api_client)
    assert (total.energy_kwh, total.emissions_kg) == (27e6, 3240000.0)


# ----------------------------------------------------------------------------------------- places


def test_places_are_listed_by_energy_and_the_unknown_one_last(api_client: TestClient) -> None:
    put(
        api_client,
        make_report(country_iso_code=None, intensity_g_per_kwh=None, gpu_energy_kwh=9.0),
        make_report(country_iso_code="FRA", intensity_g_per_kwh=56.039),
        make_report(country_iso_code="USA", region="California", gpu_energy_kwh=1.0),
        make_report(country_iso_code="USA", region="Texas", gpu_energy_kwh=2.0),
        make_report(country_iso_code="DEU", cpu_energy_kwh=None, ram_energy_kwh=None),
    )
    places = summary(api_client).places
    assert [(each.country_iso_code, each.country_name, each.region) for each in places] == [
        ("USA", "United States", "Texas"),
        ("USA", "United States", "California"),
        ("FRA", "France", None),
        ("DEU", "Germany", None),
        (None, None, None),
    ]
    assert sum(each.runs for each in places) == 5
    unknown = places[-1]
    assert (unknown.energy_kwh, unknown.emissions_kg, unknown.runs_without_emissions) == (
        9.003,
        None,
        1,
    )
    assert (unknown.intensity_g_per_kwh, unknown.intensity_source) == (None, None)


def test_a_place_with_one_intensity_has_exactly_that(api_client: TestClient) -> None:
    for energy in (0.1, 0.2, 0.7):
        put(api_client, make_report(gpu_energy_kwh=energy))
    germany = place(api_client, "DEU")
    assert germany.intensity_g_per_kwh == 380.95
    assert (germany.intensity_source, germany.intensity_year) == ("Our World in Data", 2023)


def test_grid_energy_is_energy_times_pue_and_weights_the_intensity(api_client: TestClient) -> None:
    for pue, intensity in ((1.0, 500), (2.0, 100)):
        put(
            api_client,
            make_report(
                cpu_energy_kwh=1.0, ram_energy_kwh=None, pue=pue, intensity_g_per_kwh=intensity
            ),
        )
    germany = place(api_client, "DEU")
    assert germany.grid_energy_kwh == 3.0
    assert germany.intensity_g_per_kwh == pytest.approx((500 + 2 * 100) / 3)
    assert germany.emissions_kg == pytest.approx(0.5 + 0.2)
    put(api_client, make_report(project="none", cpu_energy_kwh=None, ram_energy_kwh=None))
    assert summary(api_client, "none").grid_energy_kwh is None


def test_intensities_of_a_place_are_weighted_by_energy(api_client: TestClient) -> None:
    put(
        api_client,
        make_report(cpu_energy_kwh=1.0, ram_energy_kwh=0.0, intensity_g_per_kwh=100),
        make_report(
            cpu_energy_kwh=3.0,
            ram_energy_kwh=0.0,
            intensity_g_per_kwh=300,
            intensity_source="measured",
            intensity_year=2024,
        ),
        make_report(cpu_energy_kwh=5.0, ram_energy_kwh=0.0, intensity_g_per_kwh=None),
    )
    germany = place(api_client, "DEU")
    assert germany.intensity_g_per_kwh == pytest.approx(250, rel=1e-12)
    assert germany.intensity_source == "Our World in Data; measured"
    assert germany.intensity_year is None
    assert germany.runs_without_emissions == 1


# ------------------------------------------------------------------------------------------- grid


def test_the_grid_is_every_known_factor(api_client: TestClient) -> None:
    answer = api_client.get("/v1/grid")
    assert answer.status_code == 200
    assert [GridFactor.model_validate(each) for each in answer.json()] == all_factors()
    assert len(answer.json()) > 200
