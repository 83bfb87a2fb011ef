"""Crossed budgets: noticing each once, and telling its webhook until it was told.

Any number of servers do both at once. A crossing is found by whoever inserts its row, and a message
sent by whoever moves on its next attempt; a server that dies while it sends leaves that to the
others, so a message may come twice, with the same `event_id`, but is not lost.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, and_, select, update

from api import upserts
from api.budgets import MOST_ATTEMPTS, Row, is_crossed, period_of, standing
from api.db import writing
from api.engine import snapshots_of
from api.outbound import DeliveryError, UrlError, post_json
from api.periods import Days, before
from api.prices import tariff
from api.repeating import repeating
from api.tables import BUDGETS, CROSSINGS, TOTALS
from carbon.schema import Budget, BudgetCrossed, Price

logger = logging.getLogger("api")

LOOK_EVERY_S = 2.0

# What the totals do not show, a run that moved to another day say, or a new price, is seen then.
_LOOK_AT_ALL_EVERY = timedelta(seconds=60)

_TIMEOUT_S = 5.0
_FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 3600.0
_SENT_TOGETHER = 20

_WATCHED = [
    TOTALS.c[f"{name}_{part}"]
    for name in ("energy_kwh", "grid_energy_kwh", "emissions_kg")
    for part in ("quotient", "remainder")
]

Post = Callable[..., None]


class Watch:
    """What one server knows of the budgets that it watches."""

    def __init__(self, engine: Engine, default_price: Price | None) -> None:
        self._engine = engine
        self._default_price = default_price
        self._seen: dict[tuple[str, str], object] = {}
        self._looked_at_all_at = datetime.min.replace(tzinfo=UTC)

    def look(self, now: datetime) -> None:
        """Note the budgets that have been crossed since the last time, each in its own transaction.

        A calendar period is looked at while it lasts and as long as the next one lasts: reports of
        its runs may come late.
        """
        if now - self._looked_at_all_at >= _LOOK_AT_ALL_EVERY:
            self._looked_at_all_at = now
            self._seen = {}
        with snapshots_of(self._engine).begin() as connection:
            seen, found = self._crossed(connection, now)
        for row, budget in found:
            self._note(row, budget, now)
        self._seen = seen

    def _crossed(
        self, connection: Connection, now: datetime
    ) -> tuple[dict[tuple[str, str], object], list[tuple[Row, Budget]]]:
        """Return the state of what was looked at, and the budgets that are found to be crossed."""
        rows = [dict(row) for row in connection.execute(select(BUDGETS)).mappings()]
        if not rows:
            return {}, []
        sums = _sums(connection)
        keys = (CROSSINGS.c.project, CROSSINGS.c.budget, CROSSINGS.c.from_day)
        known = {tuple(key) for key in connection.execute(select(*keys))}
        seen: dict[tuple[str, str], object] = {}
        found: list[tuple[Row, Budget]] = []
        for row in rows:
            this = (row["project"], row["name"])
            state = (row["since"], sums.get(row["project"]), now.date())
            seen[this] = state
            if self._seen.get(this) == state:
                continue
            periods = [days for days in _periods(row, now) if (*this, days.from_day) not in known]
            if periods:
                found += self._newly_crossed(connection, row, periods, now)
        return seen, found

    def _newly_crossed(
        self, connection: Connection, row: Row, periods: list[Days], now: datetime
    ) -> list[tuple[Row, Budget]]:
        prices = tariff(connection, row["project"], self._default_price)
        return [
            (row, standing(connection, row, prices, days, now))
            for days in periods
            if is_crossed(connection, row, prices, days)
        ]

    def _note(self, row: Row, budget: Budget, now: datetime) -> None:
        assert budget.spent is not None
        event = BudgetCrossed(
            event_id=uuid4(),
            budget=budget.name,
            crossed_at=now,
            **budget.model_dump(include=_TOLD),
        )
        with writing(self._engine) as connection:
            this = and_(BUDGETS.c.project == budget.project, BUDGETS.c.name == budget.name)
            held = connection.execute(select(BUDGETS.c.since).where(this).with_for_update())
            if held.scalar() != row["since"]:
                return  # Somebody changed or removed it meanwhile.
            upserts.add(
                connection,
                CROSSINGS,
                {
                    "project": budget.project,
                    "budget": budget.name,
                    "from_day": budget.from_day,
                    "crossed_at": now,
                    "document": event.model_dump(mode="json"),
                    "attempts": 0,
                    "next_attempt_at": now,
                },
            )


_TOLD = set(BudgetCrossed.model_fields) & set(Budget.model_fields) - {"crossed_at"}


def send(engine: Engine, now: datetime, *, allow_local: bool, post: Post = post_json) -> None:
    """Send the messages that are due, and note what became of each.

    Args:
        engine: of the ledger.
        now: decides what is due.
        allow_local: whether webhooks may be on this machine or network.
        post: as `api.outbound.post_json`.
    """
    with snapshots_of(engine).begin() as connection:
        due = _due(connection, now)
    for row in due:
        this = and_(*(column == row[column.name] for column in CROSSINGS.primary_key))
        attempts = row["attempts"] + 1
        with writing(engine) as connection:
            claimed = connection.execute(
                update(CROSSINGS)
                .where(
                    this, CROSSINGS.c.notified_at.is_(None), CROSSINGS.c.attempts == row["attempts"]
                )
                .values(attempts=attempts, next_attempt_at=now + pause_after(attempts))
            )
        if not claimed.rowcount:
            continue
        error: str | None = None
        try:
            post(row["webhook_url"], row["document"], allow_local=allow_local, timeout_s=_TIMEOUT_S)
        except (UrlError, DeliveryError) as failure:
            error = str(failure)
        if error is not None and attempts >= MOST_ATTEMPTS:
            logger.error(
                "the webhook of budget %r of project %r was not reached in %d attempts: %s",
                row["budget"],
                row["project"],
                attempts,
                error,
            )
        with writing(engine) as connection:
            connection.execute(
                update(CROSSINGS)
                .where(this, CROSSINGS.c.attempts == attempts)
                .values(notified_at=now if error is None else None, error=error)
            )


def pause_after(attempts: int) -> timedelta:
    """Return how long the next attempt is waited for: twice as long each time, up to an hour."""
    return timedelta(seconds=min(_FIRST_PAUSE_S * 2 ** (attempts - 1), _LONGEST_PAUSE_S))


@contextmanager
def watching(engine: Engine, default_price: Price | None, *, allow_local: bool) -> Iterator[None]:
    """Look for crossed budgets and send what is due, in threads, until the block ends.

    A webhook that answers slowly keeps nobody from seeing that a budget is crossed.
    """
    watch = Watch(engine, default_price)
    with (
        repeating("budgets", LOOK_EVERY_S, lambda: watch.look(datetime.now(UTC))),
        repeating(
            "webhooks",
            LOOK_EVERY_S,
            lambda: send(engine, datetime.now(UTC), allow_local=allow_local),
        ),
    ):
        yield


def _sums(connection: Connection) -> dict[str, object]:
    """Return, of each project with a budget, what changes when its sums do."""
    with_budget = select(BUDGETS.c.project)
    query = select(TOTALS.c.project, *_WATCHED).where(TOTALS.c.project.in_(with_budget))
    by_project: dict[str, list[Any]] = defaultdict(list)
    for project, *counts in connection.execute(query):
        by_project[project].append(tuple(counts))
    return {project: sorted(rows) for project, rows in by_project.items()}


def _periods(row: Row, now: datetime) -> list[Days]:
    days = period_of(row, now.date())
    earlier = None if row["period"] == "dates" else before(row["period"], days)
    if earlier is None or earlier.until_day < row["since"].date():
        return [days]
    return [earlier, days]


def _due(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    own = and_(BUDGETS.c.project == CROSSINGS.c.project, BUDGETS.c.name == CROSSINGS.c.budget)
    query = (
        select(CROSSINGS, BUDGETS.c.webhook_url)
        .join(BUDGETS, own)
        .where(
            BUDGETS.c.webhook_url.is_not(None),
            CROSSINGS.c.notified_at.is_(None),
            CROSSINGS.c.attempts < MOST_ATTEMPTS,
            CROSSINGS.c.next_attempt_at <= now,
        )
        .order_by(CROSSINGS.c.next_attempt_at)
        .limit(_SENT_TOGETHER)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
