"""Whether the sums kept beside the runs are what the runs add up to, and making them so."""

from collections.abc import Iterator

from sqlalchemy import Connection, delete, select

from api.rollups import COLUMNS_NEEDED, Change, Key, Run, apply, changes_of
from api.tables import DAYS, RUNS, TOTALS

_READ_TOGETHER = 5000


def fill(connection: Connection) -> None:
    """Make the sums anew from the runs, in a transaction in which nobody else writes."""
    connection.execute(delete(DAYS))
    connection.execute(delete(TOTALS))
    for runs in _all_runs(connection):
        apply(connection, ((None, run) for run in runs))


def differences(connection: Connection) -> list[str]:
    """Compare the sums with the runs; return a line for every row that is not what it should be.

    Reads all runs: take a transaction that sees one state of the ledger.
    """
    expected: dict[str, dict[Key, Change]] = {DAYS.name: {}, TOTALS.name: {}}
    for runs in _all_runs(connection):
        for name, rows in changes_of((None, run) for run in runs).items():
            for key, change in rows.items():
                if key in expected[name]:
                    expected[name][key].join(change)
                else:
                    expected[name][key] = change
    found = []
    for table in (DAYS, TOTALS):
        rows = expected[table.name]
        for row in connection.execute(select(table)).mappings():
            key = tuple(row[column.name] for column in table.primary_key)
            if key not in rows:
                found.append(f"{table.name} {key}: is of no run")
                continue
            change = rows.pop(key)
            right = change.added | change.extremes
            wrong = [name for name, value in right.items() if row[name] != value]
            if wrong:
                found.append(f"{table.name} {key}: has wrong {', '.join(wrong)}")
        found += [f"{table.name} {key}: is missing" for key in sorted(rows)]
    return found


def _all_runs(connection: Connection) -> Iterator[list[Run]]:
    """Read every run, some thousands at a time."""
    query = select(*(RUNS.c[name] for name in dict.fromkeys(COLUMNS_NEEDED)))
    result = connection.execution_options(yield_per=_READ_TOGETHER).execute(query)
    for rows in result.mappings().partitions():
        yield [dict(row) for row in rows]
