"""Laws of scaling for each strategy of a study, and what they say of more workers than measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from carbon.analysis.same_work import epoch_factors
from carbon.analysis.scaling_laws import ChosenLaw, Predicted, Timing, choose_law, timings_of
from carbon.errors import UsageError
from carbon.schema import TradeoffPoint

BEYOND = (2, 4)
"""How many times the most workers measured are extrapolated to."""


@dataclass(frozen=True)
class Extrapolation:
    """What a law says of a strategy on more workers.

    Attributes:
        predicted: for an epoch of the study's smallest size.
        factor: an epoch of that size over one of the size that it has on so many workers, below 1
            in weak scaling alone.
        speedup: over the study's baseline, of the same work.
    """

    strategy: str
    predicted: Predicted
    factor: float
    speedup: float

    @property
    def epoch_s(self) -> float:
        """The time of an epoch, whatever its size."""
        return self.predicted.epoch_s / self.factor

    @property
    def epoch_low_s(self) -> float:
        """The lower end of its band."""
        return self.predicted.low_s / self.factor

    @property
    def epoch_high_s(self) -> float:
        """The upper end of its band."""
        return self.predicted.high_s / self.factor


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
    """Fit a law to each strategy of a study."""
    measured = list(zip(points, timings_of(points), epoch_factors(points), strict=True))
    strategies = dict.fromkeys(point.strategy for point in points)
    return [
        _fit(strategy, [found for found in measured if found[0].strategy == strategy])
        for strategy in strategies
    ]


def _fit(strategy: str, measured: Sequence[tuple[TradeoffPoint, Timing, float]]) -> StrategyFit:
    try:
        chosen = choose_law([timing for _, timing, _ in measured])
    except UsageError as error:
        return StrategyFit(strategy, None, str(error))
    point, timing, factor = max(measured, key=lambda found: found[0].workers)
    grows = len({round(factor, 9) for _, _, factor in measured}) > 1
    found = []
    for times in BEYOND:
        predicted = chosen.law.predict(point.workers * times)
        found.append(
            Extrapolation(
                strategy=strategy,
                predicted=predicted,
                factor=factor / times if grows else factor,
                speedup=point.speedup * timing.epoch_s / predicted.epoch_s,
            )
        )
    return StrategyFit(strategy, chosen, chosen.reason, found)
