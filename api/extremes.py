"""The extremes of a row of sums: what was taken away cannot be taken from them.

They are found anew, and that must not take longer the more runs there are: a run that leaves the
middle of its group changes none, and one that leaves an end is sought from that end on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    delete,
    func,
    literal,
    select,
    update,
)

from api.breakdown import NEEDED, PARTS
from api.sums import EXTREMES, STATUSES, extreme_of
from api.tables import EVERYTHING, RUNS, TOTALS
from api.unindexed import unindexed

Key = tuple[Any, ...]
_Values = Mapping[str, Any]

_OF_TIME = ("first_run_at", "last_run_at")


@dataclass(frozen=True)
class Lost:
    """What a row of sums had taken from it.

    Attributes:
        gone: by extreme, the values that were taken and not given back.
        given: how many runs were added at the same time.
        of_given: the extremes of those.
    """

    gone: Mapping[str, set[Any]]
    given: int
    of_given: _Values


def mend(connection: Connection, table: Table, losses: Mapping[Key, Lost]) -> None:
    """Remove rows of sums that are of no run; find the extremes that others lost.

    Args:
        connection: in the transaction that changed the rows, after it has.
        table: of sums.
        losses: what was taken from each row, by its key, in the order in which rows are written.
    """
    # Over all projects after each of them, for it is made of theirs.
    for is_over_all in (False, True):
        keys = [key for key in losses if (key[0] == EVERYTHING) == is_over_all]
        empty, changed = [], []
        for key in keys:
            this = _bound(table, key)
            # One by one: SQLite goes through the whole table for a list of keys.
            held = dict(connection.execute(_held(table), this).mappings().one())
            if not held["runs"]:
                empty.append(this)
            elif found := _found(connection, table, key, losses[key], held):
                changed.append(this | {name: found.get(name, held[name]) for name in EXTREMES})
        if empty:
            connection.execute(_delete(table), empty)
        if changed:
            connection.execute(_update(table), changed)


def _found(connection: Connection, table: Table, key: Key, lost: Lost, held: _Values) -> _Values:
    """Return the extremes that a row lost, as they are now."""
    names = [name for name, values in lost.gone.items() if held[name] in values]
    if _is_one_intensity(held):
        names = [name for name in names if name in _OF_TIME]
    if not names:
        return {}
    if held["runs"] == lost.given:  # It is of these runs and no others.
        return {name: lost.of_given[name] for name in names}
    if key[0] == EVERYTHING:
        return _of_projects(connection, key, names)
    if table.name in PARTS:
        return _of_parts(connection, table, key, names)
    return _of_runs(connection, table, key, names, held)


def _bound(table: Table, key: Key) -> dict[str, Any]:
    names = table.primary_key.columns.keys()
    return {f"key_{name}": value for name, value in zip(names, key, strict=True)}


def _this(table: Table) -> ColumnElement[bool]:
    return and_(*(column == bindparam(f"key_{column.name}") for column in table.primary_key))


@cache
def _held(table: Table) -> Any:
    counts = [table.c[f"runs_{status}"] for status in STATUSES]
    columns = [table.c[name] for name in (*EXTREMES, "emissions_kg_known")]
    return select(sum(counts, literal(0)).label("runs"), *columns).where(_this(table))


@cache
def _delete(table: Table) -> Any:
    return delete(table).where(_this(table))


@cache
def _update(table: Table) -> Any:
    return update(table).where(_this(table)).values({name: bindparam(name) for name in EXTREMES})


def _is_one_intensity(held: _Values) -> bool:
    """Tell whether all runs of a row that know an intensity have the same, and some still does."""
    same: bool = held["lowest_intensity"] == held["highest_intensity"]
    return same and held["emissions_kg_known"] > 0


def _of_projects(connection: Connection, key: Key, names: list[str]) -> _Values:
    """Find extremes over all projects, from the projects' rows: these are right by now."""
    same = [TOTALS.c.project != EVERYTHING, *_is(list(TOTALS.primary_key)[1:], key[1:])]
    found = [
        (func.min if EXTREMES[name][1] is min else func.max)(TOTALS.c[name]).label(name)
        for name in names
    ]
    return dict(connection.execute(select(*found).where(*same)).mappings().one())


def _of_runs(
    connection: Connection, table: Table, key: Key, names: list[str], held: _Values
) -> _Values:
    """Find extremes of the runs themselves.

    What was lost was at an end, so what is left is on this side of it, and between the first run
    and the last one.
    """
    found = dict(held)
    for name in sorted(names, key=lambda name: name not in _OF_TIME):
        column, choose = EXTREMES[name]
        value = RUNS.c[column]
        first, last = (found[each] for each in _OF_TIME)
        stretch = [RUNS.c.started_at >= first, RUNS.c.started_at <= last]
        query = select(value).where(*_runs_of(table, key), *stretch).limit(1)
        if column == "started_at":
            in_order = query.order_by(value if choose is min else value.desc())
            found[name] = connection.execute(in_order).scalar_one()
            continue
        if connection.execute(query.where(value == held[name])).first() is None:
            extreme = func.min(value) if choose is min else func.max(value)
            all_of_them = select(extreme).where(*_runs_of(table, key), *stretch)
            found[name] = connection.execute(all_of_them).scalar_one()
    return {name: found[name] for name in names}


def _of_parts(connection: Connection, table: Table, key: Key, names: list[str]) -> _Values:
    """Find extremes of the runs on a node or a model, among those of the project and day."""
    ends = [column for column, _ in EXTREMES.values()]
    columns = dict.fromkeys((*NEEDED, *ends))
    query = select(*(RUNS.c[name] for name in columns)).where(*_runs_of(table, key[:-1]))
    of_day = map(dict, connection.execute(query).mappings())
    runs = [
        {column: run[column] for column in ends}
        for run in of_day
        if key[-1] in PARTS[table.name](run)
    ]
    return {
        name: extreme_of(choose, [run[column] for run in runs])
        for name, (column, choose) in EXTREMES.items()
        if name in names
    }


def _is(columns: Any, values: Key) -> list[ColumnElement[bool]]:
    return [column == value for column, value in zip(columns, values, strict=True)]


def _runs_of(table: Table, key: Key) -> list[ColumnElement[bool]]:
    """Return what is true of the runs that count in a row of sums with a key that begins so.

    They are looked up by project and time, as no other index leads to so few of them; but those
    that go on by that and time, for they are few among all of a project's.
    """
    own = dict(zip(table.primary_key.columns.keys(), key, strict=False))
    indexed = "status" if own.get("status") == "running" else "project"
    conditions: list[ColumnElement[bool]] = []
    for name, value in own.items():
        if name == "day":
            conditions += [
                RUNS.c.started_at >= datetime.combine(value, time.min, UTC),
                RUNS.c.started_at <= datetime.combine(value, time.max, UTC),
            ]
        elif name == indexed:
            conditions.append(RUNS.c[name] == value)
        else:
            conditions.append(unindexed(RUNS.c[name]) == (value or None))
    return conditions
