"""Budgets: what is spent is what the runs of the period add up to, whatever came before."""

import re
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json
from sqlalchemy import Connection, create_engine, select
from sqlmodel import SQLModel
from starlette.testclient import TestClient

from api import budgets, prices, reports
from api.columns import count_from
from api.db import writing
from api.periods import Days, around, before
from api.routes.budgets import RESERVED
from api.sums import grid_count
from api.tables import RUNS
from api.writing import Writing
from carbon.schema import Budget, BudgetTerms, PriceTerms, RunReport
from tests.factories import make_report

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MARCH = Days(date(2026, 3, 1), date(2026, 3, 31))

QUANTITIES = ("energy_kwh", "grid_energy_kwh", "emissions_kg", "cost")


def terms(**fields: Any) -> BudgetTerms:
    values = {"quantity": "energy_kwh", "limit": 10.0, "period": "month"} | fields
    if values["quantity"] == "cost":
        values.setdefault("currency", "EUR")
    return BudgetTerms.model_validate(values)


def standing(connection: Connection, name: str, days: Days = MARCH, now: datetime = NOON) -> Budget:
    row = budgets.find(connection, "digits", name)
    assert row is not None
    tariff = prices.tariff(connection, "digits", None)
    return budgets.standing(connection, row, tariff, days, now)


def put(client: TestClient, *sent: RunReport) -> None:
    for report in sent:
        answer = client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
        assert answer.is_success, answer.text


histories = st.lists(
    st.fixed_dictionaries(
        {
            "of": st.integers(0, 4),
            "seq": st.integers(0, 3),
            "is_removed": st.booleans(),
            "project": st.sampled_from(["digits", "digits", "other"]),
            "started_at": st.integers(-40, 40).map(lambda days: NOON + days * DAY),
            "gpu_energy_kwh": st.none() | st.floats(0, 1e3),
            "cpu_energy_kwh": st.none() | st.floats(0, 9e5),
            "ram_energy_kwh": st.none(),
            "intensity_g_per_kwh": st.none() | st.sampled_from([0.0, 56.0, 380.95]),
            "pue": st.floats(1, 2),
        }
    ),
    max_size=12,
)


@given(history=histories)
@hypothesis_settings(max_examples=15)
def test_spent_is_the_sum_over_the_runs_of_the_period(history: list[dict[str, Any]]) -> None:
    engine = create_engine(
        "sqlite://",
        json_serializer=lambda value: to_json(value).decode(),
        json_deserializer=from_json,
    )
    SQLModel.metadata.create_all(engine)
    ids = [make_report().run_id for _ in range(5)]
    with engine.begin() as connection:
        for day, price, currency in ((1, 0.25, "EUR"), (12, 0.4, "EUR"), (20, 0.5, "USD")):
            sent = PriceTerms(price_per_kwh=price, currency=currency)
            prices.put_price(connection, "digits", date(2026, 3, day), sent, "ann")
        for quantity in QUANTITIES:
            budgets.put(connection, "digits", quantity, terms(quantity=quantity), NOON, "ann")
    for step in history:
        run_id, is_removed = ids[step.pop("of")], step.pop("is_removed")
        with engine.begin() as connection:
            if is_removed:
                removing = Writing(connection)
                if run_id in removing.hold([run_id]):
                    removing.delete(run_id)
                    removing.finish()
            else:
                reports.store(connection, [make_report(run_id=run_id, ended_at=None, **step)])
    with engine.begin() as connection:
        found = {quantity: standing(connection, quantity) for quantity in QUANTITIES}
        rows = [dict(row) for row in connection.execute(select(RUNS)).mappings()]
    engine.dispose()
    rows = [r for r in rows if r["project"] == "digits" and r["started_at"].date() in MARCH]
    for quantity, budget in found.items():
        amounts = [_exact(quantity, row) for row in rows]
        known = [amount for amount in amounts if amount is not None]
        assert (budget.runs, budget.runs_unknown) == (len(rows), len(rows) - len(known))
        assert budget.spent == (None if rows and not known else float(sum(known)))


def _exact(quantity: str, row: dict[str, Any]) -> Fraction | None:
    if quantity in ("energy_kwh", "emissions_kg"):
        value = row[quantity]
        return None if value is None else Fraction(count_from(value, 12), 10**12)
    if row["energy_kwh"] is None:
        return None
    grid = Fraction(grid_count(count_from(row["energy_kwh"], 12), row["pue"]), 10**12)
    if quantity == "grid_energy_kwh":
        return grid
    day = row["started_at"].day
    return None if day >= 20 else grid * (Fraction(1, 4) if day < 12 else Fraction(2, 5))


@pytest.mark.parametrize(
    ("period", "day", "expected"),
    [
        ("month", date(2024, 2, 29), ("2024-02-01", "2024-02-29")),
        ("month", date(2026, 12, 31), ("2026-12-01", "2026-12-31")),
        ("quarter", date(2026, 2, 3), ("2026-01-01", "2026-03-31")),
        ("quarter", date(2026, 12, 1), ("2026-10-01", "2026-12-31")),
        ("year", date(2026, 7, 1), ("2026-01-01", "2026-12-31")),
        ("year", date.max, ("9999-01-01", "9999-12-31")),
    ],
)
def test_calendar_periods(period: str, day: date, expected: tuple[str, str]) -> None:
    days = around(period, day)
    assert (days.from_day.isoformat(), days.until_day.isoformat()) == expected
    earlier = before(period, days)
    assert earlier is not None
    assert earlier.until_day + DAY == days.from_day
    assert before(period, around(period, date.min)) is None


def test_a_budget_is_forecast_from_the_days_before(shared_client: TestClient) -> None:
    engine = shared_client.app.state.engine  # type: ignore[attr-defined]
    for days_ago in range(1, 15):  # 0.2 and 0.4 kWh in turn, and nothing known of the last day.
        energy = None if days_ago == 1 else 0.2 + 0.2 * (days_ago % 2)
        put(
            shared_client,
            make_report(
                started_at=NOON - days_ago * DAY,
                gpu_energy_kwh=energy,
                cpu_energy_kwh=None,
                ram_energy_kwh=None,
            ),
        )
    with writing(engine) as connection:
        budgets.put(connection, "digits", "b", terms(limit=8.0), NOON, "ann")
        found = standing(connection, "b")
        assert (found.runs, found.runs_unknown) == (14, 1)
        assert found.spent == 3.8  # Of 13 days, 6 with 0.4 and 7 with 0.2.
        assert found.forecast is not None
        assert found.forecast.days == 13
        assert found.forecast.amount == pytest.approx(3.8 + 16.5 * 3.8 / 13)
        assert found.forecast.uncertainty == pytest.approx(
            0.1038 * (16.5 + 16.5**2 / 13) ** 0.5, rel=1e-3
        )
        assert found.state == "forecast_to_be_crossed"
        assert found.share == pytest.approx(3.8 / 8)
        assert standing(connection, "b", around("month", date(2026, 2, 3))).forecast is None
        budgets.put(connection, "digits", "b", terms(limit=9.0), NOON, "ann")
        assert standing(connection, "b").state == "ok"
        budgets.put(connection, "digits", "b", terms(limit=3.7), NOON, "ann")
        assert standing(connection, "b").state == "crossed"


def test_too_little_or_nothing_known_is_not_forecast(shared_client: TestClient) -> None:
    engine = shared_client.app.state.engine  # type: ignore[attr-defined]
    with writing(engine) as connection:
        budgets.put(connection, "digits", "b", terms(), NOON, "ann")
        empty = standing(connection, "b")
    assert (empty.spent, empty.forecast, empty.state) == (0.0, None, "ok")
    nothing: dict[str, Any] = dict.fromkeys(
        ("gpu_energy_kwh", "cpu_energy_kwh", "ram_energy_kwh"), None
    )
    for days_ago in range(6):
        put(shared_client, make_report(started_at=NOON - days_ago * DAY, **nothing))
    with writing(engine) as connection:
        unknown = standing(connection, "b")
    assert (unknown.spent, unknown.share, unknown.state) == (None, None, "unknown")
    assert (unknown.runs, unknown.runs_unknown) == (6, 6)
    for days_ago in range(7):
        put(shared_client, make_report(started_at=NOON - days_ago * DAY))
    with writing(engine) as connection:
        assert standing(connection, "b").forecast is None  # Of six whole days.


def test_a_budget_is_put_read_and_removed(shared_client: TestClient) -> None:
    path = "/v1/projects/a/b/budgets/q1"
    sent = {"quantity": "emissions_kg", "limit": 2.5, "period": "quarter"}
    assert shared_client.get(path).status_code == 404
    assert shared_client.put(path, json=sent).status_code == 201
    assert shared_client.put(path, json=sent | {"limit": 3}).status_code == 200
    found = shared_client.get(path, params={"on": "2026-05-05"}).json()
    assert (found["from_day"], found["until_day"]) == ("2026-04-01", "2026-06-30")
    assert (found["project"], found["limit"], found["spent"]) == ("a/b", 3.0, 0.0)
    put(shared_client, make_report(project="a/b", started_at=datetime(2026, 4, 1, tzinfo=UTC)))
    put(shared_client, make_report(project="a/b", started_at=datetime(2026, 7, 1, tzinfo=UTC)))
    put(shared_client, make_report(project="a", started_at=datetime(2026, 4, 1, tzinfo=UTC)))
    (listed,) = shared_client.get("/v1/projects/a/b/budgets", params={"on": "2026-05-05"}).json()[
        "items"
    ]
    assert (listed["name"], listed["runs"]) == ("q1", 1)
    assert listed["spent"] == pytest.approx(0.003 * 1.2 * 0.38095)
    assert shared_client.get("/v1/projects/a/budgets").json() == {"items": []}
    assert shared_client.delete(path).status_code == 204
    assert shared_client.delete(path).status_code == 404


NO_BUDGETS: list[tuple[dict[str, Any], str]] = [
    ({"limit": 0}, "limit"),
    ({"limit": "x"}, "limit"),
    ({"quantity": "power_w"}, "quantity"),
    ({"quantity": "cost"}, "budget"),
    ({"quantity": "cost", "currency": "EUX"}, "currency"),
    ({"currency": "EUR"}, "budget"),
    ({"period": "dates"}, "budget"),
    ({"from_day": "2026-01-01"}, "budget"),
    ({"period": "dates", "from_day": "2026-02-02", "until_day": "2026-02-01"}, "budget"),
    ({"period": "dates", "from_day": 5, "until_day": "2026-02-01"}, "from_day"),
    ({"webhook_url": "ftp://example.org"}, "webhook_url"),
    ({"webhook_url": "http://127.0.0.1:1/"}, "webhook_url"),
    ({"more": 1}, "more"),
]


def test_what_is_no_budget_is_refused(shared_client: TestClient) -> None:
    for body, field in NO_BUDGETS:
        sent = {"quantity": "energy_kwh", "limit": 1, "period": "month"} | body
        answer = shared_client.put("/v1/projects/p/budgets/b", json=sent)
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert shared_client.get("/v1/projects/p/budgets/b").status_code == 404


def test_no_budget_has_the_name_of_something_else_of_a_project(shared_client: TestClient) -> None:
    paths = shared_client.get("/openapi.json").json()["paths"]
    suffix = re.compile(r"/v1/projects/\{project\}/(?:.*/)?([^/{}]+)$")
    assert {match[1] for match in map(suffix.match, paths) if match} == RESERVED
    for name in RESERVED:
        sent = {"quantity": "energy_kwh", "limit": 1, "period": "month"}
        assert shared_client.put(f"/v1/projects/p/budgets/{name}", json=sent).status_code == 422
