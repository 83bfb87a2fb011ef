"""What a reader must know before believing a comparison: what differs, what is missing."""

from collections import Counter
from collections.abc import Sequence

from carbon import wording
from carbon.report.study import Study
from carbon.report.trials import is_trial


def notices(study: Study) -> list[str]:
    """Return sentences about what is not compared, and what cannot be told."""
    comparison = study.comparison
    found: list[str] = []
    if comparison.differences:
        found.append(
            f"Compared although they differ in {_listed(comparison.differences)}: what is seen may "
            "come from that."
        )
    if comparison.left_out:
        found.append(
            f"{wording.count(len(comparison.left_out), 'run')} left out of the comparison: the "
            f"runs differ in {_listed(comparison.left_out_for)}. To compare them all the same, ask "
            "for it with --across."
        )
    others = [run for run in study.runs if not is_trial(run) and run.status != "completed"]
    if others:
        by_status = Counter(run.status for run in others)
        counts = ", ".join(f"{count} {status}" for status, count in sorted(by_status.items()))
        found.append(f"Not compared, since they are not complete: {counts}.")
    unnamed = [r for r in study.runs if r.status == "completed" and r.strategy is None]
    if unnamed:
        runs = wording.count(len(unnamed), "run")
        found.append(f"Not compared, for want of a strategy: {runs}.")
    if not study.points:
        if study.trials is None:
            found.append(
                "There is nothing to compare: a comparison takes completed runs with a strategy."
            )
        return found
    return found + _missing(study)


def _missing(study: Study) -> list[str]:
    points = study.points
    found = []
    if study.unit == "run":
        found.append("These runs have no epochs: whole runs are compared, from start to end.")
    if len(points) == 1:
        found.append(
            "There is one configuration alone: run the study with other strategies or workers to "
            "compare."
        )
    without = [
        wording.configuration(point.strategy, point.workers)
        for point in points
        if point.energy_per_epoch_kwh is None
    ]
    if len(without) == len(points):
        found.append(
            f"No energy was measured by {study.unit} in this study: there is no energy, no front "
            "and no carbon to show. `carbon doctor` tells what can be measured."
        )
    elif without:
        found.append(f"Without an energy, and so on no front: {_listed(without)}.")
    if not study.racers and study.unit == "epoch":
        found.append("No race: its epochs are not of one size, as in weak scaling.")
    once = sum(point.runs == 1 for point in points)
    if once:
        which = "All configurations" if once == len(points) else f"{once} of the configurations"
        found.append(f"{which} ran once: there is no spread to see. Repeat them.")
    return found


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
