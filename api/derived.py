"""What follows from the runs and is kept beside them, labels and sums: making and checking it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, delete, select, update

from api import labels
from api.rollups import COLUMNS_NEEDED, Change, Key, Run, apply, changes_of
from api.tables import DAYS, LABELS, RUNS, TOTALS
from api.writing import REPORT_COLUMNS
from carbon.schema import RunReport

_READ_TOGETHER = 1000


def fill(connection: Connection) -> None:
    """Make all of it anew, in a transaction in which nobody else writes."""
    for table in (LABELS, DAYS, TOTALS):
        connection.execute(delete(table))
    for rows in _all_runs(connection):
        named = []
        for row in rows:
            row["labels"] = labels.labels_of(_report_of(row))
            this_run = RUNS.c.run_id == row["run_id"]
            connection.execute(update(RUNS).where(this_run).values(labels=row["labels"]))
            named.append((row["run_id"], None, row))
        labels.follow(connection, named)
        apply(connection, [(None, _counted(row)) for row in rows])


def differences(connection: Connection) -> list[str]:
    """Compare it with the runs; return a line for everything that is not what it should be.

    Reads all runs: take a transaction that sees one state of the ledger.
    """
    expected: dict[str, dict[Key, Change]] = {DAYS.name: {}, TOTALS.name: {}}
    found = []
    print_of_labels = 0
    for rows in _all_runs(connection):
        for name, changed in changes_of((None, _counted(row)) for row in rows).items():
            for key, change in changed.items():
                if key in expected[name]:
                    expected[name][key].join(change)
                else:
                    expected[name][key] = change
        for row in rows:
            right = labels.labels_of(_report_of(row))
            if row["labels"] != right:
                found.append(f"runs {row['run_id']}: has wrong labels")
            for label in right:
                print_of_labels += _fingerprint(label, row["started_at"], row["run_id"])
    columns = (LABELS.c.label, LABELS.c.started_at, LABELS.c.run_id)
    held_labels = connection.execution_options(yield_per=_READ_TOGETHER).execute(select(*columns))
    if sum(_fingerprint(*row) for row in held_labels) != print_of_labels:
        found.append(f"{LABELS.name}: is not what the runs have")
    for table in (DAYS, TOTALS):
        found += _wrong_sums(connection, table, expected[table.name])
    return found


def _wrong_sums(connection: Connection, table: Table, expected: dict[Key, Change]) -> list[str]:
    found = []
    for held in connection.execute(select(table)).mappings():
        key = tuple(held[column.name] for column in table.primary_key)
        if key not in expected:
            found.append(f"{table.name} {key}: is of no run")
            continue
        change = expected.pop(key)
        right = change.added | change.extremes
        wrong = [name for name, value in right.items() if held[name] != value]
        if wrong:
            found.append(f"{table.name} {key}: has wrong {', '.join(wrong)}")
    return found + [f"{table.name} {key}: is missing" for key in sorted(expected)]


def _fingerprint(label: str, started_at: datetime, run_id: UUID) -> int:
    """Return a number for a label; equal sums of them are, but for chance, of equal labels."""
    text = f"{label}\0{started_at.astimezone(UTC).isoformat()}\0{run_id}"
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest())


def _report_of(row: dict[str, Any]) -> RunReport:
    return RunReport.model_validate({c.name: row[c.name] for c in REPORT_COLUMNS})


def _counted(row: dict[str, Any]) -> Run:
    return {name: row[name] for name in COLUMNS_NEEDED}


def _all_runs(connection: Connection) -> Iterator[list[dict[str, Any]]]:
    """Read every run, some at a time, in the order of their ids: they may change meanwhile."""
    query = select(*REPORT_COLUMNS, RUNS.c.labels).order_by(RUNS.c.run_id).limit(_READ_TOGETHER)
    rows = connection.execute(query).mappings().all()
    while rows:
        yield [dict(row) for row in rows]
        after = query.where(RUNS.c.run_id > rows[-1]["run_id"])
        rows = connection.execute(after).mappings().all()
