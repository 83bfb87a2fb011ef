"""What a search for hyperparameters found, and what it spent on which of its trials."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from carbon import units
from carbon.analysis.reaching import Mode, course
from carbon.errors import UsageError
from carbon.schema import ConfigValue, RunReport

TrialStatus = Literal["running", "completed", "stopped", "failed"]
"""Stopped: by the search, since others did better (as by ASHA). Failed: by an error."""


@dataclass(frozen=True)
class Trial:
    """One set of parameters that was tried.

    Attributes:
        values: the metric at the end of each epoch; None where it was not finite.
        reported_s: when each of these epochs ended, in seconds since the trial began; where that is
            not known, they are taken to divide its time evenly.
        energy_kwh: of the whole trial, as far as it went; None where it was not measured.
        ended_at: None where it goes on.
    """

    trial_id: str
    status: TrialStatus
    parameters: Mapping[str, ConfigValue]
    values: Sequence[float | None]
    energy_kwh: float | None
    emissions_kg: float | None
    started_at: datetime
    ended_at: datetime | None
    reported_s: Sequence[float] = ()

    def __post_init__(self) -> None:
        """Refuse times that do not belong to the values.

        Raises:
            UsageError: there are not as many.
        """
        if self.reported_s and len(self.reported_s) != len(self.values):
            raise UsageError(
                f"trial {self.trial_id} has {len(self.values)} values and {len(self.reported_s)} "
                "times of them; give a time for each, or none"
            )

    @classmethod
    def of(
        cls, report: RunReport, metric: str, parameters: Iterable[str], *, was_stopped: bool = False
    ) -> "Trial":
        """Make a trial of its run.

        What the run did before its first epoch is not in the times of its values.

        Args:
            metric: what was searched by.
            parameters: the keys of the run's config that were searched.
            was_stopped: whether the search ended it, so that it did not fail.
        """
        milestones = course(report, metric)
        status: TrialStatus = "failed"
        if report.status in ("running", "completed"):
            status = cast(TrialStatus, report.status)
        elif was_stopped:
            status = "stopped"
        return cls(
            trial_id=str(report.run_id),
            status=status,
            parameters={name: report.config.get(name) for name in parameters},
            values=[milestone.value for milestone in milestones],
            energy_kwh=report.energy_kwh,
            emissions_kg=report.emissions_kg,
            started_at=report.started_at,
            ended_at=report.ended_at,
            reported_s=[milestone.time_s for milestone in milestones],
        )


@dataclass(frozen=True)
class Spent:
    """What some trials drew.

    Attributes:
        energy_kwh: the sum over those that were measured; None where trials are there and none was.
        emissions_kg: likewise.
        trials: how many.
        trials_without_energy: how many of these were not measured, so that they are not in the sum.
    """

    energy_kwh: float | None
    emissions_kg: float | None
    trials: int
    trials_without_energy: int


@dataclass(frozen=True)
class Best:
    """The best value of a search.

    Attributes:
        epoch: of the trial, counted from 0.
        reported_at: when that epoch ended.
    """

    trial: Trial
    value: float
    epoch: int
    reported_at: datetime


@dataclass(frozen=True)
class Search:
    """A whole search.

    Attributes:
        best: None where no trial has a value.
        total: of all trials.
        by_status: of the trials of each status that there is.
        after_best: what all trials drew after the best value was reported: nothing that came of it
            was better. None where there is no best.
    """

    best: Best | None
    total: Spent
    by_status: Mapping[TrialStatus, Spent]
    after_best: Spent | None


def search(trials: Sequence[Trial], mode: Mode, as_of: datetime | None = None) -> Search:
    """Tell what a search found and spent.

    Args:
        mode: "min" or "max", whichever is better in the metric.
        as_of: until when trials that go on have drawn their energy; by default the last moment that
            any trial began or ended.
    """
    found = best_of(trials, mode, as_of)
    statuses = sorted({trial.status for trial in trials})
    return Search(
        best=found,
        total=_spent((trial, 1.0) for trial in trials),
        by_status={
            status: _spent((trial, 1.0) for trial in trials if trial.status == status)
            for status in statuses
        },
        after_best=None if found is None else energy_after(trials, found.reported_at, as_of),
    )


def best_of(trials: Sequence[Trial], mode: Mode, as_of: datetime | None = None) -> Best | None:
    """Return the best value at the end of any epoch; of equal ones, the one reported first.

    Trials that failed are left out: what they had reached is not there to be used.
    """
    end = _end(trials, as_of)
    sign = 1 if mode == "min" else -1
    candidates = [
        Best(trial, value, epoch, reported_at)
        for trial in trials
        if trial.status != "failed"
        for epoch, (value, reported_at) in enumerate(
            zip(trial.values, _reported_at(trial, end), strict=True)
        )
        if value is not None
    ]
    return min(candidates, key=lambda b: (sign * b.value, b.reported_at), default=None)


def energy_after(trials: Sequence[Trial], moment: datetime, as_of: datetime | None = None) -> Spent:
    """Return what trials drew after a moment.

    A trial that began later counts whole, one that had ended not at all, and one that was going on
    by the share of its time that was left, as if it had drawn its energy evenly.

    Returns:
        The sums over the trials that drew anything after the moment.
    """
    end = _end(trials, as_of)
    shares = []
    for trial in trials:
        ended_at = trial.ended_at or end or trial.started_at
        whole_s = (ended_at - trial.started_at).total_seconds()
        left_s = (ended_at - max(moment, trial.started_at)).total_seconds()
        if left_s > 0:
            shares.append((trial, left_s / whole_s))
    return _spent(shares)


def change_percent(value: float, baseline: float) -> float | None:
    """Return by how many percent a value is above a baseline's, negative below it; None at 0."""
    return None if baseline == 0 else 100 * (value - baseline) / abs(baseline)


def times_final(search_kwh: float | None, final_kwh: float | None) -> float | None:
    """Return how many times the final training's energy the search took; None where unknown."""
    return None if search_kwh is None or not final_kwh else search_kwh / final_kwh


def _end(trials: Sequence[Trial], as_of: datetime | None) -> datetime | None:
    if as_of is not None:
        return as_of
    return max((trial.ended_at or trial.started_at for trial in trials), default=None)


def _reported_at(trial: Trial, end: datetime | None) -> list[datetime]:
    """Return when each of the values was reported."""
    if trial.reported_s:
        return [trial.started_at + timedelta(seconds=s) for s in trial.reported_s]
    count = len(trial.values)
    ended_at = trial.ended_at or end or trial.started_at
    each = (ended_at - trial.started_at) / max(count, 1)
    return [trial.started_at + (index + 1) * each for index in range(count)]


def _spent(shares: Iterable[tuple[Trial, float]]) -> Spent:
    """Add up shares of trials."""
    listed = list(shares)
    energies = [_part(trial.energy_kwh, share) for trial, share in listed]
    emissions = [_part(trial.emissions_kg, share) for trial, share in listed]
    return Spent(
        energy_kwh=units.add_known(energies) if listed else 0.0,
        emissions_kg=units.add_known(emissions) if listed else 0.0,
        trials=len(listed),
        trials_without_energy=energies.count(None),
    )


def _part(whole: float | None, share: float) -> float | None:
    return None if whole is None else whole * share
