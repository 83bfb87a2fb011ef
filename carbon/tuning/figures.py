"""What a search came to: its best trial, against the baseline and the final training."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from carbon import wording
from carbon.analysis import tuning
from carbon.tuning.journal import BASELINE, FINAL, Trial


@dataclass(frozen=True)
class Figures:
    """What a search found and spent.

    Attributes:
        best: the trial with the best value at the end of any of its epochs; None for none.
        best_value: that value.
        baseline_value: the best one of the baseline; None where there is none.
        against_baseline_percent: how far the best value is above it, negative below.
        total: of all searched trials; neither the baseline nor the final training is one.
        by_status: of those of each status; what was interrupted counts as failed.
        after_best: what searched trials drew after the best value was reported.
        final_energy_kwh: of the final training; None where there is none or it was not measured.
        times_final: how many times that energy the search took.
    """

    best: Trial | None
    best_value: float | None
    baseline_value: float | None
    against_baseline_percent: float | None
    total: tuning.Spent
    by_status: Mapping[tuning.TrialStatus, tuning.Spent]
    after_best: tuning.Spent | None
    final_energy_kwh: float | None
    times_final: float | None


def figures(trials: Iterable[Trial], mode: Literal["min", "max"]) -> Figures:
    """Work out what a search came to, from its journal or its runs."""
    trials = list(trials)
    by_id = {str(trial.run_id): trial for trial in trials}
    found = tuning.search([_analysed(trial) for trial in trials if trial.is_searched], mode)
    compared = [t for t in trials if t.name == BASELINE and t.status == "completed"]
    baseline = tuning.best_of([_analysed(trial) for trial in compared], mode)
    percent = None
    if found.best is not None and baseline is not None:
        percent = tuning.change_percent(found.best.value, baseline.value)
    finals = [t.energy_kwh for t in trials if t.name == FINAL and t.status == "completed"]
    final_kwh = finals[-1] if finals else None
    return Figures(
        best=None if found.best is None else by_id[found.best.trial.trial_id],
        best_value=None if found.best is None else found.best.value,
        baseline_value=None if baseline is None else baseline.value,
        against_baseline_percent=percent,
        total=found.total,
        by_status=found.by_status,
        after_best=found.after_best,
        final_energy_kwh=final_kwh,
        times_final=tuning.times_final(found.total.energy_kwh, final_kwh),
    )


def sentences(said: Figures, metric: str, mode: Literal["min", "max"]) -> list[str]:
    """Say it in lines; what is unknown is said to be."""
    if said.best is None or said.best_value is None:
        lines = [f"no trial has a {metric}"]
    else:
        lines = [f"best: trial {said.best.name}, {metric} {said.best_value:.6g}"]
        if said.baseline_value is not None:
            lines.append(_against_baseline(said, metric, mode))
    lines.append(f"search: {_spent(said.total)}")
    for status in ("stopped", "failed"):
        if status in said.by_status:
            lines.append(f"in {status} trials: {_spent(said.by_status[status])}")
    if said.after_best is not None:
        lines.append(f"after the best value was reached: {_spent(said.after_best)}")
    if said.final_energy_kwh is not None:
        times = (
            ""
            if said.times_final is None
            else f"; the search took {said.times_final:.3g} times as much"
        )
        lines.append(f"final training: {wording.energy(said.final_energy_kwh)}{times}")
    return lines


def _against_baseline(said: Figures, metric: str, mode: str) -> str:
    baseline = f"the baseline's {said.baseline_value:.6g}"
    percent = said.against_baseline_percent
    if percent is None:
        return f"against the baseline: no percentage of {baseline}"
    is_better = percent < 0 if mode == "min" else percent > 0
    verdict = (
        "as good as"
        if percent == 0
        else f"{abs(percent):.3g} % {'better' if is_better else 'worse'} than"
    )
    return f"against the baseline: {verdict} {baseline} ({metric})"


def _spent(spent: tuning.Spent) -> str:
    energy, emissions = wording.energy(spent.energy_kwh), wording.mass(spent.emissions_kg)
    counted = f"{spent.trials} trial{'s' * (spent.trials != 1)}"
    unknown = f", {spent.trials_without_energy} not measured" if spent.trials_without_energy else ""
    return f"{energy}, {emissions} CO2e ({counted}{unknown})"


def _analysed(trial: Trial) -> tuning.Trial:
    epochs = sorted(trial.values)
    return tuning.Trial(
        trial_id=str(trial.run_id),
        # A trial that was cut off with its search has nothing to show for its energy.
        status="failed" if trial.status == "interrupted" else trial.status,
        parameters=trial.parameters,
        values=[trial.values[epoch] for epoch in epochs],
        energy_kwh=trial.energy_kwh,
        emissions_kg=trial.emissions_kg,
        started_at=trial.started_at,
        ended_at=trial.ended_at,
        reported_s=[trial.reported_s[epoch] for epoch in epochs],
    )
