"""What electricity costs, and what the energy of runs therefore did.

A price holds from a day on. A project's own go before those for all projects, and these before the
server's setting. Nothing of it is stored with the runs: a price that is corrected is right for all.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Connection, bindparam, select

from api import audit, upserts
from api.columns import count_from, float_of
from api.days import DaySum, by_day
from api.sums import Tally
from api.tables import PRICES
from carbon.schema import Cost, Price, PriceTerms
from carbon.settings import Settings
from carbon.units import ENERGY_DECIMALS, PRICE_DECIMALS

COST_DECIMALS = ENERGY_DECIMALS + PRICE_DECIMALS
"""Of the product of an energy and a price: it is exact."""

FOR_ALL = ""
"""In the place of a project: every project without a price of its own."""

_PRICES = (
    select(PRICES)
    .where(PRICES.c.project.in_(bindparam("projects", expanding=True)))
    .order_by(PRICES.c.project == FOR_ALL, PRICES.c.valid_from.desc())
)


@dataclass(frozen=True)
class Tariff:
    """The prices that a project's energy may have.

    Attributes:
        own: the project's, the latest first.
        general: those for all projects, the latest first.
        default: the server's.
    """

    own: tuple[Price, ...]
    general: tuple[Price, ...]
    default: Price | None

    def on(self, day: date) -> Price | None:
        """Return the price valid on a day, None where none is known."""
        for prices in (self.own, self.general):
            for price in prices:
                if price.valid_from is not None and price.valid_from <= day:
                    return price
        return self.default

    def throughout(self, first: date, last: date) -> Price | None:
        """Return the price that is valid on every one of these days, None where there is no one."""
        starts = [price.valid_from for price in (*self.own, *self.general)]
        if any(start is not None and first < start <= last for start in starts):
            return None
        return self.on(first)

    @property
    def is_empty(self) -> bool:
        """Whether there is no price at all."""
        return not (self.own or self.general or self.default)


def default_price(settings: Settings) -> Price | None:
    """Return the price that the settings name."""
    if settings.price_per_kwh is None or settings.currency is None:
        return None
    return Price(
        project=None,
        valid_from=None,
        price_per_kwh=settings.price_per_kwh,
        currency=settings.currency,
        source="CARBON_PRICE_PER_KWH",
    )


async def _default_price_of(request: Request) -> Price | None:
    price: Price | None = request.app.state.default_price
    return price


DefaultPrice = Annotated[Price | None, Depends(_default_price_of)]


def tariff(connection: Connection, project: str, default: Price | None) -> Tariff:
    """Return the prices for a project's runs."""
    listed = prices(connection, project, FOR_ALL)
    return Tariff(
        tuple(price for price in listed if price.project is not None),
        tuple(price for price in listed if price.project is None),
        default,
    )


def prices(connection: Connection, *projects: str) -> list[Price]:
    """Return the prices of a project, of `FOR_ALL`, or of both: those first, the latest first."""
    rows = connection.execute(_PRICES, {"projects": projects}).mappings()
    return [_price(row) for row in rows]


def put_price(
    connection: Connection, project: str, valid_from: date, terms: PriceTerms, actor: str
) -> bool:
    """Keep a price; return whether there was none of the project and day."""
    row = {"project": project, "valid_from": valid_from, **terms.model_dump()}
    held = upserts.put(connection, PRICES, row)
    what = f"prices/{valid_from}"
    audit.add_terms(connection, actor, what, PriceTerms, held, row, project or None)
    return held is None


def find_price(connection: Connection, project: str, valid_from: date) -> Price | None:
    """Return the price that was put for a project and day."""
    row = upserts.find(connection, PRICES, project=project, valid_from=valid_from)
    return None if row is None else _price(row)


def remove_price(connection: Connection, project: str, valid_from: date, actor: str) -> bool:
    """Remove a price; return whether there was one."""
    held = upserts.remove(connection, PRICES, project=project, valid_from=valid_from)
    what = f"prices/{valid_from}"
    audit.add_terms(connection, actor, what, PriceTerms, held, None, project or None)
    return held is not None


def costs_of_project(connection: Connection, tariff: Tariff, project: str) -> list[Cost]:
    """Return what a project's runs cost."""
    if tariff.is_empty:
        return []
    return costs(by_day(connection, project, "grid_energy_kwh"), tariff)


def costs_of_tally(
    connection: Connection, project: str, tally: Tally, default: Price | None
) -> list[Cost]:
    """Return what all of a project's runs cost, from their sum alone where one price holds."""
    known = tariff(connection, project, default)
    first, last = tally.extremes["first_run_at"], tally.extremes["last_run_at"]
    if known.is_empty or first is None or last is None:
        return []
    price = known.throughout(first.date(), last.date())
    if price is None:
        return costs_of_project(connection, known, project)
    summed = DaySum(tally.runs, tally.known["energy_kwh"], tally.counts["grid_energy_kwh"])
    return costs({first.date(): summed}, known)


def costs(days: Mapping[date, DaySum], tariff: Tariff) -> list[Cost]:
    """Price each day's grid energy; return the sums by currency, sorted by it."""
    return cost_of((tariff.on(day), summed.known, summed.count) for day, summed in days.items())


def cost_of(priced: Iterable[tuple[Price | None, int, int]]) -> list[Cost]:
    """Add up costs by currency.

    Args:
        priced: a price, how many runs have it, and their grid energy as a count of its last
            decimal.
    """
    runs: dict[str, int] = defaultdict(int)
    energies: dict[str, int] = defaultdict(int)
    amounts: dict[str, int] = defaultdict(int)
    sources: dict[str, set[str]] = defaultdict(set)
    for price, known, count in priced:
        if price is not None and known:
            runs[price.currency] += known
            energies[price.currency] += count
            amounts[price.currency] += cost_count(price, count)
            sources[price.currency] |= {price.source} if price.source else set()
    return [
        Cost(
            cost=float_of(amounts[currency], COST_DECIMALS),
            currency=currency,
            runs=runs[currency],
            grid_energy_kwh=float_of(energies[currency], ENERGY_DECIMALS),
            source="; ".join(sorted(sources[currency])) or None,
        )
        for currency in sorted(runs)
    ]


def cost_count(price: Price, grid_energy_count: int) -> int:
    """Return the cost of energy as a count of the last of `COST_DECIMALS`."""
    return grid_energy_count * count_from(price.price_per_kwh, PRICE_DECIMALS)


def _price(row: Mapping[Any, Any]) -> Price:
    return Price.model_validate({**row, "project": row["project"] or None})
