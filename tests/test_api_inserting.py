"""New runs, many in one statement, and the values that are bound without SQLAlchemy."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, select

from api import derived, reports
from api.binding import bound, makers_of
from api.db import writing
from api.tables import RUNS
from tests.factories import make_report


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_every_run_of_a_transaction_is_stored(engine: Engine, count: int) -> None:
    runs = [
        make_report(project=f"project-{number % 3}", name=f"try {number}")
        for number in range(count)
    ]
    with writing(engine) as connection:
        assert all(stored.created for stored in reports.store(connection, runs))  # type: ignore[union-attr] # none is refused
    with engine.begin() as connection:
        named = connection.execute(select(RUNS.c.run_id, RUNS.c.name))
        assert {tuple(row) for row in named} == {(run.run_id, run.name) for run in runs}
        assert derived.differences(connection) == []


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 1, 2, tzinfo=timezone(timedelta(hours=5))),
    ],
)
def test_a_moment_is_bound_as_by_sqlalchemy(engine: Engine, moment: datetime) -> None:
    column = RUNS.c.started_at
    theirs = column.type.dialect_impl(engine.dialect).bind_processor(engine.dialect)
    (ours,) = bound([moment], makers_of(engine.dialect, [column]))
    assert ours == (theirs(moment) if theirs else moment)
