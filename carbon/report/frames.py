"""Data frames for the charts of a study. Unknown stays missing, never 0."""

from collections.abc import Iterable, Sequence

import pandas as pd

from carbon import wording
from carbon.analysis.reaching import course
from carbon.schema import RunReport, TradeoffPoint

SPREAD = (
    "epoch_s",
    "speedup",
    "efficiency",
    "energy_per_epoch_kwh",
    "emissions_per_epoch_kg",
    "throughput_per_s",
    "energy_per_sample_kwh",
    "gpu_utilization_percent",
    "cpu_utilization_percent",
    "cpu_frequency_mhz",
    "network_sent_mb_per_s",
    "network_received_mb_per_s",
)
"""What is drawn with an error bar from COLUMN_low to COLUMN_high."""

SHARES = {
    "compute_share": "computation",
    "overlapped_communication_share": "communication hidden",
    "exposed_communication_share": "communication waited for",
    "idle_share": "idle",
}


def configurations(points: Iterable[TradeoffPoint]) -> pd.DataFrame:
    """Return one row a configuration: every field of its point, its words, and ends of error bars.

    Error bars are one standard deviation over repeats. That of a speedup, and of the efficiency, is
    the epoch time's, carried over to first order: s(t0/t) = t0/t x s(t)/t.
    """
    rows = [_row(point) for point in points]
    frame = pd.DataFrame(rows)
    words = ("label", "strategy", "unit", "front")
    numbers = [c for c in frame.columns if c not in words and not c.endswith("_text")]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def shares(points: Iterable[TradeoffPoint]) -> pd.DataFrame:
    """Return one row for each part of the profiled time of a configuration that has profiles."""
    rows = [
        {
            "label": wording.configuration(point.strategy, point.workers),
            "strategy": point.strategy,
            "workers": point.workers,
            "part": part,
            "order": order,
            "share": getattr(point, column),
            "share_text": wording.percent(getattr(point, column)),
            "stdev_text": _spread_percent(getattr(point, f"{column}_stdev")),
            "runs_text": wording.count(point.runs, "run"),
        }
        for point in points
        if point.compute_share is not None
        for order, (column, part) in enumerate(SHARES.items())
    ]
    return pd.DataFrame(rows)


def traffic(points: Iterable[TradeoffPoint]) -> pd.DataFrame:
    """Return one row for each configuration and direction of which the traffic is known."""
    rows = []
    for point in points:
        for direction in ("sent", "received"):
            mean = getattr(point, f"network_{direction}_mb_per_s")
            stdev = getattr(point, f"network_{direction}_mb_per_s_stdev")
            if mean is not None:
                rows.append(
                    _named(point)
                    | {"direction": direction, "mb_per_s": mean}
                    | _ends("mb_per_s", mean, stdev)
                    | {"mb_per_s_text": f"{wording.number(mean)} MB/s"}
                )
    return pd.DataFrame(rows)


def _named(point: TradeoffPoint) -> dict[str, object]:
    return {
        "label": wording.configuration(point.strategy, point.workers),
        "strategy": point.strategy,
        "workers": point.workers,
        "unit": point.unit,
        "runs_text": _averaged_over(point),
    }


def _row(point: TradeoffPoint) -> dict[str, object]:
    values = {name: getattr(point, name, None) for name in SPREAD}
    stdevs = {name: getattr(point, f"{name}_stdev", None) for name in SPREAD}
    if point.epoch_s_stdev is not None:
        relative = point.epoch_s_stdev / point.epoch_s
        stdevs["speedup"] = point.speedup * relative
        stdevs["efficiency"] = point.efficiency * relative
    row = _named(point) | values | {"ideal_speedup": point.ideal_speedup}
    for name in SPREAD:
        row |= _ends(name, values[name], stdevs[name])
    return row | {
        "front": point.on_pareto_front,
        "epoch_text": wording.duration_with_spread(point.epoch_s, point.epoch_s_stdev),
        "front_text": "yes" if point.on_pareto_front else "no",
        "speedup_stdev": stdevs["speedup"],
        "speedup_text": f"{wording.number(point.speedup)} ×",
        "ideal_text": f"{wording.number(point.ideal_speedup)} ×",
        "efficiency_text": wording.percent(point.efficiency),
        "energy_text": wording.energy_with_spread(
            point.energy_per_epoch_kwh, point.energy_per_epoch_kwh_stdev
        ),
        "emissions_text": wording.mass_with_spread(
            point.emissions_per_epoch_kg, point.emissions_per_epoch_kg_stdev
        ),
        "gpu_text": _with_spread(
            point.gpu_utilization_percent, point.gpu_utilization_percent_stdev, " %"
        ),
        "cpu_text": _with_spread(
            point.cpu_utilization_percent, point.cpu_utilization_percent_stdev, " %"
        ),
        "frequency_text": _with_spread(
            point.cpu_frequency_mhz, point.cpu_frequency_mhz_stdev, " MHz"
        ),
        "throughput_text": _with_spread(
            point.throughput_per_s, point.throughput_per_s_stdev, " samples/s"
        ),
    }


def _averaged_over(point: TradeoffPoint) -> str:
    runs = wording.count(point.runs, "run")
    if point.runs_with_energy == point.runs:
        return runs
    if point.runs_with_energy == 0:
        return f"{runs}, without energy"
    return f"{runs}, {point.runs_with_energy} of them with energy"


def _ends(name: str, mean: float | None, stdev: float | None) -> dict[str, float | None]:
    if mean is None or stdev is None:
        return {f"{name}_low": None, f"{name}_high": None}
    return {f"{name}_low": mean - stdev, f"{name}_high": mean + stdev}


def _with_spread(mean: float | None, stdev: float | None, unit: str = "") -> str:
    if mean is None:
        return wording.UNKNOWN
    if stdev is None:
        return f"{wording.number(mean)}{unit}"
    return f"{wording.number(mean)} ± {wording.spread(stdev)}{unit}"


def _spread_percent(stdev: float | None) -> str:
    return "one run" if stdev is None else f"± {wording.spread(stdev * 100)} %"


def strategies(points: Sequence[TradeoffPoint]) -> list[str]:
    """Return the strategies of a study, each once."""
    return list(dict.fromkeys(point.strategy for point in points))


def courses(runs: Iterable[RunReport], metric: str) -> pd.DataFrame:
    """Return a metric against what it cost: one row for each configuration and epoch.

    Of repeats, means over those that have all of it. A run that logged the metric without epochs
    has one row, at its end.

    Columns: label, strategy, workers, epoch, value, time_s, energy_kwh, emissions_kg, is_last.
    """
    rows = [row for run in runs for row in _course(run, metric)]
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows).astype(dict.fromkeys(_COURSE, "float64"))
    grouped = frame.groupby(["strategy", "workers", "epoch"], sort=True)
    means = grouped[list(_COURSE)].mean().reset_index()
    means["runs"] = grouped.size().to_numpy()
    known = means.dropna(subset=["value"]).copy()
    last = known.groupby(["strategy", "workers"])["epoch"].transform("max")
    known["is_last"] = known["epoch"] == last
    known["label"] = [
        wording.configuration(strategy, int(workers))
        for strategy, workers in zip(known["strategy"], known["workers"], strict=True)
    ]
    known["value_text"] = known["value"].map(wording.number)
    known["time_text"] = known["time_s"].map(wording.duration)
    known["energy_text"] = known["energy_kwh"].map(_energy_text)
    known["emissions_text"] = known["emissions_kg"].map(_mass_text)
    known["runs_text"] = known["runs"].map(lambda n: wording.count(int(n), "run"))
    return known


_COURSE = ("value", "time_s", "energy_kwh", "emissions_kg")


def _course(run: RunReport, metric: str) -> list[dict[str, object]]:
    named: dict[str, object] = {"strategy": run.strategy, "workers": run.world_size}
    found: list[dict[str, object]] = [
        named
        | {
            "epoch": milestone.index + 1,
            "value": milestone.value,
            "time_s": milestone.time_s,
            "energy_kwh": milestone.energy_kwh,
            "emissions_kg": milestone.emissions_kg,
        }
        for milestone in course(run, metric)
    ]
    if any(row["value"] is not None for row in found):
        return found
    value = run.metrics.get(metric)
    if value is None:
        return []
    whole = {
        "epoch": len(run.epochs),
        "value": value,
        "time_s": run.duration_s,
        "energy_kwh": run.energy_kwh,
        "emissions_kg": run.emissions_kg,
    }
    return [named | whole]


def _energy_text(energy_kwh: float) -> str:
    return wording.energy(None if pd.isna(energy_kwh) else energy_kwh)


def _mass_text(mass_kg: float) -> str:
    return wording.mass(None if pd.isna(mass_kg) else mass_kg)
