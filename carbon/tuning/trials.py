"""What the runs of a search say of its trials: from reports, by the spool or the ledger."""

from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from carbon.schema import RunReport

STOPPED_TAG = "stopped"
"""A run with this tag was ended by the search that the tag names, and did not fail."""


def kept_report(spool_dir: Path, run_id: UUID) -> RunReport | None:
    """Read the report of a run that has ended, delivered or not; None where there is none."""
    for state in ("runs", "delivered", "rejected"):
        try:
            text = (spool_dir / state / str(run_id) / "report.json").read_text(encoding="utf-8")
            return RunReport.model_validate_json(text)
        except (OSError, ValidationError):
            continue
    return None


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
