"""What a project may spend: how much of each budget is used, and what is to be expected."""

from collections.abc import Sequence

import streamlit as st

from carbon import wording
from carbon.schema import Budget
from ui import elements
from ui.elements import Markup

_QUANTITIES = {
    "energy_kwh": "energy",
    "grid_energy_kwh": "energy with PUE",
    "emissions_kg": "CO₂-equivalent",
    "cost": "electricity's cost",
}


def render(budgets: Sequence[Budget]) -> None:
    """Show the section; nothing where no budget is set."""
    if not budgets:
        return
    with st.container(key="budgets"):
        elements.show(
            elements.heading("Budgets", "What was set for this project, and what is used of it."),
            table(budgets),
            elements.paragraph(
                "Counted are the runs that began in the period, by UTC. Expected is what is used "
                "so far and, for each day that is left, the mean of the last days, 28 at most; ± "
                "is one standard deviation.",
                "caption",
            ),
        )


def table(budgets: Sequence[Budget]) -> Markup:
    """Make the table of budgets in their current periods."""
    return elements.table(
        "budgets",
        ["Budget", "Used", "Limit", "Expected in the end", "State"],
        [
            [
                elements.with_note(each.name, f"{_QUANTITIES[each.quantity]}, {_period(each)}"),
                _used(each),
                elements.text(_amount(each, each.limit)),
                _expected(each),
                _state(each),
            ]
            for each in budgets
        ],
        numeric=[1, 2, 3],
    )


def _used(budget: Budget) -> Markup:
    if budget.spent is None:
        return elements.with_note(wording.UNKNOWN, "no run of the period has a figure")
    note = wording.percent(budget.share)
    if budget.runs_unknown:
        note += f", {budget.runs_unknown:,} of {wording.count(budget.runs, 'run')} without a figure"
    drawn = min(budget.spent, budget.limit)
    return elements.bar(_amount(budget, budget.spent), drawn, budget.limit, note)


def _expected(budget: Budget) -> Markup:
    expected = budget.forecast
    if expected is None:
        return elements.text("not yet known")
    amount, stdev = expected.amount, expected.uncertainty
    match budget.quantity:
        case "emissions_kg":
            return elements.text(wording.mass_with_spread(amount, stdev))
        case "cost":
            return elements.text(wording.money_with_spread(amount, stdev, budget.currency or ""))
        case _:
            return elements.text(wording.energy_with_spread(amount, stdev))


def _state(budget: Budget) -> Markup:
    match budget.state:
        case "crossed":
            return elements.status("crossed", "crossed")
        case "forecast_to_be_crossed":
            return elements.status("expected", "expected to be crossed")
        case "ok":
            return elements.status("within", "within its limit")
        case "unknown":
            return elements.text(wording.UNKNOWN)


def _amount(budget: Budget, value: float) -> str:
    match budget.quantity:
        case "emissions_kg":
            return wording.mass(value)
        case "cost":
            return wording.money(value, budget.currency or "")
        case _:
            return wording.energy(value)


def _period(budget: Budget) -> str:
    first, last = budget.from_day, budget.until_day
    match budget.period:
        case "month":
            return f"{first:%B %Y}"
        case "year":
            return f"{first:%Y}"
        case "quarter" | "dates":
            return f"{wording.day(first)} to {wording.day(last)}"
