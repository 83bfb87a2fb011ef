"""Budgets on a project's page."""

import re
from datetime import date
from typing import Any

import pytest

from tests.answers import budget
from ui import elements
from ui.pages import budgets


def cells(**fields: Any) -> dict[str, str]:
    """What the table says of a budget, by the names of its columns."""
    made = budgets.table([budget(**fields)]).replace(elements.NO_BREAK, " ")
    found = re.findall(r'<td data-column="([^"]*)"[^>]*>(.*?)</td>', made)
    return {name: re.sub("<[^>]*>", "|", cell).strip("|") for name, cell in found}


def test_a_budget_says_what_is_used_of_it_and_how_that_will_end() -> None:
    forecast = {"amount": 9.4, "uncertainty": 0.8, "days": 28, "method": "the mean"}
    found = cells(forecast=forecast)
    assert found["Budget"] == "b|energy, March 2026"
    assert found["Used"].startswith("4 kWh|40 %")
    assert found["Limit"] == "10 kWh"
    assert found["Expected in the end"] == "9.40 ± 0.80 kWh"
    assert found["State"] == "within its limit"
    assert 'style="width:40.0%"' in budgets.table([budget()])


def test_a_bar_ends_where_the_budget_does() -> None:
    crossed = budget(spent=25.0, share=2.5, state="crossed")
    assert 'style="width:100.0%"' in budgets.table([crossed])
    assert "250 %" in budgets.table([crossed]).replace(elements.NO_BREAK, " ")


@pytest.mark.parametrize(
    ("fields", "limit", "what"),
    [
        ({"quantity": "emissions_kg"}, "10 kg", "CO₂-equivalent, March 2026"),
        ({"quantity": "grid_energy_kwh"}, "10 kWh", "energy with PUE, March 2026"),
        (
            {"quantity": "cost", "currency": "EUR"},
            "10.00 EUR",
            "electricity&#x27;s cost, March 2026",
        ),
        ({"period": "year"}, "10 kWh", "energy, 2026"),
        ({"period": "quarter"}, "10 kWh", "energy, 1 Mar 2026 to 31 Mar 2026"),
        (
            {"period": "dates", "until_day": date(2026, 4, 2)},
            "10 kWh",
            "energy, 1 Mar 2026 to 2 Apr",
        ),
    ],
)
def test_every_quantity_has_its_unit_and_every_period_its_name(
    fields: dict[str, Any], limit: str, what: str
) -> None:
    found = cells(**fields)
    assert found["Limit"] == limit
    assert f"|{what}" in found["Budget"]


def test_what_is_unknown_is_said_to_be() -> None:
    found = cells(spent=None, share=None, runs=3, runs_unknown=3, state="unknown")
    assert found["Used"] == "unknown|no run of the period has a figure"
    assert (found["Expected in the end"], found["State"]) == ("not yet known", "unknown")
    assert "40 %, 2 of 3 runs without a figure" in cells(runs=3, runs_unknown=2)["Used"]


def test_a_state_is_told_by_a_sign_and_by_words() -> None:
    for state, sign, said in (
        ("crossed", "crossed", "crossed"),
        ("forecast_to_be_crossed", "expected", "expected to be crossed"),
    ):
        made = budgets.table([budget(state=state)])
        assert f'<span class="cl-status cl-status-{sign}">{said}</span>' in made
