"""The figures of a report: which charts a study has, and how to read each."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from altair.typing import ChartType

from carbon import wording
from carbon.report import frames
from carbon.report.charts import communication, energy, metric, scaling, utilization
from carbon.report.charts.tradeoff import tradeoff_chart
from carbon.report.study import Study
from carbon.report.trials import TrialsReport
from carbon.tuning.journal import BASELINE

_BARS = "Bars are one standard deviation over repeats."


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        name: of its files, without an ending.
        told: how to read it, in a sentence or two.
    """

    name: str
    title: str
    chart: ChartType
    told: str


def figures(study: Study) -> list[Figure]:
    """Return the figures of what was measured; what was not has none."""
    found: list[Figure] = []
    if study.points:
        found += [
            *_scaling(study),
            *_energy(study),
            *_hardware(study),
            *_metrics(study),
        ]
    if study.trials is not None:
        found += _trials(study.trials)
    return found


def baseline_of(study: Study) -> str:
    """Return the name of the configuration that speedups are over."""
    first = study.points[0]
    return wording.configuration(first.baseline_strategy, first.baseline_workers)


def _scaling(study: Study) -> Iterator[Figure]:
    frame = frames.configurations(study.points)
    beyond = [e for fit in study.fits for e in fit.told]
    baseline = baseline_of(study)
    dashed = (
        " Dashed and hollow is extrapolated, not measured; the shade is the band of 95 %."
        if beyond
        else ""
    )
    yield Figure(
        "epoch-time",
        f"Time per {study.unit}",
        scaling.epoch_time_chart(frame, beyond),
        f"Lower is faster. {_BARS}{dashed}",
    )
    yield Figure(
        "speedup",
        "Speedup",
        scaling.speedup_chart(frame, beyond, baseline, study.points[0].baseline_workers),
        f"Higher is faster; the dotted line is the ideal. {_BARS}{dashed}",
    )
    yield Figure(
        "efficiency",
        "Efficiency",
        scaling.efficiency_chart(frame, baseline),
        f"Speedup over its ideal: how much of each added worker is used. {_BARS}",
    )
    if frame["throughput_per_s"].notna().any():
        told = f"Samples that all workers train on in a second. {_BARS}"
        yield Figure("throughput", "Throughput", utilization.throughput_chart(frame), told)


def _energy(study: Study) -> Iterator[Figure]:
    frame = frames.configurations(study.points)
    if frame["energy_per_epoch_kwh"].notna().any():
        yield Figure(
            "energy-against-speedup",
            "Energy against speedup",
            tradeoff_chart(frame, baseline_of(study), with_ideals=False),
            "Right is faster, down is less energy. A ring marks the front (Pareto): no other mean "
            f"is both faster and cheaper. {_BARS}",
        )
        yield Figure(
            "energy", "Energy", energy.energy_chart(frame), f"Of one {study.unit}. {_BARS}"
        )
    if frame["emissions_per_epoch_kg"].notna().any():
        told = f"Of one {study.unit}, at the PUE and grid intensity of each run. {_BARS}"
        yield Figure("emissions", "CO2e", energy.emissions_chart(frame), told)


def _hardware(study: Study) -> Iterator[Figure]:
    frame = frames.configurations(study.points)
    shares = frames.shares(study.points)
    if len(shares):
        yield Figure(
            "communication",
            "Communication against computation",
            communication.communication_chart(shares),
            "Of the steps that were profiled. Communication that computation hides costs no time; "
            "what is waited for does.",
        )
    for column, name, title, draw, told in (
        (
            "gpu_utilization_percent",
            "gpu-utilization",
            "GPU utilisation",
            utilization.gpu_utilization_chart,
            "Mean over all GPUs and the whole run.",
        ),
        (
            "cpu_utilization_percent",
            "cpu-utilization",
            "CPU utilisation",
            utilization.cpu_utilization_chart,
            "Mean over all cores of the hosts and the whole run.",
        ),
        (
            "cpu_frequency_mhz",
            "cpu-frequency",
            "CPU frequency",
            utilization.cpu_frequency_chart,
            "Mean over the hosts; the axis does not begin at 0. Clocks that fall as more cores "
            "work explain part of a missing speedup.",
        ),
    ):
        if frame[column].notna().any():
            yield Figure(name, title, draw(frame), f"{told} {_BARS}")
    traffic = frames.traffic(study.points)
    if len(traffic) and (traffic["mb_per_s"] > 0).any():  # Within one host nothing is seen of it.
        told = f"Sent is filled, received is hollow and dotted. {_BARS}"
        yield Figure("network-traffic", "Network traffic", utilization.traffic_chart(traffic), told)


def _metrics(study: Study) -> Iterator[Figure]:
    if study.metric is None:
        return
    frame = frames.courses(study.comparison.runs, study.metric)
    costs: tuple[tuple[metric.Cost, str], ...] = (
        ("time_s", "time"),
        ("energy_kwh", "energy"),
        ("emissions_kg", "CO2e"),
    )
    for cost, name in costs:
        if len(frame) and (frame[cost] > 0).any():
            yield Figure(
                f"metric-against-{'emissions' if cost == 'emissions_kg' else name}",
                f"{study.metric} against {name}",
                metric.metric_chart(frame, study.metric, cost, study.target),
                "A dot for each epoch, a large one for the last; means over repeats.",
            )


def _trials(report: TrialsReport) -> Iterator[Figure]:
    rows = [
        {"trial": trial.name, "epoch": epoch, "value": value, "status": trial.status}
        for trial in report.trials
        for epoch, value in sorted(trial.values.items())
        if value is not None
    ]
    if not rows:
        return
    best = report.figures.best
    baseline = BASELINE if any(trial.name == BASELINE for trial in report.trials) else None
    chart = metric.learning_curves_chart(
        pd.DataFrame(rows), report.metric, None if best is None else best.name, baseline
    )
    told = "A line for each trial; those that end early were stopped or failed."
    yield Figure("learning-curves", "Learning curves", chart, told)
