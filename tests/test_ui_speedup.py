from datetime import UTC, datetime
from typing import Any

from tests.answers import point
from ui.pages.speedup import newest_first


def at(hour: int, study: str, workers: int = 1) -> Any:
    """A point of a study whose newest run started at this hour."""
    moment = datetime(2026, 3, 1, hour, tzinfo=UTC)
    return point("ddp", workers, 1.0, 0.001, study=study, last_run_at=moment)


def test_the_newest_study_with_something_to_compare_comes_first() -> None:
    points = [
        *(at(1, "old", workers) for workers in (1, 2, 4)),
        *(at(5, "new", workers) for workers in (1, 2)),
        at(9, "alone"),
        *(at(3, "between", workers) for workers in (1, 2)),
    ]
    assert newest_first(points) == ["new", "between", "old", "alone"]
