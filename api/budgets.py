"""Budgets: what a project may spend in a period, and how it stands.

What is spent is read from the sums by day, which are exact; nothing of it is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, delete, select, update

from api import audit, upserts
from api.columns import float_of
from api.days import DaySum, by_day, first_day
from api.periods import Days, around
from api.prices import COST_DECIMALS, Tariff, cost_count
from api.sums import SUMMED
from api.tables import BUDGETS, CROSSINGS
from carbon.analysis.forecast import MOST_DAYS, forecast
from carbon.schema import Budget, BudgetState, BudgetTerms, Forecast, WebhookState

Row = Mapping[str, Any]

MOST_ATTEMPTS = 30
"""How often a message is tried: with the pauses of `api.crossings` for about a day."""

_METHODS = {
    "energy_kwh": "energy of the runs that began in the period, before PUE",
    "grid_energy_kwh": "energy x PUE of the runs that began in the period",
    "emissions_kg": "energy x PUE x the grid's intensity, location-based, of the runs that began "
    "in the period",
    "cost": "energy x PUE x the price valid on the day that a run began, in UTC, of the runs that "
    "began in the period",
}


@dataclass(frozen=True)
class Spent:
    """What of a quantity is spent day by day: amounts as counts of the last of `decimals`."""

    days: Mapping[date, DaySum]
    decimals: int

    def within(self, days: Days) -> DaySum:
        """Add up some of the days."""
        summed = [spent for day, spent in self.days.items() if day in days]
        return DaySum(
            sum(each.runs for each in summed),
            sum(each.known for each in summed),
            sum(each.count for each in summed),
        )

    def amount(self, summed: DaySum) -> float | None:
        """Return a sum as an amount; None where there are runs and none of them is known."""
        if summed.runs and not summed.known:
            return None
        return float_of(summed.count, self.decimals)


def put(
    connection: Connection, project: str, name: str, terms: BudgetTerms, now: datetime, actor: str
) -> bool:
    """Keep a budget; return whether there was none of this name.

    With other terms it is another budget, which can be crossed anew. Another webhook is told of a
    crossing that none has been told of yet.
    """
    held = upserts.find(connection, BUDGETS, project=project, name=name)
    row = {"project": project, "name": name, **terms.model_dump()}
    audit.add_terms(connection, actor, f"budgets/{name}", BudgetTerms, held, row, project)
    is_other = held is None or any(
        held[field] != value for field, value in row.items() if field != "webhook_url"
    )
    upserts.put(
        connection, BUDGETS, row | {"since": now if held is None or is_other else held["since"]}
    )
    if is_other:
        _forget_crossings(connection, project, name)
    elif held is not None and held["webhook_url"] != row["webhook_url"]:
        connection.execute(
            update(CROSSINGS)
            .where(CROSSINGS.c.project == project, CROSSINGS.c.budget == name)
            .values(attempts=0, next_attempt_at=now, error=None)
        )
    return held is None


def remove(connection: Connection, project: str, name: str, actor: str) -> bool:
    """Remove a budget; return whether there was one."""
    _forget_crossings(connection, project, name)
    held = upserts.remove(connection, BUDGETS, project=project, name=name)
    audit.add_terms(connection, actor, f"budgets/{name}", BudgetTerms, held, None, project)
    return held is not None


def find(connection: Connection, project: str, name: str) -> Row | None:
    """Return the row of a budget, None if there is none of this name."""
    return upserts.find(connection, BUDGETS, project=project, name=name)


def of_project(connection: Connection, project: str) -> list[Row]:
    """Return the rows of a project's budgets, by name."""
    query = select(BUDGETS).where(BUDGETS.c.project == project).order_by(BUDGETS.c.name)
    return [dict(row) for row in connection.execute(query).mappings()]


def period_of(row: Row, day: date) -> Days:
    """Return the period of a budget that a day is in; the only one of a budget between days."""
    if row["period"] == "dates":
        return Days(row["from_day"], row["until_day"])
    return around(row["period"], day)


def spent_by_day(connection: Connection, row: Row, tariff: Tariff, days: Days) -> Spent:
    """Return what of a budget's quantity was spent on each of some days.

    Of a cost, runs on a day without a price in the budget's currency are unknown.
    """
    if row["quantity"] != "cost":
        found = by_day(connection, row["project"], row["quantity"], days.from_day, days.until_day)
        return Spent(found, SUMMED[row["quantity"]])
    energies = by_day(connection, row["project"], "grid_energy_kwh", days.from_day, days.until_day)
    priced = {}
    for day, energy in energies.items():
        price = tariff.on(day)
        if price is not None and price.currency == row["currency"]:
            priced[day] = DaySum(energy.runs, energy.known, cost_count(price, energy.count))
        else:
            priced[day] = DaySum(energy.runs, 0, 0)
    return Spent(priced, COST_DECIMALS)


def is_crossed(connection: Connection, row: Row, tariff: Tariff, days: Days) -> bool:
    """Tell whether more than its limit is spent of a budget in one of its periods."""
    spent = spent_by_day(connection, row, tariff, days)
    return _is_above(row["limit"], spent.amount(spent.within(days)))


def standing(connection: Connection, row: Row, tariff: Tariff, days: Days, now: datetime) -> Budget:
    """Return how a budget stands in one of its periods."""
    today = now.astimezone(UTC).date()
    is_current = today in days
    recent = Days(max(today - timedelta(days=MOST_DAYS), date.min), today - timedelta(days=1))
    read = Days(min(days.from_day, recent.from_day), days.until_day) if is_current else days
    spent = spent_by_day(connection, row, tariff, read)
    summed = spent.within(days)
    amount = spent.amount(summed)
    expected = None
    if is_current and amount is not None:
        first = first_day(connection, row["project"])
        per_day = _per_day(spent, recent, first)
        midnight = datetime.combine(today, time(), UTC)
        days_left = (days.until_day - today).days + 1 - (now - midnight) / timedelta(days=1)
        expected = forecast(amount, per_day, days_left)
    crossing = upserts.find(
        connection,
        CROSSINGS,
        project=row["project"],
        budget=row["name"],
        from_day=days.from_day,
    )
    return Budget(
        project=row["project"],
        name=row["name"],
        quantity=row["quantity"],
        currency=row["currency"],
        period=row["period"],
        from_day=days.from_day,
        until_day=days.until_day,
        limit=row["limit"],
        spent=amount,
        share=None if amount is None else amount / row["limit"],
        runs=summed.runs,
        runs_unknown=summed.runs - summed.known,
        forecast=expected,
        state=_state(row["limit"], amount, expected),
        crossed_at=None if crossing is None else crossing["crossed_at"],
        webhook=_webhook(row["webhook_url"], crossing),
        method=_METHODS[row["quantity"]],
    )


def _per_day(spent: Spent, recent: Days, first: date | None) -> list[float]:
    """Return what each recent day came to, without those before the project or of unknown runs."""
    amounts = []
    day = recent.from_day if first is None else max(recent.from_day, first)
    while first is not None and day <= recent.until_day:
        amount = spent.amount(spent.days.get(day, DaySum(0, 0, 0)))
        if amount is not None:
            amounts.append(amount)
        day += timedelta(days=1)
    return amounts


def _state(limit: float, amount: float | None, expected: Forecast | None) -> BudgetState:
    if amount is None:
        return "unknown"
    if _is_above(limit, amount):
        return "crossed"
    if expected is not None and expected.amount > limit:
        return "forecast_to_be_crossed"
    return "ok"


def _is_above(limit: float, amount: float | None) -> bool:
    return amount is not None and amount > limit


def _webhook(url: str | None, crossing: Row | None) -> WebhookState | None:
    if url is None:
        return None
    host = urlsplit(url).hostname or ""
    if crossing is None:
        return WebhookState(
            host=host,
            progress="idle",
            attempts=0,
            next_attempt_at=None,
            delivered_at=None,
            error=None,
        )
    is_over = crossing["notified_at"] is not None
    is_given_up = not is_over and crossing["attempts"] >= MOST_ATTEMPTS
    progress: Any = "retrying" if crossing["attempts"] else "waiting"
    if is_over or is_given_up:
        progress = "delivered" if is_over else "given_up"
    return WebhookState(
        host=host,
        progress=progress,
        attempts=crossing["attempts"],
        next_attempt_at=None if is_over or is_given_up else crossing["next_attempt_at"],
        delivered_at=crossing["notified_at"],
        error=crossing["error"],
    )


def _forget_crossings(connection: Connection, project: str, name: str) -> None:
    these = (CROSSINGS.c.project == project, CROSSINGS.c.budget == name)
    connection.execute(delete(CROSSINGS).where(*these))
