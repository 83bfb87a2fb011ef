"""Storing reports: the highest sequence number wins, and shares of a run make it together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection

from api import rollups, series, shares
from api.access import UNLIMITED, Access
from api.problems import ProblemError
from api.writing import Writing, row_of
from carbon.schema import Accepted, RunReport

Outcome = Literal["created", "updated", "outdated"]
"""What becomes of a report: of a new run, not older than what was held, older than that."""


@dataclass(frozen=True)
class Stored:
    """What became of a report: the answer to its sender, and whether the run was new."""

    accepted: Accepted
    created: bool

    def outcome_of(self, report: RunReport) -> Outcome:
        """Say in a word what became of it."""
        if self.created:
            return "created"
        return "outdated" if self.accepted.seq > report.seq else "updated"


def store(
    connection: Connection, reports: Sequence[RunReport], accesses: Sequence[Access] | None = None
) -> list[Stored | ProblemError]:
    """Keep each report if its run is new or its sequence number higher than the one held.

    Args:
        connection: in a transaction that writes from its beginning.
        reports: of different runs.
        accesses: with which each came; None for those that may change every run.

    Returns:
        What became of each; an error for a share that makes no valid run with the others, or for
        an id that a run of a project has already to which its sender has no access.
    """
    accesses = accesses or [UNLIMITED] * len(reports)
    writing = Writing(connection)
    now = datetime.now(UTC)
    run_ids = [report.run_id for report in reports]
    held = dict(writing.hold(run_ids))
    missing = [report for report in reports if report.run_id not in held]
    new = writing.insert(
        [row_of(report, now, is_merged=report.reporter is not None) for report in missing]
    )
    if len(new) < len(missing):
        held |= writing.hold([report.run_id for report in missing if report.run_id not in new])
    for report in missing:
        if report.run_id in new:
            series.replace(connection, report, is_new=True)
    results = [
        _result(writing, report, access, held.get(report.run_id), now)
        for report, access in zip(reports, accesses, strict=True)
    ]
    writing.finish()
    return results


def _result(
    writing: Writing,
    report: RunReport,
    access: Access,
    held: rollups.Run | None,
    now: datetime,
) -> Stored | ProblemError:
    run_id, held_seq = report.run_id, report.seq
    if held is not None and not access.admits(_delivered_project(held)):
        # It tells that the id is taken and nothing else; to try ids out there are too many of them.
        return ProblemError(409, f"run {run_id} cannot be stored: its id is taken, make a new one")
    if report.reporter is not None or (held is not None and held["is_merged"]):
        # Not as a context manager: where the database itself fails, there is nothing to go back to.
        savepoint = writing.connection.begin_nested()
        try:
            held_seq = shares.store(writing, report, now, is_new=held is None)
        except ProblemError as error:
            savepoint.rollback()
            return error
        savepoint.commit()
    elif held is not None:
        if held["seq"] < report.seq:
            try:
                writing.report(report, now, is_merged=False)
            except ProblemError as error:
                return error
            series.replace(writing.connection, report)
        held_seq = max(held["seq"], report.seq)
    return Stored(Accepted(run_id=run_id, seq=held_seq), created=held is None)


def _delivered_project(held: rollups.Run) -> str:
    """Return the project that a run's reports name: they go on where that was corrected."""
    delivered = held["delivered"] or {}
    return str(delivered.get("project", held["project"]))
