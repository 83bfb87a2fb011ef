"""In words: what each speedup of a study cost in energy."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from carbon import wording
from carbon.schema import TradeoffPoint

SAID_AT_MOST = 3
NAMED_AT_MOST = 6


def baseline_name(point: TradeoffPoint) -> str:
    """Name the configuration that the point's speedup is over."""
    return wording.configuration(point.baseline_strategy, point.baseline_workers)


def warning(study: str, differences: Sequence[str]) -> str:
    """Say in what the runs of a study differ (see `Tradeoff.differences`), and what that spoils."""
    said = (
        f"The runs of {study} differ in {', '.join(differences)}, not only in strategy and "
        "workers: part of the difference below may come from that."
    )
    if {"place", "PUE"} & set(differences):
        said += " CO₂e then compares places as well."
    return said


def speedup_costs(points: Sequence[TradeoffPoint]) -> list[str]:
    """Say, a sentence each, what the configurations on the Pareto front gain and cost.

    Then name those that another one beats, those that the repeats cannot tell from a better one,
    and those without an energy. All points belong to one study.
    """
    others = sorted((p for p in points if not _is_baseline(p)), key=lambda p: p.speedup)
    if not others:
        return [
            f"Only {baseline_name(points[0])} has completed runs so far: run another strategy or "
            "number of workers under the same study to see what a speedup costs."
        ]
    said = [*_front(points), *_behind(others, points)]
    unmeasured = [p for p in points if p.energy_per_epoch_kwh is None]
    if unmeasured and len(unmeasured) < len(points):
        said.append(f"The energy of {_listed(unmeasured)} was not measured.")
    if not said:
        said = [_cost(point, points) for point in others[-SAID_AT_MOST:]]
        if more := len(others) - len(said):
            said.append(f"The table has {more} more.")
    return said


def _front(points: Sequence[TradeoffPoint]) -> list[str]:
    """Say what the points on the front cost, or, of many, those that matter most."""
    front = sorted((p for p in points if p.on_pareto_front), key=lambda p: p.speedup)
    others = [point for point in front if not _is_baseline(point)]
    if len(others) <= SAID_AT_MOST:
        return [_cost(point, points) for point in others]
    fastest = front[-1]
    thriftiest = min(front, key=lambda p: p.energy_per_epoch_kwh or 0.0)
    best = min(front, key=lambda p: (p.energy_per_epoch_kwh or 0.0) * p.epoch_s)
    roles = {"fastest": fastest, "least energy": thriftiest, "least energy × time": best}
    said = []
    for point in others:
        if names := [name for name, chosen in roles.items() if chosen is point]:
            said.append(f"{' and '.join(names).capitalize()} on the front: {_cost(point, points)}")
    more = len(others) - len(said)
    verb = "is" if more == 1 else "are"
    return [*said, f"{more} more {verb} on the front; the table has them all."]


def _behind(others: Iterable[TradeoffPoint], points: Sequence[TradeoffPoint]) -> list[str]:
    """Name what is behind the front: beyond doubt, by one run each, within the spread."""
    repeated, once = [], []
    alike: list[tuple[TradeoffPoint, TradeoffPoint]] = []
    for point in others:
        better = [p for p in points if _is_ahead(p, point)]
        if not better:
            continue
        beating = [p for p in better if not _within_spread(p, point)]
        if not beating:
            alike.append((max(better, key=lambda p: p.on_pareto_front), point))
        elif point.runs == 1 and all(p.runs == 1 for p in beating):
            once.append(point)
        else:
            repeated.append(point)
    said = [_beaten(repeated, "")] if repeated else []
    if once:
        said.append(_beaten(once, " (one run each)"))
    for _, pairs in groupby(sorted(alike, key=lambda p: _name(p[0])), lambda p: _name(p[0])):
        group = list(pairs)
        said.append(_indistinct([group[0][0], *(point for _, point in group)]))
    return said


def _beaten(points: Sequence[TradeoffPoint], note: str) -> str:
    verb = "is" if len(points) == 1 else "are"
    return (
        f"{_listed(points)} {verb} not worth it: another configuration is at least as fast for at "
        f"most the same energy{note}."
    )


def _indistinct(points: Sequence[TradeoffPoint]) -> str:
    if len(points) == 2:
        return f"{_listed(points)} differ by less than their repeats do."
    return f"{_listed(points[1:])} differ from {_name(points[0])} by less than their repeats do."


def _is_ahead(a: TradeoffPoint, b: TradeoffPoint) -> bool:
    """Whether the means of `a` are no worse than those of `b` and one is better."""
    if a.energy_per_epoch_kwh is None or b.energy_per_epoch_kwh is None:
        return False
    costs, other = (a.epoch_s, a.energy_per_epoch_kwh), (b.epoch_s, b.energy_per_epoch_kwh)
    return costs != other and costs[0] <= other[0] and costs[1] <= other[1]


def _within_spread(a: TradeoffPoint, b: TradeoffPoint) -> bool:
    """Whether both means differ by at most one combined standard deviation."""
    if a.energy_per_epoch_kwh is None or b.energy_per_epoch_kwh is None:
        return False
    spread_s = math.hypot(a.epoch_s_stdev or 0.0, b.epoch_s_stdev or 0.0)
    spread_kwh = math.hypot(
        a.energy_per_epoch_kwh_stdev or 0.0, b.energy_per_epoch_kwh_stdev or 0.0
    )
    return (
        max(spread_s, spread_kwh) > 0
        and abs(a.epoch_s - b.epoch_s) <= spread_s
        and abs(a.energy_per_epoch_kwh - b.energy_per_epoch_kwh) <= spread_kwh
    )


def _is_baseline(point: TradeoffPoint) -> bool:
    return (point.strategy, point.workers) == (point.baseline_strategy, point.baseline_workers)


def _cost(point: TradeoffPoint, points: Sequence[TradeoffPoint]) -> str:
    baseline = next((p for p in points if _is_baseline(p)), None)
    if baseline is not None and _within_spread(baseline, point):
        return _indistinct([baseline, point])
    name = _name(point)
    if point.speedup >= 1:
        pace = f"is {_times(point.speedup)} times as fast as {baseline_name(point)}"
    else:
        pace = f"takes {_times(1 / point.speedup)} times as long as {baseline_name(point)}"
    if point.energy_ratio is None:
        return f"{name} {pace}; what it drew was not measured."
    change = point.energy_ratio - 1
    spread = 0.0 if baseline is None else _ratio_stdev(point, baseline)
    energy = f"energy per {point.unit}"
    if 0 < abs(change) <= spread:
        return f"{name} {pace} for the same {energy}, as far as the spread of the repeats can tell."
    if abs(change) < 0.0005:
        return f"{name} {pace} and needs the same {energy}."
    if point.energy_ratio >= 10:
        return f"{name} {pace} and needs {_times(point.energy_ratio)} times the {energy}."
    more = "more" if change > 0 else "less"
    return f"{name} {pace} and needs {wording.percent(abs(change))} {more} {energy}."


def _ratio_stdev(point: TradeoffPoint, baseline: TradeoffPoint) -> float:
    """Return the standard deviation of the energy ratio, to first order; 0 without repeats."""
    relative = [
        (p.energy_per_epoch_kwh_stdev or 0.0) / p.energy_per_epoch_kwh
        for p in (point, baseline)
        if p.energy_per_epoch_kwh
    ]
    return (point.energy_ratio or 0.0) * math.hypot(*relative)


def _times(ratio: float) -> str:
    if ratio < 1.095:
        return f"{ratio:.2f}"
    if ratio < 9.95:
        return f"{ratio:.1f}"
    return f"{ratio:,.0f}" if ratio <= 1e6 else "more than a million"


def _name(point: TradeoffPoint) -> str:
    return wording.configuration(point.strategy, point.workers)


def _listed(points: Sequence[TradeoffPoint]) -> str:
    if len(points) > NAMED_AT_MOST:
        return wording.count(len(points), "configuration")
    names = [_name(point) for point in points]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
