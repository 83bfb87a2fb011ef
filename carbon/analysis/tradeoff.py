"""What each speedup cost in energy: the configurations of a study beside each other.

A configuration is a strategy on a number of workers. Its repeats are averaged, never added up, and
each repeat counts once however many epochs it has.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from carbon import units
from carbon.analysis.pareto import pareto_front
from carbon.schema import ConfigValue, EpochReport, RunReport, Scaling, Tradeoff, TradeoffPoint

VARIED_ON_PURPOSE = frozenset({"strategy", "workers", "world_size"})
"""What a scaling study is there to vary, so that it tells nothing against it."""


@dataclass(frozen=True)
class _RunMeans:
    """One run, reduced to the means over its epochs."""

    report: RunReport
    epochs: int
    epoch_s: float
    energy_per_epoch_kwh: float | None
    emissions_per_epoch_kg: float | None


@dataclass(frozen=True)
class _Configuration:
    """The repeats of one strategy on one number of workers."""

    strategy: str
    workers: int
    runs: tuple[_RunMeans, ...]
    epoch_s: float
    energy_per_epoch_kwh: float | None


def tradeoff(project: str, runs: Sequence[RunReport]) -> Tradeoff:
    """Compare the configurations of every study among a project's runs.

    Counted are completed runs with a study, a strategy and at least one epoch that took time. Of an
    epoch that was repeated after a restart the last attempt counts; the first epoch of each attempt
    warms up and is left out where others remain. The baseline is the fastest configuration at the
    study's smallest number of workers. `epochs` of a point is how many the means are taken over.

    A mean of energies or emissions is over the runs (and in a run over the epochs) that have them,
    `runs_with_energy` of `runs`; it is None where none has. Only points with an energy can be on
    the Pareto front of epoch time and energy per epoch. A run's emissions per epoch are its energy
    per epoch x its PUE x its intensity.
    """
    studies: dict[str, list[_RunMeans]] = defaultdict(list)
    for report in runs:
        if (
            report.status == "completed"
            and report.study is not None
            and report.strategy is not None
        ):
            means = _run_means(report)
            if means is not None:
                studies[report.study].append(means)
    points: list[TradeoffPoint] = []
    differing: dict[str, list[str]] = {}
    for study in sorted(studies):
        points += _points(study, studies[study])
        if found := _differences([run.report for run in studies[study]]):
            differing[study] = found
    return Tradeoff(project=project, points=points, differences=differing)


def scaling(project: str, study: str, runs: Sequence[RunReport]) -> Scaling:
    """Compare the configurations of one study, as `tradeoff` does those of all."""
    compared = tradeoff(project, [report for report in runs if report.study == study])
    return Scaling(
        project=project,
        study=study,
        points=compared.points,
        differences=compared.differences.get(study, []),
    )


def _run_means(report: RunReport) -> _RunMeans | None:
    epochs = _steady_epochs(report.epochs)
    if not epochs:
        return None
    energy_kwh = _mean_of_known(epoch.energy_kwh for epoch in epochs)
    emissions_kg = None
    if energy_kwh is not None and report.intensity_g_per_kwh is not None:
        emissions_kg = units.emissions_kg(energy_kwh, report.pue, report.intensity_g_per_kwh)
    return _RunMeans(
        report=report,
        epochs=len(epochs),
        epoch_s=statistics.fmean(epoch.duration_s for epoch in epochs),
        energy_per_epoch_kwh=energy_kwh,
        emissions_per_epoch_kg=emissions_kg,
    )


def _steady_epochs(epochs: Iterable[EpochReport]) -> list[EpochReport]:
    """Return the last attempt of each epoch, without the warm-ups where others remain."""
    last: dict[int, EpochReport] = {}
    first_index: dict[int, int] = {}
    for epoch in epochs:
        if epoch.duration_s == 0:
            continue  # Skipped after a resume: it did no work, and no speedup can be divided by it.
        if epoch.index not in last or epoch.attempt > last[epoch.index].attempt:
            last[epoch.index] = epoch
        first_index[epoch.attempt] = min(epoch.index, first_index.get(epoch.attempt, epoch.index))
    counted = list(last.values())
    return [e for e in counted if e.index != first_index[e.attempt]] or counted


def _points(study: str, runs: Iterable[_RunMeans]) -> list[TradeoffPoint]:
    configurations = _configurations(runs)
    fewest = min(c.workers for c in configurations)
    baseline = min((c for c in configurations if c.workers == fewest), key=lambda c: c.epoch_s)
    on_front = _on_front(configurations)
    return [
        _point(study, configuration, baseline, on_front=on_front[i])
        for i, configuration in enumerate(configurations)
    ]


def _configurations(runs: Iterable[_RunMeans]) -> list[_Configuration]:
    def key(run: _RunMeans) -> tuple[str, int]:
        return str(run.report.strategy), run.report.world_size

    found = []
    for (strategy, workers), group in groupby(sorted(runs, key=key), key=key):
        repeats = tuple(group)
        found.append(
            _Configuration(
                strategy=strategy,
                workers=workers,
                runs=repeats,
                epoch_s=statistics.fmean(run.epoch_s for run in repeats),
                energy_per_epoch_kwh=_mean_of_known(r.energy_per_epoch_kwh for r in repeats),
            )
        )
    return found


def _on_front(configurations: Sequence[_Configuration]) -> list[bool]:
    costs = {
        i: (c.epoch_s, c.energy_per_epoch_kwh)
        for i, c in enumerate(configurations)
        if c.energy_per_epoch_kwh is not None
    }
    front = dict(zip(costs, pareto_front(list(costs.values())), strict=True))
    return [front.get(i, False) for i in range(len(configurations))]


def _point(
    study: str, this: _Configuration, baseline: _Configuration, *, on_front: bool
) -> TradeoffPoint:
    runs = this.runs
    energies = _known(run.energy_per_epoch_kwh for run in runs)
    speedup = baseline.epoch_s / this.epoch_s
    ideal = this.workers / baseline.workers
    return TradeoffPoint(
        study=study,
        strategy=this.strategy,
        workers=this.workers,
        runs=len(runs),
        runs_with_energy=len(energies),
        epochs=sum(run.epochs for run in runs),
        epoch_s=this.epoch_s,
        epoch_s_stdev=_stdev([run.epoch_s for run in runs]),
        energy_per_epoch_kwh=this.energy_per_epoch_kwh,
        energy_per_epoch_kwh_stdev=_stdev(energies),
        emissions_per_epoch_kg=_mean_of_known(run.emissions_per_epoch_kg for run in runs),
        duration_s=statistics.fmean(run.report.duration_s for run in runs),
        energy_kwh=_mean_of_known(run.report.energy_kwh for run in runs),
        speedup=speedup,
        ideal_speedup=ideal,
        efficiency=speedup / ideal,
        baseline_strategy=baseline.strategy,
        baseline_workers=baseline.workers,
        energy_ratio=_ratio(this.energy_per_epoch_kwh, baseline.energy_per_epoch_kwh),
        on_pareto_front=on_front,
        metrics=_mean_metrics([run.report.metrics for run in runs]),
        last_run_at=max(run.report.started_at for run in runs),
    )


def _mean_metrics(metrics: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for last in metrics:
        for name, value in last.items():
            if value is not None:
                values[name].append(value)
    # A metric may be as large as a float gets, and `fmean` would overflow; `mean` is exact.
    return {name: statistics.mean(values[name]) for name in sorted(values)}


def _differences(reports: Sequence[RunReport]) -> list[str]:
    """Return in what the runs of a study differ, by the names that `Tradeoff` gives them."""
    found = [f"config {key}" for key in _differing_keys([r.config for r in reports])]
    found += [f"tag {key}" for key in _differing_keys([r.tags for r in reports])]
    facts: dict[str, set[object]] = {
        "epochs": {len({epoch.index for epoch in report.epochs}) for report in reports},
        "place": {
            (report.country_iso_code, report.region, report.intensity_g_per_kwh)
            for report in reports
        },
        "PUE": {report.pue for report in reports},
    }
    return found + [name for name, values in facts.items() if len(values) > 1]


def _differing_keys(configs: Sequence[Mapping[str, ConfigValue] | Mapping[str, str]]) -> list[str]:
    """Return the keys with more than one value; not having a key is a value of its own."""
    absent = object()
    keys = {key for config in configs for key in config} - VARIED_ON_PURPOSE
    return sorted(k for k in keys if len({config.get(k, absent) for config in configs}) > 1)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return statistics.fmean(known) if known else None


def _stdev(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base
