"""Runs without epochs: a study of a command that knows none compares the runs as wholes."""

from collections.abc import Sequence

from carbon.schema import EpochReport, RunReport


def with_epochs(runs: Sequence[RunReport]) -> list[RunReport]:
    """Return the runs of a study; where none of them has an epoch, each with one: all of itself.

    Its duration, energy and metrics are the run's. Where some runs do have epochs, those without
    are left as they are: a whole run does not compare with an epoch of another.
    """
    if not are_whole(runs):
        return list(runs)
    return [run.model_copy(update={"epochs": [_whole(run)]}) for run in runs]


def are_whole(runs: Sequence[RunReport]) -> bool:
    """Tell whether there are runs, and none of them has an epoch."""
    return bool(runs) and not any(run.epochs for run in runs)


def _whole(run: RunReport) -> EpochReport:
    last = max((node.attempt for node in run.nodes), default=0)
    return EpochReport(
        index=0,
        attempt=last,
        duration_s=run.duration_s,
        energy_kwh=run.energy_kwh,
        metrics=run.metrics,
    )
