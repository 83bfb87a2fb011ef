"""The client's side of budgets, prices, what-if and footprints, against a real server."""

from datetime import UTC, date, datetime

import pytest

from carbon.errors import ApiRejectedError
from carbon.rest.client import Client
from carbon.schema import BudgetTerms, HardwareTerms, PriceTerms, WhatIfTerms
from tests.factories import make_report
from tests.fixtures.api import LiveApi

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "a/b c%2F/budgets/x"


def test_everything_of_a_project_with_a_difficult_name(live_api: LiveApi) -> None:
    with Client(live_api.settings) as client:
        ours = client.accounting
        run = make_report(project=NAME, started_at=NOON, gpu_energy_kwh=1.0)
        client.put_run(run)
        price = ours.put_price(NOON.date(), PriceTerms(price_per_kwh=0.5, currency="EUR"), NAME)
        general = ours.put_price(date(2026, 1, 1), PriceTerms(price_per_kwh=0.2, currency="EUR"))
        assert ours.prices(NAME) == [price, general]
        assert ours.prices() == [general]
        terms = BudgetTerms(quantity="cost", currency="EUR", limit=0.6, period="year")
        ours.put_budget(NAME, "b", terms)
        (budget,) = ours.budgets(NAME, on=NOON.date())
        assert (budget.spent, budget.state) == (0.6018, "crossed")
        assert client.summary(NAME).costs[0].cost == 0.6018
        ours.delete_price(NOON.date(), NAME)
        assert ours.budget(NAME, "b", on=NOON.date()).spent == 0.24072
        ours.delete_budget(NAME, "b")
        with pytest.raises(ApiRejectedError, match="has no budget 'b'"):
            ours.budget(NAME, "b")
        alone = ours.what_if(run.run_id, WhatIfTerms(country="FRA"))
        together = ours.project_what_if(NAME, country="FRA")
        assert alone.difference == together.difference
        ours.put_hardware("host", "node-1", HardwareTerms(embodied_kg=1000.0, lifetime_h=1.0))
        assert [each.name for each in ours.hardware()] == ["node-1"]
        assert ours.footprint(run.run_id).embodied_kg == pytest.approx(1000 / 60)
        ours.delete_hardware("host", "node-1")
        assert ours.footprint(run.run_id).embodied_kg is None
