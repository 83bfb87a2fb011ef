"""The extremes of sums are those of the runs that are left, whichever leave and in which order."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from api import derived, reports
from api.db import open_database, writing
from api.writing import Writing
from carbon.schema import DeviceReport, NodeReport, RunReport
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INTENSITIES = (500.0, 400.0, 500.0, None, 400.0, 450.0, 600.0, 400.0)


def host(name: str, number: int) -> NodeReport:
    """A host that has an accelerator of one of two models, or none."""
    model = ("H100", None, "V100")[number % 3]
    devices = [DeviceReport(uuid="GPU-0", name=model, energy_kwh=0.25)] if model else []
    return NodeReport(hostname=name, devices=devices, energy_kwh=0.25 if model else None)


def made(project: str) -> list[RunReport]:
    """Runs of three days, the second of which has no intensity at its end.

    Every third one is of two hosts, and some have an accelerator.
    """
    return [
        make_report(
            project=project,
            started_at=NOON + timedelta(hours=7 * number),
            intensity_g_per_kwh=intensity,
            intensity_source="one source",
            intensity_year=2023,
            nodes=[host("one", number)] + [host("two", number)] * (number % 3 == 0),
        )
        for number, intensity in enumerate(INTENSITIES)
    ]


@pytest.mark.parametrize(
    "leaving",
    [
        [[0], [1], [2], [3], [4], [5], [6], [7]],  # The first ones first: as a costing takes them.
        [[7], [6], [5], [4], [3], [2], [1], [0]],
        [[6], [1, 4, 7], [5], [0, 2], [3]],  # Each extreme until nothing is known.
        [[0, 7], [2, 3, 5]],
    ],
)
def test_what_is_left_has_its_own_extremes(ledgers: Ledgers, leaving: Sequence[list[int]]) -> None:
    engine = open_database(ledgers.url())
    runs, others = made("a"), made("b")
    with writing(engine) as connection:
        reports.store(connection, [*runs, *others])
    for numbers in leaving:
        with writing(engine) as connection:
            taking = Writing(connection)
            run_ids = [runs[number].run_id for number in numbers]
            taking.hold(run_ids)
            for run_id in run_ids:
                taking.delete(run_id)
            taking.finish()
            assert derived.differences(connection) == [], numbers
    engine.dispose()


def test_runs_that_end_are_looked_up_among_those_that_go_on(ledgers: Ledgers) -> None:
    engine = open_database(ledgers.url())
    begun = [
        make_report(
            started_at=NOON + timedelta(minutes=number),
            status="running",
            ended_at=None,
            intensity_g_per_kwh=intensity,
        )
        for number, intensity in enumerate(INTENSITIES)
    ]
    with writing(engine) as connection:
        reports.store(connection, begun)
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _u: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "FROM runs" in statement and "started_at <=" in statement:
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    for number in (0, 7, 6, 1, 3, 2, 4, 5):
        ended = begun[number].model_copy(update={"status": "completed", "seq": 1})
        with writing(engine) as connection:
            reports.store(connection, [ended])
        with engine.begin() as connection:
            assert derived.differences(connection) == [], number
    event.remove(engine, "before_cursor_execute", note)
    assert asked
    if ledgers.backend == "sqlite":  # PostgreSQL plans by its statistics.
        with engine.connect() as connection:
            for statement, parameters in asked:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                assert all("USING INDEX runs_by_status" in step.detail for step in plan)
    engine.dispose()
