"""Runs of which nothing is heard any more: shown as interrupted until they are heard of again.

A running run says how often it will tell of itself. One whose news are overdue has lost its
process, its machine or its network. What is marked here is overwritten by whatever comes next: by
more news, or by the end of the run as its machine's spool tells it.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, select, update

from api.db import writing
from api.repeating import repeating
from api.shares import merge_again
from api.tables import RUNS, SHARES
from api.writing import Writing
from carbon.delivery.live import LONGEST_PAUSE_S

MISSED = 3
"""How many reports in a row may be missing."""

_ROUND_TRIP_S = 5.0
_CHECKS_PER_PATIENCE = 6


@dataclass(frozen=True)
class Patience:
    """How long this server waits for news.

    Attributes:
        least_s: whatever interval the run has named.
        since: when this server began to listen. Before that the news may have found nobody, and
            their sender now tries again from time to time only.
    """

    least_s: float
    since: datetime

    def ends_at(self, heard_at: datetime, live_interval_s: float) -> datetime:
        """Return from when on a run that was last heard of at `heard_at` counts as lost."""
        wait = timedelta(seconds=max(self.least_s, MISSED * live_interval_s + _ROUND_TRIP_S))
        if heard_at >= self.since:
            return heard_at + wait
        return self.since + timedelta(seconds=LONGEST_PAUSE_S) + wait


def mark_lost(engine: Engine, patience: Patience, now: datetime) -> None:
    """Mark the runs and the shares of runs whose news are overdue.

    Each in a transaction of its own, and only if it is still as it was found: any number of servers
    may do this at once, while news come in.
    """
    with engine.begin() as connection:
        runs = _overdue_runs(connection, patience, now)
        shares = _overdue_shares(connection, patience, now)
    for run in runs:
        with writing(engine) as connection:
            _mark_run(Writing(connection), run)
    for run_id, reporter, seq in shares:
        with writing(engine) as connection:
            _mark_share(Writing(connection), run_id, reporter, seq)


def watching(engine: Engine, least_s: float) -> AbstractContextManager[None]:
    """Mark what is lost from time to time, in a thread, until the block ends."""
    patience = Patience(least_s, datetime.now(UTC))
    return repeating(
        "heartbeats",
        least_s / _CHECKS_PER_PATIENCE,
        lambda: mark_lost(engine, patience, datetime.now(UTC)),
    )


def _overdue_runs(connection: Connection, patience: Patience, now: datetime) -> list[Any]:
    query = select(
        RUNS.c.run_id,
        RUNS.c.seq,
        RUNS.c.started_at,
        RUNS.c.duration_s,
        RUNS.c.heard_at,
        RUNS.c.live_interval_s,
    ).where(
        RUNS.c.status == "running",
        RUNS.c.live_interval_s.is_not(None),
        RUNS.c.heard_at.is_not(None),
        RUNS.c.is_merged.is_not(True),
    )
    rows: list[Any] = list(connection.execute(query))
    return [row for row in rows if now > patience.ends_at(row.heard_at, row.live_interval_s)]


def _overdue_shares(
    connection: Connection, patience: Patience, now: datetime
) -> list[tuple[UUID, str, int]]:
    query = select(
        SHARES.c.run_id,
        SHARES.c.reporter,
        SHARES.c.seq,
        SHARES.c.heard_at,
        SHARES.c.live_interval_s,
    ).where(SHARES.c.live_interval_s.is_not(None), SHARES.c.is_lost.is_(False))
    return [
        (row.run_id, row.reporter, row.seq)
        for row in connection.execute(query)
        if now > patience.ends_at(row.heard_at, row.live_interval_s)
    ]


def _mark_run(writing: Writing, run: Any) -> None:
    held = writing.hold([run.run_id]).get(run.run_id)
    if held is None or (held["seq"], held["status"]) != (run.seq, "running") or held["is_merged"]:
        return
    # As `carbon.spool.shares.interrupted` does with a share's report.
    ended_at = run.started_at + timedelta(seconds=run.duration_s)
    changed = {"status": "interrupted", "ended_at": ended_at, "live_interval_s": None}
    writing.update(run.run_id, changed)
    writing.finish()


def _mark_share(writing: Writing, run_id: UUID, reporter: str, seq: int) -> None:
    # Holds the run first, as a report does that comes in.
    writing.hold([run_id])
    marked = writing.connection.execute(
        update(SHARES)
        .where(
            SHARES.c.run_id == run_id,
            SHARES.c.reporter == reporter,
            SHARES.c.seq == seq,
            SHARES.c.is_lost.is_(False),
        )
        .values(is_lost=True)
    )
    if marked.rowcount:
        merge_again(writing, run_id)
        writing.finish()
