"""Prices and budgets: what is sent, and what is answered."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from carbon import units
from carbon.currencies import is_currency
from carbon.schema.fields import Text, Wire

Quantity = Literal["energy_kwh", "grid_energy_kwh", "emissions_kg", "cost"]
"""What a budget limits. `cost` is in the budget's currency."""

Period = Literal["month", "quarter", "year", "dates"]
BudgetState = Literal["unknown", "ok", "forecast_to_be_crossed", "crossed"]
WebhookProgress = Literal["idle", "waiting", "retrying", "delivered", "given_up"]


def _is_assigned(code: str) -> str:
    if not is_currency(code):
        raise ValueError(f"{code!r} is not an ISO 4217 currency code such as EUR or USD")
    return code


def _round_price(value: float) -> float:
    return round(value, units.PRICE_DECIMALS)


Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_is_assigned)]
PricePerKwh = Annotated[
    float, Field(ge=0, le=1e9, allow_inf_nan=False), AfterValidator(_round_price)
]
# A budget's name is a part of a path that others follow, unlike a project's.
BudgetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Day = Annotated[date, Field(strict=True)]


class PriceTerms(Wire):
    """What electricity costs, as it is sent."""

    price_per_kwh: PricePerKwh
    """Of energy drawn from the grid, in `currency`."""
    currency: Currency
    source: Text | None = None
    """Where the price is from: a contract, a tariff, a statistic."""


class Price(PriceTerms):
    """A price, and what it is valid for until a later one takes its place."""

    project: str | None
    """None for all projects that have none of their own on that day."""
    valid_from: date | None
    """The first day, in UTC; None for the server's CARBON_PRICE_PER_KWH, for want of another."""


class PriceList(Wire):
    """Prices, the latest first."""

    items: list[Price]


class Cost(Wire):
    """What energy cost in one currency: energy x PUE x the price valid on the day a run began."""

    cost: float
    currency: str
    runs: int
    """How many runs this is of; those without energy or without a price are in none."""
    grid_energy_kwh: float
    source: str | None
    """Of the prices."""


class BudgetTerms(Wire):
    """A limit for a project and period, as it is sent."""

    quantity: Quantity
    limit: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
    """In the unit that `quantity` names, or in `currency`."""
    currency: Currency | None = None
    """Of a `cost`."""
    period: Period
    """A calendar month, quarter or year in UTC, again and again, or the days named below, once."""
    from_day: Day | None = None
    until_day: Day | None = None
    """The last day, which belongs to it."""
    webhook_url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """Is posted a `BudgetCrossed` as JSON once the budget is crossed. Never shown again, for it
    often holds a secret."""

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> Self:
        if (self.currency is not None) != (self.quantity == "cost"):
            raise ValueError("a currency is for a budget of cost, which needs one")
        days = (self.from_day, self.until_day)
        if self.period != "dates":
            if days != (None, None):
                raise ValueError(
                    f"from_day and until_day are for the period 'dates', not {self.period!r}"
                )
        elif self.from_day is None or self.until_day is None:
            raise ValueError("the period 'dates' needs from_day and until_day")
        elif self.from_day > self.until_day:
            raise ValueError(f"from_day {self.from_day} is after until_day {self.until_day}")
        return self


class Forecast(Wire):
    """What is expected until a period's end, one standard deviation as its uncertainty."""

    amount: float
    uncertainty: float
    days: int
    """How many days it is made from."""
    method: str


class WebhookState(Wire):
    """How far the message of a crossed budget has come; `host` is all that is shown of its URL."""

    host: str
    progress: WebhookProgress
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    error: str | None
    """Of the last attempt."""


class Budget(Wire):
    """A budget in one of its periods: the limit, what is spent of it, what is to be expected."""

    project: str
    name: str
    quantity: Quantity
    currency: str | None
    period: Period
    from_day: date
    until_day: date
    """The last day of the period, which belongs to it."""
    limit: float
    spent: float | None
    """Of the runs that began in the period and whose value is known; None where it is of none."""
    share: float | None
    """spent / limit."""
    runs: int
    runs_unknown: int
    """Runs of the period that are not in `spent` because their value is unknown."""
    forecast: Forecast | None
    state: BudgetState
    crossed_at: datetime | None
    """When the server found it crossed for the first time in this period, which corrections do not
    change."""
    webhook: WebhookState | None
    method: str


class BudgetList(Wire):
    """A project's budgets by name, each in the period that was asked about."""

    items: list[Budget]


class BudgetCrossed(Wire):
    """What is posted to a budget's webhook; the same `event_id` each time it is tried."""

    event: Literal["budget.crossed"] = "budget.crossed"
    event_id: UUID
    project: str
    budget: str
    quantity: Quantity
    currency: str | None
    from_day: date
    until_day: date
    limit: float
    spent: float
    runs: int
    runs_unknown: int
    crossed_at: datetime
