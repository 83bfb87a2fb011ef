"""What each speedup cost in energy: the configurations of a study beside each other.

A configuration is a strategy on a number of workers. Its repeats are averaged, never added up, and
each repeat counts once however many epochs it has.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from carbon.analysis.comparability import differences
from carbon.analysis.pareto import pareto_front
from carbon.analysis.run_means import MEASURES, RunMeans, known, mean_of_known, run_means
from carbon.analysis.whole_runs import are_whole, with_epochs
from carbon.schema import RunReport, Scaling, StudyUnit, Tradeoff, TradeoffPoint


@dataclass(frozen=True)
class _Configuration:
    """The repeats of one strategy on one number of workers."""

    strategy: str
    workers: int
    runs: tuple[RunMeans, ...]
    epoch_s: float
    energy_per_epoch_kwh: float | None
    samples_per_epoch: float | None


def tradeoff(project: str, studies: Iterable[Scaling]) -> Tradeoff:
    """Put the comparisons of a project's studies together, in the order given."""
    points: list[TradeoffPoint] = []
    differing: dict[str, list[str]] = {}
    for study in studies:
        points += study.points
        if study.differences:
            differing[study.study] = study.differences
    return Tradeoff(project=project, points=points, differences=differing)


def scaling(project: str, study: str, runs: Iterable[RunReport]) -> Scaling:
    """Compare the configurations of one study among a project's runs.

    Counted are completed runs with a strategy and at least one epoch that took time; where none has
    epochs, every run as one epoch (see `whole_runs`). Of an epoch that was repeated after a restart
    the last attempt counts; the first epoch of each attempt warms up and is left out where others
    remain. The baseline is the fastest configuration at the study's smallest number of workers.
    `epochs` of a point is how many the means are taken over.

    A mean of energies or emissions is over the runs (and in a run over the epochs) that have them,
    `runs_with_energy` of `runs`; it is None where none has. Only points with an energy can be on
    the Pareto front of epoch time and energy per epoch. A run's emissions per epoch are its energy
    per epoch x its PUE x its intensity.

    Where the configurations of a study train on different numbers of samples an epoch, as in weak
    scaling, what is compared is the time and the energy of a sample: then a speedup is the scaled
    one of J. L. Gustafson, "Reevaluating Amdahl's Law", CACM 31(5), 1988.
    """
    completed = [
        report
        for report in runs
        if (report.study, report.status) == (study, "completed") and report.strategy is not None
    ]
    counted = [m for each in with_epochs(completed) if (m := run_means(each)) is not None]
    return Scaling(
        project=project,
        study=study,
        points=_points(study, counted, "run" if are_whole(completed) else "epoch"),
        differences=differences([run.report for run in counted]),
    )


def _points(study: str, runs: Sequence[RunMeans], unit: StudyUnit) -> list[TradeoffPoint]:
    if not runs:
        return []
    configurations = _configurations(runs)
    work = _work(configurations)
    costs = [
        (c.epoch_s / w, None if c.energy_per_epoch_kwh is None else c.energy_per_epoch_kwh / w)
        for c, w in zip(configurations, work, strict=True)
    ]
    fewest = min(c.workers for c in configurations)
    smallest = [i for i, c in enumerate(configurations) if c.workers == fewest]
    baseline = min(smallest, key=lambda i: costs[i][0])
    on_front = _on_front(costs)
    return [
        _point(
            study,
            configuration,
            configurations[baseline],
            unit=unit,
            speedup=costs[baseline][0] / costs[i][0],
            energy_ratio=_ratio(costs[i][1], costs[baseline][1]),
            on_front=on_front[i],
        )
        for i, configuration in enumerate(configurations)
    ]


def _work(configurations: Sequence[_Configuration]) -> list[float]:
    """Return how much an epoch of each does: its samples where they differ, else 1."""
    samples = known(c.samples_per_epoch for c in configurations)
    if len(samples) == len(configurations) and len(set(samples)) > 1:
        return samples
    return [1.0] * len(configurations)


def _configurations(runs: Iterable[RunMeans]) -> list[_Configuration]:
    def key(run: RunMeans) -> tuple[str, int]:
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
                energy_per_epoch_kwh=mean_of_known(r.energy_per_epoch_kwh for r in repeats),
                samples_per_epoch=mean_of_known(r.samples_per_epoch for r in repeats),
            )
        )
    return found


def _on_front(costs: Sequence[tuple[float, float | None]]) -> list[bool]:
    both = {i: (time_s, energy) for i, (time_s, energy) in enumerate(costs) if energy is not None}
    front = dict(zip(both, pareto_front(list(both.values())), strict=True))
    return [front.get(i, False) for i in range(len(costs))]


def _point(
    study: str,
    this: _Configuration,
    baseline: _Configuration,
    *,
    unit: StudyUnit,
    speedup: float,
    energy_ratio: float | None,
    on_front: bool,
) -> TradeoffPoint:
    runs = this.runs
    ideal = this.workers / baseline.workers
    spread = {
        "epoch_s": [run.epoch_s for run in runs],
        "energy_per_epoch_kwh": known(run.energy_per_epoch_kwh for run in runs),
        "emissions_per_epoch_kg": known(run.emissions_per_epoch_kg for run in runs),
        **{name: known(run.measures[name] for run in runs) for name in MEASURES},
    }
    return TradeoffPoint(
        study=study,
        strategy=this.strategy,
        workers=this.workers,
        runs=len(runs),
        runs_with_energy=len(spread["energy_per_epoch_kwh"]),
        epochs=sum(run.epochs for run in runs),
        unit=unit,
        **{name: mean_of_known(values) for name, values in spread.items()},
        **{f"{name}_stdev": _stdev(values) for name, values in spread.items()},
        samples_per_epoch=this.samples_per_epoch,
        duration_s=statistics.fmean(run.report.duration_s for run in runs),
        energy_kwh=mean_of_known(run.report.energy_kwh for run in runs),
        speedup=speedup,
        ideal_speedup=ideal,
        efficiency=speedup / ideal,
        baseline_strategy=baseline.strategy,
        baseline_workers=baseline.workers,
        energy_ratio=energy_ratio,
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


def _stdev(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base
