"""The race of configurations: how far each one is in the same training, moment by moment."""

import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from carbon.analysis.lineage import lineages
from carbon.analysis.scaling_laws import Predicted
from carbon.errors import UsageError
from carbon.schema import RunReport

PhaseName = Literal["warm-up", "steady", "extrapolated"]


@dataclass(frozen=True)
class Phase:
    """A stretch of a racer's time: its first epoch, the others, or what was not measured of it."""

    name: PhaseName
    from_s: float
    until_s: float


@dataclass(frozen=True)
class Racer:
    """One configuration on its way through the training.

    Attributes:
        epoch_ends_s: when each epoch ends, the start being 0.
        measured_epochs: how many of them were measured; 0 of a configuration that never ran.
        runs: how many runs the times are means over.
    """

    strategy: str
    workers: int
    epoch_ends_s: Sequence[float]
    measured_epochs: int
    runs: int

    @property
    def finish_s(self) -> float:
        """When the training is done."""
        return self.epoch_ends_s[-1]

    @property
    def is_extrapolated(self) -> bool:
        """Whether any of its epochs was not measured."""
        return self.measured_epochs < len(self.epoch_ends_s)

    @property
    def points(self) -> list[tuple[float, float]]:
        """The moment in s and the fraction done, at the start and at the end of each epoch."""
        epochs = len(self.epoch_ends_s)
        return [
            (0.0, 0.0),
            *((end_s, (i + 1) / epochs) for i, end_s in enumerate(self.epoch_ends_s)),
        ]

    @property
    def phases(self) -> list[Phase]:
        """What the time is made of, without gaps; phases of no epochs are left out."""
        ends_s = [0.0, *self.epoch_ends_s]
        # An only epoch is all there is, and not left out of any mean.
        warm = min(self.measured_epochs, 1) if len(self.epoch_ends_s) > 1 else 0
        marks: list[tuple[PhaseName, int, int]] = [
            ("warm-up", 0, warm),
            ("steady", warm, self.measured_epochs),
            ("extrapolated", self.measured_epochs, len(self.epoch_ends_s)),
        ]
        return [Phase(n, ends_s[first], ends_s[last]) for n, first, last in marks if last > first]

    def done_at(self, moment_s: float) -> float:
        """Return the fraction done at a moment, as if every epoch went on evenly."""
        if moment_s <= 0:
            return 0.0
        if moment_s >= self.finish_s:
            return 1.0
        points = self.points
        after = bisect_left(points, moment_s, key=lambda point: point[0])
        (from_s, less), (until_s, more) = points[after - 1], points[after]
        return less + (more - less) * (moment_s - from_s) / (until_s - from_s)


def race(
    runs: Sequence[RunReport], epochs: int, predicted: Sequence[tuple[str, Predicted]] = ()
) -> list[Racer]:
    """Return the configurations of runs, and those predicted, by when they finish.

    Repeats of a configuration are averaged epoch by epoch. Runs that went on from each other race
    as one, without their lost epochs, unless its start is not there or its configuration changed on
    the way. Where fewer epochs were measured than the race has, the rest take the mean of those
    after the first, and are extrapolated.

    Args:
        runs: of one study, that can be compared (see `carbon.analysis.comparability`), with epochs
            of one size.
        epochs: of the training that they race through.
        predicted: strategies with what a law of scaling says of them; a configuration that was
            measured as well is not raced twice.

    Raises:
        UsageError: the epochs are not positive.
    """
    if epochs < 1:
        raise UsageError(f"epochs is {epochs}; give the epochs of the training, 1 or more")
    repeats: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    for lineage in lineages(runs):
        times_s = [trained.epoch.duration_s for trained in lineage.epochs if not trained.is_lost]
        configurations = {(run.strategy, run.world_size) for run in lineage.runs}
        if times_s and lineage.missing is None and len(configurations) == 1:
            strategy, workers = configurations.pop()
            if strategy is not None:
                repeats[strategy, workers].append(times_s[:epochs])
    racers = [_racer(*key, times_s, epochs) for key, times_s in repeats.items()]
    racers += [
        Racer(strategy, p.workers, [p.epoch_s * (i + 1) for i in range(epochs)], 0, 0)
        for strategy, p in predicted
        if (strategy, p.workers) not in repeats
    ]
    return sorted(racers, key=lambda racer: (racer.finish_s, racer.strategy, racer.workers))


def _racer(strategy: str, workers: int, repeats: Sequence[list[float]], epochs: int) -> Racer:
    measured = max(map(len, repeats))
    times_s = [
        statistics.fmean(each[index] for each in repeats if len(each) > index)
        for index in range(measured)
    ]
    steady_s = statistics.fmean(times_s[1:] or times_s)
    times_s += [steady_s] * (epochs - measured)
    return Racer(strategy, workers, list(accumulate(times_s)), measured, len(repeats))
