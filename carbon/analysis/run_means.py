"""One run, reduced to its means: what the repeats of a configuration are averaged over.

The first epoch of each attempt warms up and is left out where others remain; of an epoch that was
repeated after a restart the last attempt counts.
"""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from carbon import units
from carbon.schema import EpochReport, NodeReport, RunReport, SeriesName, StepProfile

SAMPLES_PER_EPOCH = "samples_per_epoch"
"""The key of a run's `config` that says how many samples all its workers train on in an epoch."""


@dataclass(frozen=True)
class RunMeans:
    """The means over the steady epochs of one run; what is not known of it is None.

    Attributes:
        report: the run.
        epochs: how many epochs the means are over.
        epoch_s: seconds.
        energy_per_epoch_kwh: over the epochs that have one.
        emissions_per_epoch_kg: energy per epoch x the run's PUE x its intensity.
        samples_per_epoch: of all workers together, from the run's config.
        measures: the other quantities of `MEASURES`, by name.
    """

    report: RunReport
    epochs: int
    epoch_s: float
    energy_per_epoch_kwh: float | None
    emissions_per_epoch_kg: float | None
    samples_per_epoch: float | None
    measures: dict[str, float | None]


def run_means(report: RunReport) -> RunMeans | None:
    """Return the means of a run; None where it has no epoch that took time."""
    epochs = steady_epochs(report.epochs)
    if not epochs:
        return None
    energy_kwh = mean_of_known(epoch.energy_kwh for epoch in epochs)
    emissions_kg = None
    if energy_kwh is not None and report.intensity_g_per_kwh is not None:
        emissions_kg = units.emissions_kg(energy_kwh, report.pue, report.intensity_g_per_kwh)
    epoch_s = statistics.fmean(epoch.duration_s for epoch in epochs)
    samples = _samples_per_epoch(report)
    per_sample = {
        "throughput_per_s": None if samples is None else samples / epoch_s,
        "energy_per_sample_kwh": None
        if samples is None or energy_kwh is None
        else energy_kwh / samples,
    }
    return RunMeans(
        report=report,
        epochs=len(epochs),
        epoch_s=epoch_s,
        energy_per_epoch_kwh=energy_kwh,
        emissions_per_epoch_kg=emissions_kg,
        samples_per_epoch=samples,
        measures=per_sample | {name: measure(report) for name, measure in _OF_A_RUN.items()},
    )


def steady_epochs(epochs: Iterable[EpochReport]) -> list[EpochReport]:
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


def known(values: Iterable[float | None]) -> list[float]:
    """Return the values that are known."""
    return [value for value in values if value is not None]


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known, None where none is."""
    found = known(values)
    return statistics.fmean(found) if found else None


def _samples_per_epoch(report: RunReport) -> float | None:
    value = report.config.get(SAMPLES_PER_EPOCH)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value > 0 else None  # type: ignore[arg-type, operator]


def _last_nodes(report: RunReport) -> list[NodeReport]:
    """Return the nodes of the last attempt, the one that came to the end."""
    last = max((node.attempt for node in report.nodes), default=0)
    return [node for node in report.nodes if node.attempt == last]


def _gpu_utilization_percent(report: RunReport) -> float | None:
    return mean_of_known(
        device.mean_utilization_percent for node in _last_nodes(report) for device in node.devices
    )


def _mean_over_nodes(name: SeriesName) -> Callable[[RunReport], float | None]:
    return lambda report: mean_of_known(node.series_means.get(name) for node in _last_nodes(report))


def _sum_over_nodes(name: SeriesName) -> Callable[[RunReport], float | None]:
    def add(report: RunReport) -> float | None:
        values = [node.series_means.get(name) for node in _last_nodes(report)]
        return None if None in values or not values else sum(known(values))

    return add


def _share(part: Callable[[StepProfile], float]) -> Callable[[RunReport], float | None]:
    """Return the share of the profiled time that a part took, over all ranks together."""

    def of(report: RunReport) -> float | None:
        profiles = [p for node in _last_nodes(report) for p in node.profiles]
        if not profiles:
            return None
        return sum(part(p) for p in profiles) / sum(p.duration_s for p in profiles)

    return of


_OF_A_RUN: dict[str, Callable[[RunReport], float | None]] = {
    "gpu_utilization_percent": _gpu_utilization_percent,
    "cpu_utilization_percent": _mean_over_nodes("cpu_utilization"),
    "cpu_frequency_mhz": _mean_over_nodes("cpu_frequency"),
    "network_sent_mb_per_s": _sum_over_nodes("network_sent"),
    "network_received_mb_per_s": _sum_over_nodes("network_received"),
    "compute_share": _share(lambda p: p.compute_s),
    "exposed_communication_share": _share(lambda p: p.exposed_communication_s),
    "overlapped_communication_share": _share(lambda p: p.overlapped_communication_s),
    "idle_share": _share(lambda p: p.idle_s),
}

MEASURES: tuple[str, ...] = ("throughput_per_s", "energy_per_sample_kwh", *_OF_A_RUN)
"""The quantities that a `TradeoffPoint` has as a mean and, by the name + "_stdev", its spread."""
