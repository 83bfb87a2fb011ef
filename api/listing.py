"""Lists of runs: any filters, in order, page by page, each page as quick as the first.

The last page cannot be reached by counting, so every page begins after the last run of the one
before. Its runs are found in one of two ways, and then read by their ids:

- a filter that few runs pass is looked up first, and what it finds is sorted if it is not already;
- else runs are gone through in order until the page is full, which it soon is, for many runs pass.

In order of time every value of a column or label has its own stretch of an index that is in order
already, so a list with one such filter never meets a run that is not on the page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    bindparam,
    func,
    literal,
    select,
    tuple_,
    union,
)

from api import cursors
from api.access import Access
from api.cursors import Place
from api.filters import Among, Between, Filter, RunFilters
from api.tables import LABELS, RUNS
from api.unindexed import unindexed
from carbon.schema import RunFields

FIELDS = tuple(RunFields.model_fields)
"""What a list can show of a run: every field that is not a list of its parts."""

FEW = 5000
"""How many runs are looked up and sorted for one page at most."""

FEW_BY_TIME = 1000
"""The same for lists in order of time, where going through an index is the cheaper."""

CHUNK = 1000
"""How many runs of a file are read at once."""

_NULLABLE = frozenset({"energy_kwh", "emissions_kg"})
# A 64-bit count of the smallest unit holds no more: see `carbon.schema.fields`.
_LARGEST = {"duration_s": 9e9, "energy_kwh": 9e6, "emissions_kg": 9e6}


@dataclass(frozen=True)
class Order:
    """By which column a list is sorted; runs that are alike in it are sorted by their ids.

    Runs of which the value is unknown come last in either direction.
    """

    column: str = "started_at"
    descending: bool = True

    @property
    def is_by_time(self) -> bool:
        return self.column == "started_at"


@dataclass(frozen=True)
class Listing:
    """What is asked for: which runs, of those that are there for whom, in which order."""

    filters: RunFilters
    access: Access
    order: Order = Order()

    def key(self) -> Any:
        """Return what tells this list from others, for cursors."""
        given = self.filters.model_dump(mode="json", include=set(RunFilters.model_fields))
        return [given, self.access.among([]), self.order.column, self.order.descending]


def page(
    connection: Connection,
    listing: Listing,
    fields: Sequence[str],
    limit: int,
    cursor: str | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return at most `limit` runs, and the cursor of the page after it, if there is one.

    Raises:
        ProblemError: 422, a cursor that is not of this list.
    """
    after = None if cursor is None else _place_of(cursor, listing)
    rows, more = _rows(connection, listing, fields, limit, after)
    if not more:
        return rows, None
    return rows, cursors.encode(_wire_place(more, listing.order), listing.key())


def chunks(
    engine: Engine, listing: Listing, fields: Sequence[str], limit: int | None, cursor: str | None
) -> Iterator[list[dict[str, Any]]]:
    """Yield all runs of a list, or `limit` of them, some at a time.

    Each chunk is read in a transaction of its own: whoever reads slowly holds nothing up. A run
    that is corrected meanwhile is there as it was when its chunk was read; in the order of newest
    first none that comes meanwhile is.

    Raises:
        ProblemError: 422, a cursor that is not of this list; when the first chunk is asked for.
    """
    after = None if cursor is None else _place_of(cursor, listing)
    left = limit
    while left is None or left > 0:
        wanted = CHUNK if left is None else min(CHUNK, left)
        with engine.begin() as connection:
            rows, after = _rows(connection, listing, fields, wanted, after)
        yield rows
        if after is None:
            return
        left = None if left is None else left - wanted


def _rows(
    connection: Connection,
    listing: Listing,
    fields: Sequence[str],
    limit: int,
    after: Place | None,
) -> tuple[list[dict[str, Any]], Place | None]:
    """Return some runs, and the last one's place if there are more."""
    keys = _keys(connection, listing, limit + 1, after)
    wanted = [run_id for _, run_id in keys[:limit]]
    by_id: dict[UUID, dict[str, Any]] = {}
    for row in connection.execute(_with_fields(tuple(fields)), {"wanted": wanted}).mappings():
        values = dict(row)
        by_id[values.pop("_key")] = values
    rows = [by_id[run_id] for run_id in wanted if run_id in by_id]
    return rows, tuple(keys[limit - 1]) if len(keys) > limit else None


@lru_cache
def _with_fields(fields: tuple[str, ...]) -> Select[Any]:
    """Return the query for these fields of the runs `wanted`: putting it together takes long."""
    is_wanted = RUNS.c.run_id.in_(bindparam("wanted", expanding=True))
    return select(RUNS.c.run_id.label("_key"), *(RUNS.c[name] for name in fields)).where(is_wanted)


def _keys(
    connection: Connection, listing: Listing, limit: int, after: Place | None
) -> list[tuple[Any, UUID]]:
    """Return (value of the order's column, run_id) of the runs that come next."""
    order = listing.order
    filters = [*listing.filters.filters(listing.access)]
    if any(isinstance(each, Among) and not each.values for each in filters):
        return []
    period = listing.filters.period()
    if period is not None and not order.is_by_time:
        filters.append(period)
        period = None
    if period is not None and after is not None:
        period = _still_to_say(period, after, order)
    _plan_for_values(connection)
    rare = _rare(connection, filters, order)
    if isinstance(rare, Among) and order.is_by_time:  # What it finds is in order already.
        filters = [rare, *(each for each in filters if each is not rare)]
        rare = None
    found: list[tuple[Any, UUID]] = []
    parts = [True, False] if order.column in _NULLABLE else [True]
    for is_known in parts:
        if after is not None and after[0] is None and is_known:
            continue
        stretch = _Stretch(
            order,
            after if after is not None and is_known == (after[0] is not None) else None,
            is_known,
            period,
            limit - len(found),
        )
        query = _of_few(rare, filters, stretch) if rare else _in_order(filters, stretch)
        found += [(row[0], row[1]) for row in connection.execute(query)]
        if len(found) == limit:
            break
    return found


def _plan_for_values(connection: Connection) -> None:
    """Let PostgreSQL plan this transaction's queries for the values that they are asked with.

    After five times it would plan for any, and one plan cannot suit both a word of every run and
    one of a few.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")


def _still_to_say(period: Between, after: Place, order: Order) -> Between:
    """Return of a period what does not follow from the place that a page begins after.

    Of two bounds at the same end SQLite takes the period's to look up by, and from there goes
    through every page that was before this one.
    """
    moment = after[0]
    if order.descending:
        is_said = period.below is not None and moment < period.below
        return replace(period, below=None) if is_said else period
    is_said = period.least is not None and moment >= period.least
    return replace(period, least=None) if is_said else period


@dataclass(frozen=True)
class _Stretch:
    """A part of a list: where it begins, how long it is."""

    order: Order
    after: Place | None
    is_known: bool
    """Whether the order's column has a value there."""
    period: Between | None
    limit: int

    def of(self, source: Any, checked: Sequence[Any], *, by_index: bool = True) -> Select[Any]:
        """Return the query for the part of it that a table's index in this order leads to."""
        column, run_id = source.c[self.order.column], source.c.run_id
        query = select(column.label("value"), run_id.label("run_id")).where(*checked)
        if not by_index:
            column = unindexed(column)
        if self.period is not None:
            query = query.where(self.period.within(column))
        if not self.is_known:
            query = query.where(column.is_(None))
        elif self.order.column in _NULLABLE:
            query = query.where(column.is_not(None))
        query = query.where(*self._beyond(column, run_id))
        return query.order_by(*self._sorted(column, run_id)).limit(self.limit)

    def merged(self, parts: Sequence[Select[Any]]) -> Any:
        """Return the query for the beginning of several parts together, each run once."""
        if len(parts) == 1:
            return parts[0]
        both = union(*(select(part.subquery()) for part in parts)).subquery()
        query = select(both.c.value, both.c.run_id)
        return query.order_by(*self._sorted(both.c.value, both.c.run_id)).limit(self.limit)

    def _beyond(self, column: Any, run_id: Any) -> Iterator[Any]:
        if self.after is None:
            return
        value, last_id = self.after
        place: list[Any] = [literal(last_id, RUNS.c.run_id.type)]
        here = [run_id]
        if self.is_known:
            place.insert(0, literal(value, RUNS.c[self.order.column].type))
            here.insert(0, column)
        yield (
            tuple_(*here) < tuple_(*place)
            if self.order.descending
            else tuple_(*here) > tuple_(*place)
        )

    def _sorted(self, column: Any, run_id: Any) -> Iterator[Any]:
        columns = (column, run_id) if self.is_known else (run_id,)
        for each in columns:
            yield each.desc() if self.order.descending else each.asc()


def _rare(connection: Connection, filters: Sequence[Filter], order: Order) -> Filter | None:
    """Return a filter that few runs pass, where that is of use."""
    if order.is_by_time and len(filters) == 1 and isinstance(filters[0], Among):
        return None
    few = FEW_BY_TIME if order.is_by_time else FEW
    for each in filters:
        some = select(literal(1)).select_from(each.source).where(each.found()).limit(few + 1)
        counted = select(func.count()).select_from(some.subquery())
        if connection.execute(counted).scalar_one() <= few:
            return each
    return None


def _of_few(rare: Filter, filters: Sequence[Filter], stretch: _Stretch) -> Any:
    candidates = select(rare.source.c.run_id).where(rare.found())
    others = [each.matches() for each in filters if each is not rare]
    checked = [RUNS.c.run_id.in_(candidates), *others]
    return stretch.of(RUNS, checked, by_index=False)


def _in_order(filters: Sequence[Filter], stretch: _Stretch) -> Any:
    leading = next((each for each in filters if isinstance(each, Among)), None)
    if leading is None or not stretch.order.is_by_time:
        return stretch.of(RUNS, [each.matches() for each in filters])
    others = [each.matches() for each in filters if each is not leading]
    if leading.column is not None:
        column = RUNS.c[leading.column]
        return stretch.merged(
            [stretch.of(RUNS, [column == value, *others]) for value in leading.values]
        )
    if others:
        others.append(RUNS.c.run_id == LABELS.c.run_id)
    return stretch.merged(
        [stretch.of(LABELS, [LABELS.c.label == value, *others]) for value in leading.values]
    )


def _wire_place(place: Place, order: Order) -> Place:
    """Return a place as JSON can hold it."""
    value, run_id = place
    return cursors.microseconds(value) if order.is_by_time else value, run_id.hex


def _place_of(cursor: str, listing: Listing) -> Place:
    order = listing.order
    kinds = (int,) if order.is_by_time else (int, float, type(None))
    value, run_id = cursors.decode(cursor, listing.key(), (kinds, (str,)))
    run_id = cursors.run_id_of(run_id)
    if order.is_by_time:
        value = cursors.moment_of(value)
    elif not 0 <= (value or 0) <= _LARGEST[order.column]:
        raise cursors.not_a_cursor()
    return value, run_id
