"""What a report is of: the runs of a study, and all that the analysis makes of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from carbon.analysis.choice import Limits
from carbon.analysis.comparability import Comparison, compare
from carbon.analysis.race import Racer, race
from carbon.analysis.reaching import Mode
from carbon.analysis.same_work import epoch_factors
from carbon.analysis.tradeoff import scaling
from carbon.analysis.whole_runs import with_epochs
from carbon.errors import UsageError
from carbon.report.fits import StrategyFit, fits
from carbon.report.trials import TrialsReport, is_trial, trials_report
from carbon.schema import RunReport, StudyUnit, TradeoffPoint

_LESS_IS_BETTER = (
    *("loss", "error", "perplexity", "mse", "mae", "nll"),
    *("residual", "bits_per", "distance", "divergence"),
)


@dataclass(frozen=True)
class Asked:
    """What the reader asks of a report.

    Attributes:
        across: compare runs whatever they differ in.
        epochs: of the training that is chosen for and raced through; by default as many as most of
            the compared runs have.
        limits: what that training may take.
        metric: what is drawn against time and energy; by default the one that `metric_of` finds.
        mode: whether more of it is better, or less.
        target: a value of it to be reached.
    """

    across: bool = False
    epochs: int | None = None
    limits: Limits = field(default_factory=Limits)
    metric: str | None = None
    mode: Mode | None = None
    target: float | None = None


@dataclass(frozen=True)
class Study:
    """A study with its analysis.

    Attributes:
        runs: all of them.
        comparison: those that are compared, and why others are not; trials of a search are neither.
        points: the configurations of those that are compared.
        racers: none where epochs are not of one size, as in weak scaling, or there are none.
        epochs: of the training that is chosen for and raced through.
        metric: None where none was logged.
        trials: None where the study has no search.
    """

    project: str
    name: str
    runs: Sequence[RunReport]
    comparison: Comparison
    points: Sequence[TradeoffPoint]
    fits: Sequence[StrategyFit]
    racers: Sequence[Racer]
    epochs: int
    limits: Limits
    metric: str | None
    mode: Mode
    target: float | None
    trials: TrialsReport | None

    @property
    def unit(self) -> StudyUnit:
        """What is called an epoch, "epoch" or "run"; see `TradeoffPoint`."""
        return self.points[0].unit if self.points else "epoch"


def analyse(project: str, name: str, runs: Sequence[RunReport], asked: Asked) -> Study:
    """Make all that a report shows of a study's runs.

    Raises:
        UsageError: what is asked for cannot be.
    """
    completed = [
        run
        for run in runs
        if run.status == "completed" and run.strategy is not None and not is_trial(run)
    ]
    comparison = compare(with_epochs(completed), across=asked.across)
    compared = {run.run_id for run in comparison.runs}
    points = scaling(project, name, [run for run in completed if run.run_id in compared]).points
    found = fits(points)
    epochs = asked.epochs or _commonest_epochs(comparison.runs)
    metric = _metric(asked.metric, comparison.runs)
    beyond = [(fit.strategy, e.predicted) for fit in found for e in fit.told]
    can_race = len(set(epoch_factors(points))) == 1 and points[0].unit == "epoch"
    return Study(
        project=project,
        name=name,
        runs=runs,
        comparison=comparison,
        points=points,
        fits=found,
        racers=race(comparison.runs, epochs, beyond) if can_race else [],
        epochs=epochs,
        limits=asked.limits,
        metric=metric,
        mode=asked.mode or mode_of(metric or ""),
        target=asked.target,
        trials=trials_report(runs, asked.mode),
    )


def metric_of(runs: Sequence[RunReport]) -> str | None:
    """Return the metric to draw: an accuracy, else a loss, the validation's first; else any."""

    def rank(name: str) -> tuple[bool, bool, bool, str]:
        lower = name.lower()
        is_held_out = any(part in lower for part in ("val", "test"))
        return "acc" not in lower, "loss" not in lower, not is_held_out, name

    return min(_metrics(runs), key=rank, default=None)


def _metric(asked: str | None, runs: Sequence[RunReport]) -> str | None:
    names = sorted(_metrics(runs))
    if asked is not None and runs and asked not in names:
        raise UsageError(
            f"--metric {asked}: no run that is compared has logged it; there are: "
            f"{', '.join(names) or 'none'}"
        )
    return asked or metric_of(runs)


def _metrics(runs: Sequence[RunReport]) -> set[str]:
    names = {name for run in runs for name in run.metrics}
    return names | {name for run in runs for epoch in run.epochs for name in epoch.metrics}


def mode_of(metric: str) -> Mode:
    """Tell by its name whether less of a metric is better ("min") or more ("max")."""
    return "min" if any(part in metric.lower() for part in _LESS_IS_BETTER) else "max"


def _commonest_epochs(runs: Sequence[RunReport]) -> int:
    counts = Counter(len({epoch.index for epoch in run.epochs}) for run in runs if run.epochs)
    return max(counts, key=lambda n: (counts[n], n), default=1)
