"""The extremes of sums are those of the runs that are left, whichever leave and in which order."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from api import derived, reports
from api.db import open_database, writing
from api.writing import Writing
from carbon.schema import RunReport
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INTENSITIES = (500.0, 400.0, 500.0, None, 400.0, 450.0, 600.0, 400.0)


def made(project: str) -> list[RunReport]:
    """Runs of three days, the second of which has no intensity at its end."""
    return [
        make_report(
            project=project,
            started_at=NOON + timedelta(hours=7 * number),
            intensity_g_per_kwh=intensity,
            intensity_source="one source",
            intensity_year=2023,
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
