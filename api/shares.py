"""Runs of several nodes: each node reports its share, and the run's row is what they make together.

`shares` holds the latest report of every node, and of the whole run where such a report came too.
The row in `runs` follows from these alone, in whatever order they came.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from api import series
from api.overlay import as_delivered
from api.problems import ProblemError
from api.quick_reading import model_of
from api.tables import RUNS, SHARES
from api.writing import REPORT_COLUMNS, Writing
from carbon.schema import RunReport
from carbon.spool.shares import counted, interrupted, merge_reports

WHOLE = ""
"""What stands for the reporter of a report of the whole run."""


def store(writing: Writing, report: RunReport, heard_at: datetime, *, is_new: bool) -> int:
    """Keep a share if it is new or its sequence number higher than the one held of it.

    Args:
        writing: holds the run, so that two nodes that report at once both count.
        report: of a share, or of a whole run of which there are shares.
        heard_at: when it came.
        is_new: whether the run's row was made of this very report.

    Returns:
        The sequence number that is held now.

    Raises:
        ProblemError: 422, together with the other shares this makes no valid run.
    """
    connection, run_id = writing.connection, report.run_id
    reporter = WHOLE if report.reporter is None else report.reporter
    if not is_new:
        _keep_whole(connection, run_id, heard_at)
    held_seq = _keep(connection, report, reporter, heard_at)
    if not is_new:
        merge_again(writing, run_id)
    return held_seq


def merge_again(writing: Writing, run_id: UUID) -> None:
    """Make the run's row anew of its shares.

    Raises:
        ProblemError: 422, the shares make no valid run, or none with what was corrected of it.
    """
    connection = writing.connection
    rows = connection.execute(select(SHARES).where(SHARES.c.run_id == run_id)).all()
    reports = [RunReport.model_validate(row.report) for row in rows]
    reports = [
        interrupted(report) if row.is_lost else report
        for row, report in zip(rows, reports, strict=True)
    ]
    try:
        merged = merge_reports(counted(reports))
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ProblemError(
            422, f"together with the other nodes' shares this makes no valid run: {reason}"
        ) from error
    heard_at = max(row.heard_at for row in rows)
    writing.report(merged, heard_at, is_merged=True)
    series.replace(connection, merged)


def _keep_whole(connection: Connection, run_id: UUID, heard_at: datetime) -> None:
    """Keep what came before the first share, of the whole run, beside the shares."""
    columns = (*REPORT_COLUMNS, RUNS.c.delivered, RUNS.c.heard_at, RUNS.c.is_merged)
    row = dict(connection.execute(select(*columns).where(RUNS.c.run_id == run_id)).mappings().one())
    row_heard_at, is_merged = row.pop("heard_at"), row.pop("is_merged")
    if not is_merged:
        row = as_delivered(row)
        row["nodes"] = series.put_back(connection, run_id, row["nodes"])
        _keep(connection, RunReport.model_validate(row), WHOLE, row_heard_at or heard_at)


def _keep(connection: Connection, report: RunReport, reporter: str, heard_at: datetime) -> int:
    """Keep the report unless one of at least its number is held, and return the number held."""
    this = (SHARES.c.run_id == report.run_id, SHARES.c.reporter == reporter)
    values = {
        "seq": report.seq,
        "heard_at": heard_at,
        "live_interval_s": report.live_interval_s if report.status == "running" else None,
        "is_lost": False,
        "report": model_of(RunReport, report).model_dump(mode="json"),
    }
    held = connection.execute(select(SHARES.c.seq).where(*this)).scalar_one_or_none()
    if held is None:
        names = {"run_id": report.run_id, "reporter": reporter}
        connection.execute(insert(SHARES).values(names | values))
    elif held < report.seq:
        connection.execute(update(SHARES).where(*this).values(values))
    return report.seq if held is None else max(held, report.seq)
