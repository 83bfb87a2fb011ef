"""Summaries by groups: the sums of days, put together by one or two keys.

Three tables hold sums of days (see `api.rollups`): by what is said of a run as a whole, by node and
by GPU model. A summary comes from one of them, so a node has no strategy here; one of everything
comes from the sums of months that are made of them (see `api.months`). Days are in UTC, and a run
belongs to that on which it started.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Engine,
    FromClause,
    Select,
    String,
    Table,
    literal,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from api import cursors, months
from api.beginnings import BEGINNINGS, name_of
from api.cursors import Place
from api.kinds import COLUMNS_OF, table_of
from api.rollups import summed
from api.sums import Tally
from carbon.countries import country_name
from carbon.schema import GroupTotals

CHUNK = 1000
"""How many lines of a file are read at once."""

KEYS = (*BEGINNINGS, *COLUMNS_OF)
"""What a summary can be grouped by."""

FILTERS = {
    "project": "project",
    "study": "study",
    "strategy": "strategy",
    "status": "status",
    "user": "user",
    "country": "country_iso_code",
    "region": "region",
}
"""What it can be limited to by values, each with the column that has them."""

MOST_KEYS = 2


@dataclass(frozen=True)
class Grouping:
    """What is asked for.

    Attributes:
        keys: of `KEYS`, the first one is the first that the lines are sorted by.
        among: of `FILTERS` those that matter, each with the values that count.
        since: the first day, and
        until: the last one, in UTC.
        descending: whether the lines are the other way round.
    """

    keys: tuple[str, ...]
    among: Mapping[str, Sequence[str]]
    since: date | None = None
    until: date | None = None
    descending: bool = False

    @property
    def table(self) -> Table:
        """Where the sums come from."""
        return table_of(self.keys)

    @property
    def kind(self) -> str | None:
        """By what `api.months` holds sums that answer this; None if it holds none."""
        others = [key for key in self.keys if key not in BEGINNINGS]
        if self.among or len(others) > 1:
            return None
        if others and not {"day", "week"}.isdisjoint(self.keys):
            return None
        return others[0] if others else months.BY_DAY

    def missing(self) -> list[str]:
        """Return what is asked for that the table knows nothing of."""
        keys = [key for key in self.keys if not self._is_there(key)]
        return [*keys, *(name for name in self.among if FILTERS[name] not in self.table.c)]

    def fields(self) -> tuple[str, ...]:
        """Return the fields of a line: its keys and the totals."""
        own = [field for key in self.keys for field in _FIELDS.get(key, (key,))]
        totals = [name for name in GroupTotals.model_fields if name not in _ALL_KEY_FIELDS]
        return *own, *totals

    def listed(self) -> Any:
        """Return what tells this list from others, for cursors."""
        return [self.keys, dict(self.among), self.since, self.until, self.descending]

    def source(self, connection: Connection) -> FromClause:
        """Return the rows of sums that this transaction is to put together."""
        if self.kind is None:
            return self.table
        return months.source(connection, self.kind, self.since, self.until)

    def columns(self, source: FromClause) -> list[ColumnElement[Any]]:
        """Return what the lines are told apart and sorted by."""
        columns: list[ColumnElement[Any]] = []
        for key in self.keys:
            if key in BEGINNINGS:
                columns.append(BEGINNINGS[key](source.c.day))
            else:
                columns += [_by_code_point(source.c[name]) for name in COLUMNS_OF[key]]
        return columns

    def conditions(self, source: FromClause) -> Iterator[ColumnElement[bool]]:
        """Yield what is true of the rows that count."""
        for name, values in self.among.items():
            yield source.c[FILTERS[name]].in_(values)
        if self.since is not None:
            yield source.c.day >= self.since
        if self.until is not None:
            yield source.c.day <= self.until

    def _is_there(self, key: str) -> bool:
        return key in BEGINNINGS or all(name in self.table.c for name in COLUMNS_OF[key])


_FIELDS = {"place": ("country_iso_code", "country_name", "region")}
_ALL_KEY_FIELDS = frozenset(field for key in KEYS for field in _FIELDS.get(key, (key,)))


class _by_code_point(FunctionElement[str]):  # noqa: N801 # written like the functions of SQL
    """A text that is sorted alike in every database, whatever language that is set up for."""

    inherit_cache = True
    type = String()


@compiles(_by_code_point)
def _as_it_is(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_by_code_point, "postgresql")
def _in_c(element: Any, compiler: Any, **options: Any) -> str:
    return f'{compiler.process(element.clauses, **options)} COLLATE "C"'


def page(
    connection: Connection, grouping: Grouping, limit: int, cursor: str | None = None
) -> tuple[list[GroupTotals], str | None]:
    """Return at most `limit` lines, and the cursor of those after them, if there are any.

    Raises:
        ProblemError: 422, a cursor that is not of this list.
    """
    lines, after = _lines(connection, grouping, limit, _place_of(cursor, grouping))
    return lines, None if after is None else cursors.encode(after, grouping.listed())


def chunks(
    engine: Engine, grouping: Grouping, limit: int | None, cursor: str | None
) -> Iterator[list[dict[str, Any]]]:
    """Yield all lines, or `limit` of them, some at a time, each chunk of a moment of its own.

    Raises:
        ProblemError: 422, a cursor that is not of this list; when the first chunk is asked for.
    """
    after = _place_of(cursor, grouping)
    fields = grouping.fields()
    left = limit
    while left is None or left > 0:
        wanted = CHUNK if left is None else min(CHUNK, left)
        with engine.begin() as connection:
            lines, after = _lines(connection, grouping, wanted, after)
        yield [{name: getattr(line, name) for name in fields} for line in lines]
        if after is None:
            return
        left = None if left is None else left - wanted


def _lines(
    connection: Connection, grouping: Grouping, limit: int, after: Place | None
) -> tuple[list[GroupTotals], Place | None]:
    """Return some lines, and the last one's place if there are more."""
    source = grouping.source(connection)
    columns = grouping.columns(source)
    query = _query(grouping, source, columns, after).limit(limit + 1)
    rows = connection.execute(query).all()
    places = [tuple(row[: len(columns)]) for row in rows]
    lines = [
        _line(grouping, place, row._mapping)
        for place, row in zip(places[:limit], rows[:limit], strict=True)
    ]
    return lines, places[limit - 1] if len(rows) > limit else None


def _query(
    grouping: Grouping,
    source: FromClause,
    columns: Sequence[ColumnElement[Any]],
    after: Place | None,
) -> Select[Any]:
    query = select(*columns, *summed(source)).where(*grouping.conditions(source))
    if after is not None:
        here = tuple_(*columns)
        place = tuple_(*(literal(value, c.type) for value, c in zip(after, columns, strict=True)))
        query = query.where(here < place if grouping.descending else here > place)
    order = [column.desc() if grouping.descending else column.asc() for column in columns]
    return query.group_by(*columns).order_by(*order)


def _line(grouping: Grouping, place: Place, row: Mapping[Any, Any]) -> GroupTotals:
    found: dict[str, Any] = {}
    values = iter(place)
    for key in grouping.keys:
        if key in BEGINNINGS:
            found[key] = name_of(key, next(values))
        elif key == "place":
            code, region = next(values) or None, next(values) or None
            found["country_iso_code"], found["region"] = code, region
            found["country_name"] = country_name(code) if code else None
        else:
            found[key] = next(values) or None
    return GroupTotals(**dict(Tally.of(row).totals()), **found)


def _place_of(cursor: str | None, grouping: Grouping) -> Place | None:
    if cursor is None:
        return None
    columns = grouping.columns(grouping.table)
    texts = cursors.decode(cursor, grouping.listed(), [(str,)] * len(columns))
    try:
        return [
            date.fromisoformat(text) if isinstance(column.type, Date) else text
            for text, column in zip(texts, columns, strict=True)
        ]
    except ValueError as error:
        raise cursors.not_a_cursor() from error
