"""What a study's runs came to: their reports, from the ledger or this machine's spool."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from carbon import wording
from carbon.analysis.run_means import mean_of_known
from carbon.analysis.tradeoff import scaling
from carbon.delivery import delivery
from carbon.errors import ApiRejectedError, ApiUnreachableError, SpoolError
from carbon.rest.client import Client
from carbon.schema import RunReport, TradeoffPoint
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.study.folder import History
from carbon.study.plan import Configuration
from carbon.study.spec import StudySpec

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN = "unknown"
_ASKED_TIMEOUT_S = 5.0


def in_spool(spool: Spool, run_id: UUID) -> RunReport | None:
    """Return what this machine's spool knows of a run, also of one that was delivered."""
    try:
        with spool.locked(run_id):
            report = delivery.settle(spool, run_id)
    except SpoolError:
        return None
    return report or spool.report(run_id, "delivered") or spool.report(run_id, "rejected")


def reports_of(run_ids: Iterable[UUID], settings: Settings) -> dict[UUID, RunReport]:
    """Return the reports of runs: the ledger's where it has them whole, else the spool's."""
    found: dict[UUID, RunReport] = {}
    spool = Spool(settings.spool_dir)
    with Client(settings, timeout_s=_ASKED_TIMEOUT_S) as client:
        is_there = client.is_healthy()
        for run_id in run_ids:
            report = None
            if is_there:
                try:
                    report = client.run(run_id, with_series=False)
                except ApiRejectedError:
                    report = None  # It is on its way, or this key does not read.
                except ApiUnreachableError:
                    is_there = False
            if report is None or report.status == "running":
                report = in_spool(spool, run_id) or report
            if report is not None:
                found[run_id] = report
    return found


def table(
    spec: StudySpec,
    configurations: Collection[Configuration],
    history: History,
    reports: dict[UUID, RunReport],
) -> "Table":
    """Return a line for each configuration: its repeats, and what a run took and drew on average.

    A spread is one standard deviation over the repeats.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(f"study {spec.name}, project {spec.project}"), box=box.SIMPLE_HEAD)
    shown.add_column("strategy", no_wrap=True)
    points = {
        Configuration(point.strategy, point.workers): point
        for point in scaling(spec.project, spec.name, list(reports.values())).points
    }
    has_epochs = all(point.unit == "epoch" for point in points.values())
    of_epochs = ["epoch\ns"] if has_epochs else []
    for heading in ("workers", "done", "failed", "run\ns", *of_epochs, "energy"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for each in configurations:
        runs = [run for run in history.planned if run.configuration == each]
        statuses = [history.status(run) for run in runs]
        known = [
            report
            for run in runs
            if history.status(run) == "completed"
            and (report := reports.get(history.last(run).run_id))
        ]
        shown.add_row(
            each.strategy,
            str(each.workers),
            f"{statuses.count('completed')}/{len(runs)}",
            str(statuses.count("failed")),
            _spread(history.completed_s(each)),
            *([_epoch(points.get(each))] if has_epochs else []),
            wording.energy(mean_of_known(report.energy_kwh for report in known)),
        )
    return shown


def _epoch(point: TradeoffPoint | None) -> str:
    if point is None:
        return UNKNOWN
    spread = "" if point.epoch_s_stdev is None else f" ± {point.epoch_s_stdev:.2g}"
    return f"{point.epoch_s:.3g}{spread}"


def _spread(values: list[float]) -> str:
    import statistics

    if not values:
        return UNKNOWN
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3g}{spread}"
