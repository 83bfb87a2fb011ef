"""Prices: which one holds on a day, and what runs cost by them."""

from datetime import UTC, date, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.prices import Tariff
from carbon.errors import SettingsError
from carbon.schema import Price
from carbon.settings import load
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def price(day: int | None, per_kwh: float, project: str | None = None) -> Price:
    valid_from = None if day is None else date(2026, 3, day)
    return Price(
        project=project,
        valid_from=valid_from,
        price_per_kwh=per_kwh,
        currency="EUR",
        source=None,
    )


def test_the_projects_own_price_goes_before_the_general_and_that_before_the_servers() -> None:
    tariff = Tariff(
        own=(price(20, 0.4, "p"), price(10, 0.3, "p")),
        general=(price(5, 0.2),),
        default=price(None, 0.1),
    )
    found = {day: tariff.on(date(2026, 3, day)) for day in (1, 5, 9, 10, 19, 20, 31)}
    assert [each and each.price_per_kwh for each in found.values()] == [
        *(0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4)
    ]
    assert Tariff((), (price(5, 0.2),), None).on(date(2026, 3, 4)) is None
    assert tariff.throughout(date(2026, 3, 10), date(2026, 3, 19)) == price(10, 0.3, "p")
    assert tariff.throughout(date(2026, 3, 10), date(2026, 3, 20)) is None


def test_a_project_costs_what_its_days_cost(ledgers: Ledgers) -> None:
    settings = ledgers.settings(currency="eur", price_per_kwh="0.1")
    with TestClient(create_app(settings)) as client:
        for days in (0, 1, 2, 10):
            report = make_report(started_at=NOON + timedelta(days=days), gpu_energy_kwh=1.0)
            client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
        unknown = make_report(started_at=NOON, cpu_energy_kwh=None, ram_energy_kwh=None)
        client.put(f"/v1/runs/{unknown.run_id}", content=unknown.model_dump_json())

        def costs() -> list[tuple[str, float, int]]:
            found = client.get("/v1/projects/digits/summary").json()["costs"]
            return [(cost["currency"], cost["cost"], cost["runs"]) for cost in found]

        assert costs() == [("EUR", 0.48144, 4)]  # 4 x 1.003 kWh x 1.2 x 0.1
        sent = {"price_per_kwh": 0.2, "currency": "USD", "source": "tariff"}
        assert client.put("/v1/prices/2026-03-11", json=sent).status_code == 201
        assert costs() == [("EUR", 0.12036, 1), ("USD", 0.72216, 3)]
        own = {"price_per_kwh": 1, "currency": "EUR"}
        assert client.put("/v1/projects/digits/prices/2026-03-20", json=own).status_code == 201
        assert costs() == [("EUR", 1.32396, 2), ("USD", 0.48144, 2)]
        listed = client.get("/v1/projects/digits/prices").json()["items"]
        assert [each["valid_from"] for each in listed] == ["2026-03-20", "2026-03-11", None]
        assert client.get("/v1/prices/2026-03-11").json()["source"] == "tariff"
        assert client.put("/v1/prices/2026-03-11", json=own).status_code == 200
        assert client.delete("/v1/projects/digits/prices/2026-03-20").status_code == 204
        assert client.delete("/v1/projects/digits/prices/2026-03-20").status_code == 404
        assert costs() == [("EUR", 3.73116, 4)]
        assert client.get("/v1/summary").json()["costs"] == []


def test_without_a_price_the_cost_is_unknown(shared_client: TestClient) -> None:
    report = make_report()
    shared_client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
    assert shared_client.get("/v1/projects/digits/summary").json()["costs"] == []
    assert shared_client.get("/v1/prices").json() == {"items": []}


def test_what_is_no_day_is_refused(shared_client: TestClient) -> None:
    for day in ("0", "20260301", "2026-3-1", "2026-02-30", "٢٠٢٦-03-01"):
        answer = shared_client.put(
            f"/v1/prices/{day}", json={"price_per_kwh": 1, "currency": "EUR"}
        )
        assert answer.status_code == 422, day
        assert answer.json()["errors"][0]["field"] == "valid_from"


def test_the_servers_price_needs_a_currency_that_exists() -> None:
    with pytest.raises(SettingsError, match="CARBON_CURRENCY"):
        load({"CARBON_PRICE_PER_KWH": "0.3"})
    with pytest.raises(SettingsError, match="'EUX' is not an ISO 4217"):
        load({"CARBON_PRICE_PER_KWH": "0.3", "CARBON_CURRENCY": "eux"})
    settings = load({"CARBON_PRICE_PER_KWH": "0.3", "CARBON_CURRENCY": "eur"})
    assert (settings.price_per_kwh, settings.currency) == (0.3, "EUR")
