"""Laws of scaling for each strategy of a study, and what they say of more workers than measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from carbon.analysis.scaling_laws import ChosenLaw, Predicted, Timing, choose_law
from carbon.errors import UsageError
from carbon.schema import TradeoffPoint

BEYOND = (2, 4)
"""How many times the most workers measured are extrapolated to."""


@dataclass(frozen=True)
class Extrapolation:
    """What a law says of a strategy on more workers.

    Attributes:
        work: how many times the work of the baseline's epoch an epoch there does: more than 1 in
            weak scaling alone.
        speedup: over the study's baseline, of the same work.
    """

    strategy: str
    predicted: Predicted
    work: float
    speedup: float

    @property
    def epoch_s(self) -> float:
        """The time of an epoch, whatever its work."""
        return self.predicted.epoch_s * self.work

    @property
    def epoch_low_s(self) -> float:
        """The lower end of its band."""
        return self.predicted.low_s * self.work

    @property
    def epoch_high_s(self) -> float:
        """The upper end of its band."""
        return self.predicted.high_s * self.work


@dataclass(frozen=True)
class StrategyFit:
    """The law of one strategy; where there is none, why."""

    strategy: str
    chosen: ChosenLaw | None
    reason: str
    extrapolations: Sequence[Extrapolation] = ()

    @property
    def told(self) -> Sequence[Extrapolation]:
        """The extrapolations whose bands are narrow enough to tell anything."""
        return [e for e in self.extrapolations if not e.predicted.is_too_wide_to_tell]


def fits(points: Sequence[TradeoffPoint]) -> list[StrategyFit]:
    """Fit a law to each strategy of a study.

    Epochs that differ in size, as in weak scaling, are compared by the time of as much work as the
    baseline's epoch does.
    """
    return [
        _fit([point for point in points if point.strategy == strategy], points)
        for strategy in dict.fromkeys(point.strategy for point in points)
    ]


def work_of(point: TradeoffPoint, points: Sequence[TradeoffPoint]) -> float:
    """Return how many times the work of the baseline's epoch an epoch of a point does."""
    samples = [p.samples_per_epoch for p in points]
    baseline = next(
        p
        for p in points
        if (p.strategy, p.workers) == (point.baseline_strategy, point.baseline_workers)
    )
    if None in samples or not point.samples_per_epoch or not baseline.samples_per_epoch:
        return 1.0
    return point.samples_per_epoch / baseline.samples_per_epoch


def _fit(own: Sequence[TradeoffPoint], points: Sequence[TradeoffPoint]) -> StrategyFit:
    strategy = own[0].strategy
    work = {point.workers: work_of(point, points) for point in own}
    timings = [
        Timing(
            workers=point.workers,
            epoch_s=point.epoch_s / work[point.workers],
            epoch_s_stdev=None
            if point.epoch_s_stdev is None
            else point.epoch_s_stdev / work[point.workers],
            runs=point.runs,
        )
        for point in own
    ]
    try:
        chosen = choose_law(timings)
    except UsageError as error:
        return StrategyFit(strategy, None, str(error))
    most = max(own, key=lambda point: point.workers)
    is_weak = len({round(value, 9) for value in work.values()}) > 1
    baseline_s = most.speedup * most.epoch_s / work[most.workers]
    extrapolations = []
    for times in BEYOND:
        predicted = chosen.law.predict(most.workers * times)
        extrapolations.append(
            Extrapolation(
                strategy=strategy,
                predicted=predicted,
                work=work[most.workers] * (times if is_weak else 1),
                speedup=baseline_s / predicted.epoch_s,
            )
        )
    return StrategyFit(strategy, chosen, chosen.reason, extrapolations)
