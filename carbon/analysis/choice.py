"""Which configuration is best for a training, under a deadline and budgets of energy and carbon.

A training of so many epochs takes that many times the epoch time of a configuration; its warm-up is
left out, as everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from carbon import units, wording
from carbon.analysis.pareto import pareto_front
from carbon.analysis.same_work import epoch_factors
from carbon.analysis.scaling_laws import Predicted
from carbon.errors import UsageError
from carbon.schema import StudyUnit, TradeoffPoint


@dataclass(frozen=True)
class Option:
    """A strategy on a number of workers, and what an epoch takes there.

    Attributes:
        unit: what is called an epoch, "epoch" or "run"; see `TradeoffPoint`.
        epoch_s_stdev: the standard deviation over repeated runs; None where it is not known. So
            are the others.
        is_extrapolated: by a law of scaling, not measured.
    """

    strategy: str
    workers: int
    epoch_s: float
    energy_per_epoch_kwh: float | None = None
    emissions_per_epoch_kg: float | None = None
    epoch_s_stdev: float | None = None
    energy_per_epoch_kwh_stdev: float | None = None
    emissions_per_epoch_kg_stdev: float | None = None
    is_extrapolated: bool = False
    unit: StudyUnit = "epoch"

    @classmethod
    def of_prediction(cls, strategy: str, predicted: Predicted) -> "Option":
        """Make an option of what a law of scaling says; the upper end of its band is its spread.

        Its energy is not known: a law of times says nothing of it.
        """
        return cls(
            strategy=strategy,
            workers=predicted.workers,
            epoch_s=predicted.epoch_s,
            epoch_s_stdev=predicted.high_s - predicted.epoch_s,
            is_extrapolated=True,
        )

    @property
    def name(self) -> str:
        """Its name in a sentence: "ddp on 4 workers"."""
        kind = " (extrapolated)" if self.is_extrapolated else ""
        return f"{self.strategy} on {self.workers} worker{'s' * (self.workers != 1)}{kind}"

    @property
    def energy_delay_j_s(self) -> float | None:
        """The energy-delay product of an epoch, in joule-seconds; None without an energy."""
        if self.energy_per_epoch_kwh is None:
            return None
        return energy_delay_j_s(self.energy_per_epoch_kwh, self.epoch_s)


@dataclass(frozen=True)
class Marginal:
    """What the next faster configuration on the front gains and costs, for a whole training."""

    slower: Option
    faster: Option
    saved_h: float
    extra_kwh: float

    @property
    def kwh_per_h(self) -> float:
        """Marginal energy of each hour saved."""
        return self.extra_kwh / self.saved_h


@dataclass(frozen=True)
class Limits:
    """What a training may take: any of these, or none."""

    deadline_s: float | None = None
    energy_kwh: float | None = None
    emissions_kg: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that nothing can be within.

        Raises:
            UsageError: one is not a positive number.
        """
        for name, value in vars(self).items():
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} is {value}; give a positive number, or leave it out")


@dataclass(frozen=True)
class Choice:
    """The best configuration, or the one that comes closest.

    Attributes:
        option: None where no configuration is known well enough.
        fits: whether its means are within the limits.
        fits_surely: whether they are one standard deviation away from them too; an unknown
            deviation counts as none.
        reason: in a sentence or two.
    """

    option: Option | None
    fits: bool
    fits_surely: bool
    reason: str


@dataclass(frozen=True)
class _Need:
    """One limit beside what an option takes of it."""

    limit: float
    mean: float
    stdev: float | None
    kind: str

    @property
    def excess(self) -> float:
        """How much of the limit it takes too much; negative within it."""
        return self.mean / self.limit - 1

    @property
    def sure_excess(self) -> float:
        return (self.mean + (self.stdev or 0.0)) / self.limit - 1

    @property
    def missed(self) -> str:
        over = _amount(self.mean - self.limit, self.kind)
        within = " (within its spread)" if self.mean - (self.stdev or 0.0) <= self.limit else ""
        return f"{over} ({self.excess:.1%}) over the {_KINDS[self.kind]}{within}"


_KINDS = {"time": "deadline", "energy": "energy budget", "carbon": "carbon budget"}


def options_of(points: Sequence[TradeoffPoint]) -> list[Option]:
    """Return a study's configurations as options, for epochs of one size (see `same_work`)."""

    def times(factor: float, value: float | None) -> float | None:
        return None if value is None else factor * value

    return [
        Option(
            strategy=point.strategy,
            workers=point.workers,
            epoch_s=factor * point.epoch_s,
            energy_per_epoch_kwh=times(factor, point.energy_per_epoch_kwh),
            emissions_per_epoch_kg=times(factor, point.emissions_per_epoch_kg),
            epoch_s_stdev=times(factor, point.epoch_s_stdev),
            energy_per_epoch_kwh_stdev=times(factor, point.energy_per_epoch_kwh_stdev),
            emissions_per_epoch_kg_stdev=times(factor, point.emissions_per_epoch_kg_stdev),
            unit=point.unit,
        )
        for point, factor in zip(points, epoch_factors(points), strict=True)
    ]


def energy_delay_j_s(energy_kwh: float, duration_s: float) -> float:
    """Return the energy-delay product E x t in joule-seconds; less is better.

    M. Horowitz, T. Indermaur and R. Gonzalez, Low-power digital design, IEEE Symposium on Low Power
    Electronics 1994; R. Gonzalez and M. Horowitz, Energy dissipation in general purpose
    microprocessors, IEEE Journal of Solid-State Circuits 31(9), 1996. That of N like epochs is N^2
    times that of one.
    """
    return units.joules_from_kwh(energy_kwh) * duration_s


def marginals(
    options: Sequence[Option], epochs: int, *, with_extrapolated: bool = False
) -> list[Marginal]:
    """Return what each step along the front of epoch time and energy costs, from the slowest on.

    Args:
        epochs: of the training.
        with_extrapolated: whether predicted configurations are among them.
    """
    known = [o for o in _asked(options, with_extrapolated) if o.energy_per_epoch_kwh is not None]
    costs = [(o.epoch_s, o.energy_per_epoch_kwh or 0.0) for o in known]
    # Of options that are equal in both, one stands for all: nothing is between them.
    front = {
        cost: option
        for cost, option, is_on in zip(costs, known, pareto_front(costs), strict=True)
        if is_on
    }
    ordered = sorted(front.items(), key=lambda item: item[0], reverse=True)
    return [
        Marginal(
            slower=slower,
            faster=faster,
            saved_h=epochs * (slow_s - fast_s) / units.SECONDS_PER_HOUR,
            extra_kwh=epochs * (more_kwh - less_kwh),
        )
        for ((slow_s, less_kwh), slower), ((fast_s, more_kwh), faster) in pairwise(ordered)
    ]


def best(
    options: Sequence[Option], epochs: int, limits: Limits, *, with_extrapolated: bool = False
) -> Choice:
    """Choose a configuration for a training, and say why.

    Of those that are within every limit: with a deadline, the one of the least energy; with budgets
    alone, the fastest; without limits, the one of the least energy-delay product. Those that are
    within the limits by a standard deviation of their repeats go before those that are by their
    means alone. Where none is, the one whose greatest excess, relative to its limit, is the least.

    A configuration without an energy is not chosen under a budget of energy, nor one without
    emissions under one of carbon.

    Args:
        options: of one study; see `carbon.analysis.comparability` on which can be compared.
        epochs: of the training.
        with_extrapolated: whether predicted configurations may be chosen, too.

    Raises:
        UsageError: the epochs are not positive.
    """
    if epochs < 1:
        raise UsageError(f"epochs is {epochs}; give the epochs of the training, 1 or more")
    asked = _asked(options, with_extrapolated)
    needs = {option: _needs(option, epochs, limits) for option in asked}
    judged = {option: found for option, found in needs.items() if found is not None}
    if not judged:
        return Choice(None, False, False, _nothing_known(options, asked))
    unjudged = [option.name for option in asked if option not in judged]
    left_out = f" Not judged, for want of figures: {', '.join(unjudged)}." if unjudged else ""
    within = [o for o, found in judged.items() if all(need.excess <= 0 for need in found)]
    if not within:
        closest = min(judged, key=lambda o: max(need.excess for need in judged[o]))
        missed = " and ".join(n.missed for n in judged[closest] if n.excess > 0)
        reason = f"No configuration fits: {closest.name} comes closest, {missed}."
        return Choice(closest, False, False, reason + left_out)
    sure = [o for o in within if all(need.sure_excess <= 0 for need in judged[o])]
    among = sure or within
    option, why = _preferred(among, limits)
    reason = f"{option.name}: {why}, {_totals(option, epochs)}."
    if not sure:
        reason += " It fits by its mean alone: within the spread of its repeats it may not."
    return Choice(option, True, bool(sure), reason + left_out)


def _asked(options: Sequence[Option], with_extrapolated: bool) -> list[Option]:
    return [option for option in options if with_extrapolated or not option.is_extrapolated]


def _needs(option: Option, epochs: int, limits: Limits) -> list[_Need] | None:
    """Return what the option takes of each limit; None where one of these is not known."""
    taken = [
        (limits.deadline_s, option.epoch_s, option.epoch_s_stdev, "time"),
        (
            limits.energy_kwh,
            option.energy_per_epoch_kwh,
            option.energy_per_epoch_kwh_stdev,
            "energy",
        ),
        (
            limits.emissions_kg,
            option.emissions_per_epoch_kg,
            option.emissions_per_epoch_kg_stdev,
            "carbon",
        ),
    ]
    needs = []
    for limit, mean, stdev, kind in taken:
        if limit is None:
            continue
        if mean is None:
            return None
        needs.append(_Need(limit, epochs * mean, None if stdev is None else epochs * stdev, kind))
    return needs


def _preferred(among: Sequence[Option], limits: Limits) -> tuple[Option, str]:
    measured = [option for option in among if option.energy_per_epoch_kwh is not None]
    has_limit = any(value is not None for value in vars(limits).values())
    if limits.deadline_s is not None and measured:
        thriftiest = min(measured, key=lambda o: (o.energy_per_epoch_kwh or 0.0, o.epoch_s))
        return thriftiest, _first("least energy", measured)
    if has_limit or not measured:
        fastest = min(among, key=lambda o: (o.epoch_s, o.energy_per_epoch_kwh or 0.0))
        unknown = "" if measured else ", no energy being known"
        return fastest, _first("fastest", among) + unknown
    balanced = min(measured, key=lambda o: (o.energy_delay_j_s or 0.0, o.epoch_s))
    return balanced, "the least energy times time, no limit being set"


def _first(what: str, among: Sequence[Option]) -> str:
    return f"the {what} of the {len(among)} that fit" if len(among) > 1 else "the one that fits"


def _totals(option: Option, epochs: int) -> str:
    totals = [
        _amount(epochs * mean, kind)
        for mean, kind in (
            (option.epoch_s, "time"),
            (option.energy_per_epoch_kwh, "energy"),
            (option.emissions_per_epoch_kg, "carbon"),
        )
        if mean is not None
    ]
    return f"{', '.join(totals)} for {epochs} {option.unit}{'s' * (epochs != 1)}"


def _amount(value: float, kind: str) -> str:
    if kind == "time":
        return wording.duration(value)
    return wording.energy(value) if kind == "energy" else f"{wording.mass(value)} CO2e"


def _nothing_known(options: Sequence[Option], asked: Sequence[Option]) -> str:
    if asked:
        return "No configuration has the figures that these limits are about: measure its energy."
    if options:
        return "Every configuration is extrapolated: ask for those too, or measure one."
    return "There is no configuration to choose from: run a study first."
