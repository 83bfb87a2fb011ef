"""What follows from other rows, labels, sums and what was corrected: making and checking it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import blake2b
from heapq import merge
from itertools import chain, groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Table,
    bindparam,
    delete,
    literal,
    select,
    tuple_,
    update,
)

from api import factors, labels, months
from api.extremes import Key
from api.overlay import FactorOf, as_delivered, laid_over
from api.rollups import BY_DAY, COLUMNS_NEEDED, IN_ORDER, Change, Run, apply, changes_of, day_of
from api.sums import COLUMNS, EXTREMES, Tally, extreme_of
from api.tables import (
    LABELS,
    MONTH_SUMS,
    MONTH_VERSIONS,
    MONTHS_MADE,
    RUNS,
    TOTALS,
    UNLABELLED,
)
from api.writing import REPORT_COLUMNS

DERIVED = (LABELS, UNLABELLED, *IN_ORDER, MONTH_VERSIONS, MONTHS_MADE, MONTH_SUMS)
"""The tables of which every row follows from the runs."""

_READ_TOGETHER = 1000

_SUMMED_TOGETHER = 4000
"""More at once, for those of a day are added together, and without their epochs they are small."""

_WITHOUT_EPOCHS = (
    *(column for column in REPORT_COLUMNS if column is not RUNS.c.epochs),
    *(RUNS.c.labels, RUNS.c.corrections, RUNS.c.delivered),
)
"""Nothing follows from the epochs, and they are half of a run."""

_RELABEL = update(RUNS).where(RUNS.c.run_id == bindparam("this_run"))

_Sums = dict[str, Any]
_OfTables = dict[str, dict[Key, _Sums]]
"""Sums by table and key."""


def fill(connection: Connection, *, labels_are_held: bool = False) -> None:
    """Make all of it anew, in a transaction in which nobody else writes.

    Args:
        connection: in that transaction.
        labels_are_held: the table of labels has what the runs' rows name, if not yet all that they
            are to name, as before an upgrade; then only the labels that differ are written.
    """
    if not labels_are_held:
        for table in (LABELS, UNLABELLED):
            connection.execute(delete(table))
    _forget_sums(connection)
    factor_of = factors.finder(connection)
    for rows in _all_runs(connection):
        named: list[tuple[UUID, Run, Run]] = []
        for row in rows:
            if wrong := _not_laid_over(row, factor_of):
                connection.execute(update(RUNS).where(RUNS.c.run_id == row["run_id"]).values(wrong))
                row |= wrong
            right = labels.labels_of_row(row)
            if row["labels"] != right:
                before = {"labels": row["labels"], "started_at": row["started_at"]}
                row["labels"] = right
                named.append((row["run_id"], before, row))
        if named:
            changed = [{"this_run": run_id, "labels": row["labels"]} for run_id, _, row in named]
            connection.execute(_RELABEL, changed)
        if labels_are_held:
            labels.rewrite(connection, named)
        else:
            labels.write(connection, [row["run_id"] for row in rows])
        apply(connection, [(None, row) for row in rows])


def sum_up(connection: Connection) -> None:
    """Make the sums anew, in a transaction in which nobody else writes."""
    _forget_sums(connection)
    needed = [RUNS.c[name] for name in COLUMNS_NEEDED]
    for rows in _all_runs(connection, needed, _SUMMED_TOGETHER):
        apply(connection, [(None, row) for row in rows])


def _forget_sums(connection: Connection) -> None:
    for table in IN_ORDER:
        connection.execute(delete(table))
    months.forget(connection)


def differences(connection: Connection) -> list[str]:
    """Compare it with the runs; return a line for everything that is not what it should be.

    Reads all runs, day by day: take a transaction that sees one state of the ledger.
    """
    found: list[str] = []
    totals: dict[Key, _Sums] = {}
    print_of_labels = 0
    factor_of = factors.finder(connection)

    def looked_at(row: dict[str, Any]) -> Run:
        nonlocal print_of_labels
        if wrong := _not_laid_over(row, factor_of):
            names = ", ".join(wrong)
            found.append(f"{RUNS.name} {row['run_id']}: has not the corrected {names}")
        right = labels.labels_of_row(row)
        if row["labels"] != right:
            found.append(f"{RUNS.name} {row['run_id']}: has wrong labels")
        for label in right:
            print_of_labels += _fingerprint(label, row["started_at"], row["run_id"])
        return row

    def days_of_runs() -> Iterator[tuple[date, str, _OfTables]]:
        for day, of_day in groupby(chain.from_iterable(_all_runs(connection)), key=day_of):
            changed = changes_of((None, looked_at(row)) for row in of_day)
            for key, change in changed.pop(TOTALS.name).items():
                totals[key] = _joined(totals.get(key), _sums_of(change))
            by_table = {
                name: {key: _sums_of(change) for key, change in changes.items()}
                for name, changes in changed.items()
            }
            yield day, "runs", by_table

    wrong: dict[str, list[str]] = {table.name: [] for table in BY_DAY}
    held = [_days_held(connection, table) for table in BY_DAY]
    for _, sides in groupby(merge(days_of_runs(), *held, key=itemgetter(0)), key=itemgetter(0)):
        right: _OfTables = {}
        present: _OfTables = {}
        for _, side, of_day in sides:
            (right if side == "runs" else present).update(of_day)
        for table in BY_DAY:
            name = table.name
            wrong[name] += _wrong_sums(table, present.get(name, {}), right.get(name, {}))
    if _print_of_labels_held(connection) != print_of_labels:
        found.append(f"{LABELS.name}: is not what the runs have")
    held_totals = _by_key(TOTALS, _streamed(connection, select(TOTALS)))
    wrong_days = chain.from_iterable(wrong.values())
    wrong_totals = _wrong_sums(TOTALS, held_totals, totals)
    return [*found, *wrong_days, *wrong_totals, *_wrong_months(connection)]


def _wrong_months(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with the sums of months, beside those of days."""
    names = MONTH_SUMS.c.keys()
    for kind in months.kinds_made(connection):
        held, right = (
            _by_key(MONTH_SUMS, [dict(zip(names, row, strict=True)) for row in rows])
            for rows in months.held_and_right(connection, kind)
        )
        yield from _wrong_sums(MONTH_SUMS, held, right)
    for month in months.without_version(connection):
        yield f"{MONTH_VERSIONS.name} {month}: is missing"


def _days_held(connection: Connection, table: Table) -> Iterator[tuple[date, str, _OfTables]]:
    query = select(table).order_by(table.c.day)
    for day, of_day in groupby(_streamed(connection, query), key=itemgetter("day")):
        yield day, "held", {table.name: _by_key(table, of_day)}


def _print_of_labels_held(connection: Connection) -> int:
    columns = (LABELS.c.label, LABELS.c.started_at, LABELS.c.run_id)
    held = _streamed(connection, select(*columns))
    waiting = labels.waiting(connection).mappings()
    return sum(
        _fingerprint(row["label"], row["started_at"], row["run_id"]) for row in chain(held, waiting)
    )


def _streamed(connection: Connection, query: Select[Any]) -> Iterable[RowMapping]:
    return connection.execute(query, execution_options={"yield_per": _READ_TOGETHER}).mappings()


def _wrong_sums(table: Table, held: dict[Key, _Sums], right: dict[Key, _Sums]) -> list[str]:
    found = []
    for key, sums in held.items():
        if key not in right:
            found.append(f"{table.name} {key}: is of no run")
            continue
        wrong = [name for name, value in right[key].items() if sums[name] != value]
        if wrong:
            found.append(f"{table.name} {key}: has wrong {', '.join(wrong)}")
    missing = sorted(right.keys() - held.keys())
    return found + [f"{table.name} {key}: is missing" for key in missing]


def _sums_of(change: Change) -> _Sums:
    return _numbers_of(dict(zip((*COLUMNS, *EXTREMES), change.values, strict=True)))


def _numbers_of(row: Mapping[str, Any]) -> _Sums:
    """Return what a row of sums says, however what it says is divided among its columns."""
    tally = Tally.of(row)
    return {
        **{f"runs_{status}": count for status, count in tally.runs_by_status.items()},
        **{f"{name}_known": count for name, count in tally.known.items()},
        **tally.counts,
        **tally.extremes,
    }


def _joined(one: _Sums | None, other: _Sums) -> _Sums:
    if one is None:
        return other
    return {
        name: extreme_of(EXTREMES[name][1], (one[name], value))
        if name in EXTREMES
        else one[name] + value
        for name, value in other.items()
    }


def _by_key(table: Table, rows: Iterable[Mapping[Any, Any]]) -> dict[Key, _Sums]:
    names = table.primary_key.columns.keys()
    return {tuple(row[name] for name in names): _numbers_of(dict(row)) for row in rows}


def _fingerprint(label: str, started_at: datetime, run_id: UUID) -> int:
    """Return a number for a label; equal sums of them are, but for chance, of equal labels."""
    text = f"{label}\0{started_at.astimezone(UTC).isoformat()}\0{run_id}"
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest())


def _not_laid_over(row: dict[str, Any], factor_of: FactorOf) -> dict[str, Any]:
    """Return the fields of a run that are not as its corrections have them, as they should be."""
    if not row["corrections"]:
        return {}
    laid = laid_over(as_delivered(dict(row)), row["corrections"], factor_of)
    return {name: value for name, value in laid.items() if row[name] != value}


def _all_runs(
    connection: Connection,
    columns: Sequence[ColumnElement[Any]] = _WITHOUT_EPOCHS,
    count: int = _READ_TOGETHER,
) -> Iterator[list[dict[str, Any]]]:
    """Read every run, some at a time, in the order of time: they may change meanwhile."""
    place = RUNS.c.started_at, RUNS.c.run_id
    query = select(*dict.fromkeys((*place, *columns))).order_by(*place).limit(count)
    rows = connection.execute(query).mappings().all()
    while rows:
        yield [dict(row) for row in rows]
        last = [literal(rows[-1][column.name], column.type) for column in place]
        after = query.where(tuple_(*place) > tuple_(*last))
        rows = connection.execute(after).mappings().all()
