"""What the runs of a search say of its trials: from reports, by the spool or the ledger."""

from collections.abc import Iterable
from uuid import UUID

from carbon.analysis.reaching import course
from carbon.schema import RunReport
from carbon.spool.spool import Spool
from carbon.tuning.journal import Trial, TrialStatus
from carbon.tuning.space import Value

STOPPED_TAG = "stopped"
"""A run with this tag was ended by the search that the tag names, and did not fail."""


def kept_report(spool: Spool, run_id: UUID) -> RunReport | None:
    """Read the report of a run that has ended, delivered or not; None where there is none."""
    return (
        spool.report(run_id)
        or spool.report(run_id, "delivered")
        or spool.report(run_id, "rejected")
    )


def curve(report: RunReport, metric: str) -> dict[int, float | None]:
    """Return the metric by epoch, the first epoch being 1; None where it was not finite.

    Of an epoch that was gone through again after a restart, the last time counts. A run without
    epochs that has ended has one value.
    """
    found = {
        epoch.index + 1: epoch.metrics[metric]
        for epoch in sorted(report.epochs, key=lambda epoch: epoch.attempt)
        if metric in epoch.metrics
    }
    if not report.epochs and report.status != "running" and metric in report.metrics:
        found[1] = report.metrics[metric]
    return dict(sorted(found.items()))


def trials_of(reports: Iterable[RunReport]) -> list[Trial]:
    """Return the trials that runs of a study tell of, in the order in which they began.

    Runs that belong to no search are left out. The run alone tells how its trial ended: one that a
    search has stopped says so in a tag.
    """
    found = [
        _trial(report)
        for report in reports
        if "trial" in report.tags and "search_metric" in report.config
    ]
    return sorted(found, key=lambda trial: trial.started_at)


def _trial(report: RunReport) -> Trial:
    metric = str(report.config["search_metric"])
    values = curve(report, metric)
    ended_s = {milestone.index + 1: milestone.time_s for milestone in course(report, metric)}
    if report.status == "completed" and ended_s:
        # What a run takes outside of its epochs, it takes before them: imports, data, a model. So
        # the last one ends with the run. One that was stopped has a part of an epoch after it.
        before_s = max(report.duration_s - max(ended_s.values()), 0.0)
        ended_s = {epoch: before_s + end_s for epoch, end_s in ended_s.items()}
    return Trial(
        name=report.tags["trial"],
        parameters=_parameters(report),
        run_id=report.run_id,
        started_at=report.started_at,
        values=values,
        reported_s={epoch: ended_s.get(epoch, report.duration_s) for epoch in values},
        status=_status(report),
        ended_at=report.ended_at,
        reason=report.tags.get(STOPPED_TAG),
        energy_kwh=report.energy_kwh,
        emissions_kg=report.emissions_kg,
    )


def _status(report: RunReport) -> TrialStatus:
    return "stopped" if STOPPED_TAG in report.tags else report.status


def _parameters(report: RunReport) -> dict[str, Value]:
    names = str(report.config.get("search_parameters", "")).split(",")
    values = {name: report.config.get(name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
