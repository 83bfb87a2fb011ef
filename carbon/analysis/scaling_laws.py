"""How epoch time goes on with the number of workers: Amdahl's law and the one of Gunther.

Both are of work that stays the same however many workers share it (strong scaling). Of weak
scaling, fit the time of as many samples as the fewest workers do in an epoch.

    Amdahl  T(n) = T(1) (s + (1 - s) / n)
    USL     T(n) = T(1) (1 + sigma (n - 1) + kappa n (n - 1)) / n

G. M. Amdahl, Validity of the single processor approach to achieving large scale computing
capabilities, AFIPS 1967. N. J. Gunther, Guerrilla Capacity Planning, Springer 2007: the Universal
Scalability Law, X(n) = lambda n / (1 + sigma (n - 1) + kappa n (n - 1)), with lambda = 1 / T(1).

Written as T(n) = a + b / n + c (n - 1), both are linear in parameters that are never negative:
a = T(1) sigma is serial, b = T(1) (1 - sigma) is shared, c = T(1) kappa grows with every worker.
Amdahl's law is c = 0, and its s is sigma. Times are fitted, not speedups, since the fewest workers
of a study may be more than one; residuals are relative, since times of milliseconds and of hours
scatter by so many percent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from carbon.analysis import nonnegative
from carbon.analysis.same_work import epoch_factors
from carbon.errors import UsageError
from carbon.processes import require
from carbon.schema import TradeoffPoint

if TYPE_CHECKING:
    from carbon.analysis.nonnegative import Vector

Law = Literal["amdahl", "usl"]

NAMES: dict[Law, str] = {"amdahl": "Amdahl's law", "usl": "the Universal Scalability Law"}
PARAMETERS: dict[Law, int] = {"amdahl": 2, "usl": 3}

LEVEL = 0.95
"""Of the bands: one in twenty does not hold what it is of, if the law is true of the machine."""

TELLING_RATIO = 1.5
"""A band whose upper end is more than this times its lower end does not tell."""


_LEAST_SPREAD = 1e-6
"""No clock and no float tells relative epoch times apart that are closer than this."""


@dataclass(frozen=True)
class Timing:
    """The mean epoch time of a configuration, over so many runs.

    Attributes:
        epoch_s_stdev: the sample standard deviation over the runs; None where it is not known.
    """

    workers: int
    epoch_s: float
    epoch_s_stdev: float | None = None
    runs: int = 1


@dataclass(frozen=True)
class Band:
    """A value with the least and the greatest that the data allow it."""

    low: float
    value: float
    high: float

    @property
    def ratio(self) -> float:
        """The upper end over the lower one; infinite where that is 0."""
        return self.high / self.low if self.low > 0 else math.inf


@dataclass(frozen=True)
class Predicted:
    """What a law says of a number of workers: the epoch time of a run that would be measured there.

    Attributes:
        low_s: the lower end of the band, never below 0.
        high_s: the upper end.
        is_extrapolated: whether fewer or more workers than any that were measured.
    """

    workers: int
    epoch_s: float
    low_s: float
    high_s: float
    is_extrapolated: bool

    @property
    def is_too_wide_to_tell(self) -> bool:
        """Whether the band is wider than a factor of `TELLING_RATIO`."""
        return Band(self.low_s, self.epoch_s, self.high_s).ratio > TELLING_RATIO


@dataclass(frozen=True)
class ScalingLaw:
    """A law as it fits the timings of a strategy.

    Attributes:
        t1_s: T(1), the epoch time of one worker by the law.
        sigma: the serial fraction (Amdahl's s), or contention, from 0 to 1.
        kappa: coherency, the cost of each pair of workers; 0 by Amdahl's law.
        residual_spread: the standard deviation of the relative residuals, or that of the repeats
            where it is greater: a few points may lie on a curve by chance.
        points: how many different numbers of workers it is fitted to.
        fewest: the fewest workers measured.
        most: the most workers measured.
    """

    law: Law
    t1_s: Band
    sigma: Band
    kappa: Band
    residual_spread: float
    points: int
    fewest: int
    most: int
    level: float
    _fit: nonnegative.Fit = field(repr=False, compare=False)

    @property
    def lambda_per_s(self) -> Band:
        """The throughput of one worker in epochs per second, 1 / T(1)."""
        return Band(*(_inverse(s) for s in (self.t1_s.high, self.t1_s.value, self.t1_s.low)))

    @property
    def fastest_workers(self) -> float | None:
        """The number of workers beyond which more take longer, sqrt((1 - sigma) / kappa).

        None where the law knows no such number.
        """
        if self.kappa.value == 0:
            return None
        return max(1.0, math.sqrt((1 - self.sigma.value) / self.kappa.value))

    def predict(self, workers: int) -> Predicted:
        """Return the epoch time of a number of workers, with the band of a new measurement.

        Raises:
            UsageError: the number is not positive.
        """
        if workers < 1:
            raise UsageError(f"workers is {workers}; ask for 1 or more")
        terms = _terms([workers], self.law)[0]
        epoch_s = float(terms @ self._fit.theta)
        low_s, high_s = self._fit.interval(terms, noise=epoch_s)
        return Predicted(
            workers=workers,
            epoch_s=epoch_s,
            low_s=max(low_s, 0.0),
            high_s=high_s,
            is_extrapolated=not self.fewest <= workers <= self.most,
        )


@dataclass(frozen=True)
class ChosenLaw:
    """The law that goes with the timings, and in a sentence why this one."""

    law: ScalingLaw
    reason: str


def timings_of(points: Sequence[TradeoffPoint]) -> list[Timing]:
    """Return the timings of a study's configurations, for epochs of one size (see `same_work`).

    A law is fitted to those of one strategy.
    """
    return [
        Timing(
            workers=point.workers,
            epoch_s=factor * point.epoch_s,
            epoch_s_stdev=None if point.epoch_s_stdev is None else factor * point.epoch_s_stdev,
            runs=point.runs,
        )
        for point, factor in zip(points, epoch_factors(points), strict=True)
    ]


def fit_law(law: Law, timings: Sequence[Timing], level: float = LEVEL) -> ScalingLaw:
    """Fit a law to the epoch times of one strategy by least squares of relative residuals.

    Bands are those of the profile likelihood under the bounds (see `carbon.analysis.nonnegative`),
    each for itself. With one more point than parameters Student's t is 12.7, so that such bands are
    wide: that little is known.

    Args:
        timings: of one strategy, each number of workers once or more.
        level: of the bands.

    Raises:
        UsageError: there are no more numbers of workers than parameters, or a timing cannot be.
        CarbonError: NumPy or SciPy is not installed.
    """
    require("analysis", "numpy", "scipy")
    _require_possible(timings)
    counts = {timing.workers for timing in timings}
    needed = PARAMETERS[law] + 1
    if len(counts) < needed:
        raise UsageError(
            f"{NAMES[law]} has {needed - 1} parameters and is fitted to {needed} or more different "
            f"numbers of workers, but there are {len(counts)}; measure more of them"
        )
    terms = _terms([timing.workers for timing in timings], law)
    rows = terms / [[timing.epoch_s] for timing in timings]
    least_variance = _variance_of_repeats(timings)
    fitted = nonnegative.fit(rows, level, least_variance)
    variance = max(fitted.rss / (len(timings) - PARAMETERS[law]), least_variance)
    return ScalingLaw(
        law=law,
        **_parameters(fitted),
        residual_spread=math.sqrt(variance),
        points=len(counts),
        fewest=min(counts),
        most=max(counts),
        level=level,
        _fit=fitted,
    )


def choose_law(timings: Sequence[Timing], level: float = LEVEL) -> ChosenLaw:
    """Fit the simpler law, or the other where the timings cannot do without its third parameter.

    They cannot where the band of kappa does not reach down to 0: the test of the nested models by
    their likelihoods, at the bands' level. (AICc is not defined below six points, and leaving one
    out favours the third parameter on too few points: it then misses the point beyond them.)

    Raises:
        UsageError: as `fit_law` does.
    """
    amdahl = fit_law("amdahl", timings, level)
    if amdahl.points <= PARAMETERS["usl"]:
        return ChosenLaw(
            amdahl,
            f"Amdahl's law: {amdahl.points} numbers of workers are too few to tell whether more "
            "workers ever take longer.",
        )
    usl = fit_law("usl", timings, level)
    band = f"kappa is between {usl.kappa.low:.2g} and {usl.kappa.high:.2g} at {level:.0%}"
    if usl.kappa.low > 0:
        return ChosenLaw(
            usl,
            f"The Universal Scalability Law: every added worker costs the others time ({band}), "
            "which Amdahl's law does not know.",
        )
    return ChosenLaw(
        amdahl, f"Amdahl's law: nothing measured needs a cost that grows with the workers ({band})."
    )


def _require_possible(timings: Sequence[Timing]) -> None:
    for timing in timings:
        if timing.workers < 1:
            raise UsageError(f"workers is {timing.workers}; give 1 or more")
        if not 0 < timing.epoch_s < math.inf:
            raise UsageError(
                f"epoch_s of {timing.workers} workers is {timing.epoch_s}; give a positive number "
                "of seconds, or leave the timing out"
            )


def _terms(workers: Sequence[int], law: Law) -> "Vector":
    """Return what a, b and c are multiplied by: (N, 2) of Amdahl's law, (N, 3) of the USL."""
    import numpy as np

    n = np.array(workers, dtype=float)
    return np.stack([np.ones_like(n), 1 / n, n - 1][: PARAMETERS[law]], axis=-1)


def _variance_of_repeats(timings: Sequence[Timing]) -> float:
    """Return the relative variance of a mean epoch time, pooled over the configurations."""
    known = [t for t in timings if t.epoch_s_stdev is not None and t.runs > 1]
    if not known:
        return _LEAST_SPREAD**2
    squares = sum((t.runs - 1) * ((t.epoch_s_stdev or 0.0) / t.epoch_s) ** 2 for t in known)
    pooled = squares / sum(t.runs - 1 for t in known)
    return max(pooled / (sum(t.runs for t in timings) / len(timings)), _LEAST_SPREAD**2)


def _parameters(fitted: nonnegative.Fit) -> dict[str, Band]:
    import numpy as np

    parameters = len(fitted.theta)
    t1 = np.array([1.0, 1.0, 0.0][:parameters])
    serial = np.array([1.0, 0.0, 0.0][:parameters])
    t1_s = float(t1 @ fitted.theta)
    low_s, high_s = fitted.interval(t1)
    found = {
        "t1_s": Band(max(low_s, 0.0), t1_s, high_s),
        "sigma": Band(*fitted.ratio(serial, t1)),
        "kappa": Band(0.0, 0.0, 0.0),
    }
    if parameters == PARAMETERS["usl"]:
        found["kappa"] = Band(*fitted.ratio(np.array([0.0, 0.0, 1.0]), t1))
    return found


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else math.inf
