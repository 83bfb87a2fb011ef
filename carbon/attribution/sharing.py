"""How runs that overlap on one host divide what it draws, so that they add up to it.

A GPU that several runs hold is divided equally among them. Of the CPU's energy, the part of the
time in which the runs kept its cores busy goes to them by their CPU time, and of the RAM's the part
of the memory that they hold by what they hold; the rest, idle or used by processes that nobody
tracks, is divided equally. Every run works this out for itself from the same cards, so that the
shares of a moment add up to one.
"""

import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from carbon.attribution.neighbours import Card, Usage
from carbon.attribution.process_tree import total_memory_b
from carbon.schema import Component


@dataclass(frozen=True)
class Capacity:
    """What the host has to divide."""

    cores: int
    memory_b: int


def capacity() -> Capacity:
    """Return this host's."""
    return Capacity(os.cpu_count() or 1, total_memory_b())


@dataclass(frozen=True)
class Share:
    """The fraction of a meter's energy, 0 to 1, that one of `runs` takes between two moments."""

    from_s: float
    until_s: float
    fraction: float
    runs: int


@dataclass(frozen=True)
class _Presence:
    """When a run held what is to be divided, and what it used."""

    run_id: str
    from_s: float
    until_s: float
    usages: Sequence[Usage]


def divide(
    cards: Sequence[Card],
    run_id: str,
    key: str,
    component: Component,
    host: Capacity,
    between_s: tuple[float, float],
) -> list[Share]:
    """Return the shares of one run in what it measures under `key`, where it is not alone.

    Args:
        cards: of all processes on the host, the run's own among them.
        run_id: whose shares.
        key: the name of the claim: a GPU's, or the host's.
        component: what the meter measures.
        host: what there is to divide.
        between_s: the stretch of time, in moments of the monotonic clock.
    """
    present = _present(cards, key)
    begin_s, end_s = between_s
    edges = {begin_s, end_s}
    for one in present:
        edges |= {one.from_s, one.until_s, *(usage.at_s for usage in one.usages)}
    shares = []
    for from_s, until_s in pairwise(sorted(e for e in edges if begin_s <= e <= end_s)):
        here = [one for one in present if one.from_s <= from_s and one.until_s >= until_s]
        runs = sorted({one.run_id for one in here})
        if run_id not in runs or len(runs) < 2:
            continue
        used = [_used(here, run, component, from_s, until_s, host) for run in runs]
        mine = _fraction(used, runs.index(run_id))
        shares.append(Share(from_s, until_s, mine, len(runs)))
    return shares


def known_until_s(cards: Sequence[Card], key: str, now_s: float, patience_s: float) -> float:
    """Return the moment up to which every run that holds `key` has said what it used.

    A run that has been silent for `patience_s` is not waited for.
    """
    moments = [
        one.usages[-1].at_s if len(one.usages) > 1 else one.from_s
        for one in _present(cards, key)
        if one.until_s > now_s
    ]
    return max(min(moments, default=now_s), now_s - patience_s)


def _present(cards: Sequence[Card], key: str) -> list[_Presence]:
    return [
        _Presence(
            card.run_id,
            card.keys[key],
            float("inf") if card.left_s is None else card.left_s,
            card.usages,
        )
        for card in cards
        if key in card.keys
    ]


def _used(
    here: Sequence[_Presence],
    run_id: str,
    component: Component,
    from_s: float,
    until_s: float,
    host: Capacity,
) -> float | None:
    """Return which fraction of the host a run used, or None where it has not said."""
    if component == "gpu":
        return 0.0  # Who kept it how busy cannot be told, so that all of it is divided equally.
    for one in here:
        if one.run_id != run_id or len(one.usages) < 2:
            continue
        if component == "ram":
            middle_s = (from_s + until_s) / 2
            return _near(one.usages, middle_s).memory_b / host.memory_b
        cpu_s = _cpu_s(one.usages, until_s) - _cpu_s(one.usages, from_s)
        return max(cpu_s, 0.0) / (host.cores * (until_s - from_s))
    return None


def _fraction(used: Sequence[float | None], mine: int) -> float:
    known = [fraction for fraction in used if fraction is not None]
    if len(known) < len(used):
        return 1 / len(used)  # Somebody has not said: equally.
    total = sum(known)
    scale = 1 / total if total > 1 else 1.0
    return known[mine] * scale + max(1 - total * scale, 0.0) / len(known)


def _near(usages: Sequence[Usage], at_s: float) -> Usage:
    return min(usages, key=lambda usage: abs(usage.at_s - at_s))


def _cpu_s(usages: Sequence[Usage], at_s: float) -> float:
    """Return the CPU time at a moment: linear between two usages, and on beyond the outermost."""
    after = bisect_left([usage.at_s for usage in usages], at_s)
    after = min(max(after, 1), len(usages) - 1)
    one, other = usages[after - 1], usages[after]
    rate = (other.cpu_s - one.cpu_s) / (other.at_s - one.at_s)
    return one.cpu_s + rate * (at_s - one.at_s)
