"""Delivery: from the parts in the spool to the API, any number of times, by whoever comes by."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import ValidationError

from carbon.errors import ApiError, ApiRejectedError, ApiUnreachableError, SpoolError
from carbon.rest.leaving import at_work
from carbon.schema import RunReport
from carbon.spool.merge import merge
from carbon.spool.part import Part, Started
from carbon.spool.series import PartSeries
from carbon.spool.spool import Spool, is_held

if TYPE_CHECKING:
    from carbon.rest.client import Client  # httpx takes long to load and is seldom needed.

log = logging.getLogger("carbon")

# Bad request, conflict, too large, unprocessable: the report itself is at fault. Any other refusal,
# a wrong key say, is lifted by mending the settings, and the run waits for that.
_REPORT_AT_FAULT = frozenset({400, 409, 413, 422})

# No answer, too many requests, unavailable: true of every run. Another failure may be of this one.
_API_ABSENT = frozenset({None, 429, 502, 503, 504})


@dataclass
class Outcome:
    """What became of the runs that waited."""

    delivered: list[RunReport] = field(default_factory=list)
    running: list[UUID] = field(default_factory=list)
    """Left alone: a process holds a part of theirs."""
    rejected: list[tuple[UUID, str, Path]] = field(default_factory=list)
    """Run, the API's reason, and the folder in which the run is kept."""
    waiting: list[UUID] = field(default_factory=list)
    """Not delivered because the API did not answer, or does not let us in."""
    unreachable: str | None = None
    """Why."""
    has_given_up: bool = False
    """Whether the other runs were not tried: what was wrong has nothing to do with this one."""


def settle(spool: Spool, run_id: UUID, above: int = 0) -> RunReport | None:
    """Merge a run's parts into its report and write that to disk; the caller holds the run's lock.

    Returns None where no part can be read. A report that says the same as the last keeps its `seq`;
    another one gets a `seq` higher than any that was given, and than `above`.
    """
    return _settle(spool, run_id, spool.parts(run_id), above)


def _settle(spool: Spool, run_id: UUID, parts: Sequence[Part], above: int = 0) -> RunReport | None:
    if not parts:
        return None
    with at_work():
        last = spool.report(run_id)
        seq = max(spool.given_seq(run_id), above)
        report = merge(parts, seq, spool.series(run_id))
        if report != last:
            report = report.model_copy(update={"seq": seq + 1})
            spool.write_report(report)
    return report


def split(
    parts: Sequence[Part],
    report: RunReport,
    series: Sequence[PartSeries] = (),
    spool_id: str = "",
) -> list[RunReport]:
    """Return what the API is sent of a run: `report`, the merge of `parts`, or a share a node.

    A run that has several nodes, or that was restarted and may have been elsewhere before, need not
    have all its parts in this spool. The shares are the same whether the nodes have one spool or
    several, but for their names: nodes with the same host name may have a spool each.
    """
    if not any(_is_shared(part.started) for part in parts):
        return [report]
    shares = []
    for hostname in sorted({part.started.hostname for part in parts}):
        own = [part for part in parts if part.started.hostname == hostname]
        recorded = [one for one in series if one.hostname == hostname]
        share = merge(own, report.seq, recorded)
        shares.append(share.model_copy(update={"reporter": reporter_of(hostname, spool_id)}))
    return shares


def reporter_of(hostname: str, spool_id: str) -> str:
    """Return the name under which a spool tells of a host's share."""
    return f"{hostname}/{spool_id}" if spool_id else hostname


def as_share(started: Started, report: RunReport, spool_id: str) -> RunReport:
    """Return the report of one part as what the API is sent, where nothing is known of others."""
    reporter = reporter_of(started.hostname, spool_id) if _is_shared(started) else None
    return report.model_copy(update={"reporter": reporter})


def as_inner_share(started: Started, report: RunReport) -> RunReport:
    """Return the report of a part as what it adds to that of the `carbon run` around it.

    That one tells of the node, and has measured it.
    """
    return report.model_copy(update={"reporter": started.part_name, "nodes": []})


def _is_shared(started: Started) -> bool:
    return started.n_nodes > 1 or started.attempt > 0


def deliver(spool: Spool, client: "Client", run_ids: list[UUID] | None = None) -> Outcome:
    """Deliver the given runs, or all that wait; runs of living processes are left alone.

    A run whose process was killed is finished as `interrupted` on the way. Stops asking
    when the API does not answer at all, not when it fails on one run.

    Raises:
        SpoolError: the spool cannot be read or written.
    """
    outcome = Outcome()
    for run_id in spool.waiting() if run_ids is None else run_ids:
        if outcome.has_given_up:
            outcome.waiting.append(run_id)
            continue
        with spool.locked(run_id):
            _deliver_one(spool, client, run_id, outcome)
    try:
        spool.forget_delivered()
    except SpoolError as error:
        log.debug("old runs stay in the spool: %s", error)
    return outcome


def _deliver_one(spool: Spool, client: "Client", run_id: UUID, outcome: Outcome) -> None:
    # A part that has ended is added to until it is let go of: its last ticks, its series. And one
    # that was only just opened says nothing yet.
    if any(is_held(path) for path in spool.part_files(run_id)):
        outcome.running.append(run_id)
        return
    parts = spool.parts(run_id)
    try:
        report = _settle(spool, run_id, parts)
        if report is None:
            spool.drop_unsaid(run_id)
            return  # Or delivered by somebody else in the meantime.
        with at_work():
            shares = split(parts, report, spool.series(run_id), spool.identity())
            documents = [share.model_dump_json() for share in shares]
        for document in documents:
            client.put_document(run_id, document)
    except ValidationError as error:
        _reject(spool, run_id, outcome, f"the parts make no valid report: {error}")
    except ApiRejectedError as error:
        if error.status in _REPORT_AT_FAULT:
            _reject(spool, run_id, outcome, str(error), problem=error.problem)
        else:
            # A key that is not for this run's project may be for that of the next.
            _wait(outcome, run_id, error, give_up=error.status != 403)
    except ApiUnreachableError as error:
        _wait(outcome, run_id, error, give_up=error.status in _API_ABSENT)
    else:
        spool.move(run_id, "delivered")
        outcome.delivered.append(report)


def _wait(outcome: Outcome, run_id: UUID, error: ApiError, *, give_up: bool) -> None:
    outcome.waiting.append(run_id)
    outcome.unreachable = str(error)
    outcome.has_given_up = give_up


def _reject(spool: Spool, run_id: UUID, outcome: Outcome, message: str, **details: Any) -> None:
    folder = spool.move(run_id, "rejected", message=message, **details)
    outcome.rejected.append((run_id, message, folder))
