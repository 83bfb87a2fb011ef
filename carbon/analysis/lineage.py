"""Trainings that went on from a checkpoint, in one run or over several: their runs joined again.

A run that goes on from the checkpoint of another names it in `resumed_from`. Epochs that the later
one repeats were lost: they count in what was spent, and not in what was learned.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from carbon.schema import EpochReport, RunReport


@dataclass(frozen=True)
class TrainedEpoch:
    """An epoch with the run that it was trained in.

    Attributes:
        is_lost: whether a later attempt or run went on from before it, so that it was repeated or
            given up.
    """

    run: RunReport
    epoch: EpochReport
    is_lost: bool


@dataclass(frozen=True)
class Lineage:
    """A training from its first run to its last.

    Attributes:
        runs: in the order in which they went on from each other.
        missing: the run that the first goes on from, where that is not among those given: what it
            spent is then not known here.
    """

    runs: Sequence[RunReport]
    missing: UUID | None = None

    @property
    def epochs(self) -> list[TrainedEpoch]:
        """Every epoch in the order in which it was trained; each index once among those not lost.

        An attempt goes on from its lowest epoch; what earlier ones had from there on is lost. An
        epoch without a duration was skipped and is none.
        """
        trained = [
            (run, epoch)
            for run in self.runs
            for epoch in sorted(run.epochs, key=lambda e: (e.attempt, e.index))
            if epoch.duration_s > 0
        ]
        found: list[TrainedEpoch] = []
        goes_on_from: float = float("inf")  # The lowest epoch of all later attempts.
        lowest = goes_on_from
        later: tuple[UUID, int] | None = None
        for run, epoch in reversed(trained):
            attempt = run.run_id, epoch.attempt
            if attempt != later:
                goes_on_from, later = lowest, attempt
            lowest = min(lowest, epoch.index)
            found.append(TrainedEpoch(run, epoch, is_lost=epoch.index >= goes_on_from))
        return found[::-1]


def lineages(runs: Iterable[RunReport]) -> list[Lineage]:
    """Join runs by `resumed_from`, one lineage for each run that none goes on from.

    Where two runs go on from the same one, it is in the lineage of either: sums over lineages would
    count it twice. Runs that name each other in a circle are joined as far as the circle.
    """
    by_id = {run.run_id: run for run in runs}
    gone_on_from = {run.resumed_from for run in by_id.values()}
    ends = [run for run in by_id.values() if run.run_id not in gone_on_from]
    found = [_lineage(end, by_id) for end in ends]
    joined = {run.run_id for lineage in found for run in lineage.runs}
    # Only runs in a circle are left.
    for run in by_id.values():
        if run.run_id not in joined:
            found.append(_lineage(run, by_id))
            joined |= {one.run_id for one in found[-1].runs}
    return found


def _lineage(end: RunReport, by_id: dict[UUID, RunReport]) -> Lineage:
    runs = [end]
    seen = {end.run_id}
    while (before := runs[-1].resumed_from) in by_id and before not in seen:
        runs.append(by_id[before])
        seen.add(runs[-1].run_id)
    missing = before if before not in by_id else None
    return Lineage(runs=runs[::-1], missing=missing)
