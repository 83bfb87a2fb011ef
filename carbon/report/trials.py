"""The search of a study, where it has one: its trials, its best, and what was spent on the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

from carbon.analysis.reaching import Mode
from carbon.analysis.tuning import Search, Trial, change_percent, search, times_final
from carbon.schema import RunReport

TRIAL_TAG = "trial"
STOPPED_TAG = "stopped"
METRIC_KEY = "search_metric"
MODE_KEY = "search_mode"
PARAMETERS_KEY = "search_parameters"
BASELINE, FINAL = "baseline", "final"
"""Names of trials that belong to a search and were not drawn by it."""


@dataclass(frozen=True)
class NamedTrial:
    """A trial with its name in the search: a number, "baseline" or "final"."""

    name: str
    trial: Trial
    reason: str | None


@dataclass(frozen=True)
class TrialsReport:
    """A search and what it came to.

    Attributes:
        trials: those that the search drew, in the order in which they began.
        baseline: the run with the parameters that there were before; None without one.
        final: the training with the best parameters, once it was run.
        gain_percent: by how many percent the best value is above the baseline's; below is negative.
        times_final: how many times the final training's energy the search took.
    """

    metric: str
    mode: Mode
    parameters: Sequence[str]
    trials: Sequence[NamedTrial]
    baseline: NamedTrial | None
    final: NamedTrial | None
    search: Search
    gain_percent: float | None
    times_final: float | None


def is_trial(run: RunReport) -> bool:
    """Whether a run belongs to a search."""
    return TRIAL_TAG in run.tags and METRIC_KEY in run.config


def trials_report(runs: Sequence[RunReport], mode: Mode | None = None) -> TrialsReport | None:
    """Return what the search of a study came to; None where no run belongs to one."""
    own = sorted((run for run in runs if is_trial(run)), key=lambda run: run.started_at)
    if not own:
        return None
    metric = str(own[-1].config[METRIC_KEY])
    mode = mode or ("max" if own[-1].config.get(MODE_KEY) == "max" else "min")
    parameters = [name for name in str(own[-1].config.get(PARAMETERS_KEY, "")).split(",") if name]
    named = [
        NamedTrial(
            name=run.tags[TRIAL_TAG],
            trial=Trial.of(run, metric, parameters, was_stopped=STOPPED_TAG in run.tags),
            reason=run.tags.get(STOPPED_TAG),
        )
        for run in own
    ]
    by_name = {each.name: each for each in named if each.name in (BASELINE, FINAL)}
    searched = [each for each in named if each.name not in (BASELINE, FINAL)]
    found = search([each.trial for each in searched], mode)
    baseline, final = by_name.get(BASELINE), by_name.get(FINAL)
    before = None if baseline is None else _last(baseline.trial)
    return TrialsReport(
        metric=metric,
        mode=mode,
        parameters=parameters,
        trials=searched,
        baseline=baseline,
        final=final,
        search=found,
        gain_percent=None
        if found.best is None or before is None
        else change_percent(found.best.value, before),
        times_final=None
        if final is None
        else times_final(found.total.energy_kwh, final.trial.energy_kwh),
    )


def _last(trial: Trial) -> float | None:
    return next((value for value in reversed(trial.values) if value is not None), None)
