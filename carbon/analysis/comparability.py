"""Which runs can be compared: in what they differ that they were not meant to differ in.

Runs of a study may differ in strategy and workers, which it is there to vary, and in the seed,
which its repeats vary. A difference in anything else may be what is seen in times and energies.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from carbon.analysis.run_means import SAMPLES_PER_EPOCH
from carbon.schema import RunReport

VARIED_ON_PURPOSE = frozenset({"strategy", "workers", "world_size", "seed"})
"""What a scaling study is there to vary, so that it tells nothing against it."""

GROWING_WITH_WORKERS = frozenset({SAMPLES_PER_EPOCH, "global_batch_size"})
"""What weak scaling gives every worker as much of; in proportion to the workers it is on
purpose."""

OF_ONE_STRATEGY = frozenset({"zero_stage"})
"""Settings that other strategies do not have: compared among the runs that have them."""

_COMPARED_SOFTWARE = ("python", "torch", "cuda")
_ABSENT = object()

_Look = Callable[[RunReport], Hashable]


@dataclass(frozen=True)
class Comparison:
    """Runs to draw beside each other.

    Attributes:
        runs: those that are compared.
        left_out: those that differ from them, and have to be asked for.
        differences: in what the runs that are compared differ; empty but where that was asked for.
        left_out_for: in what the runs differ, all together; empty where none is left out.
    """

    runs: Sequence[RunReport]
    left_out: Sequence[RunReport]
    differences: Sequence[str]
    left_out_for: Sequence[str]


def differences(runs: Sequence[RunReport]) -> list[str]:
    """Name in what runs differ besides what a study varies.

    Returns:
        "config KEY" and "tag KEY" by key, then any of "epochs", "place", "PUE", "CPU model", "GPU
        model" and "software NAME". Not having a key or a GPU is a value of its own; settings of one
        strategy and software are compared among the runs that name them.
    """
    looks = _looks(runs)
    return [name for name, look in looks.items() if len({look(run) for run in runs}) > 1]


def comparable_groups(runs: Sequence[RunReport]) -> list[list[RunReport]]:
    """Divide runs into groups without differences, each in the order given.

    The group of the most configurations (strategy and workers) is first; of as many, that of the
    most runs, and then that with the newest run.
    """
    looks = _looks(runs)
    growing = {f"config {key}" for key in GROWING_WITH_WORKERS}
    # Whether something grows with the workers can be told among runs alike otherwise.
    alike = _divided(runs, [look for name, look in looks.items() if name not in growing])
    groups = [part for group in alike for part in _divided(group, _looks(group).values())]
    return sorted(groups, key=_size, reverse=True)


def compare(runs: Sequence[RunReport], *, across: bool = False) -> Comparison:
    """Choose the runs to compare: those of the first of `comparable_groups`.

    Args:
        runs: of one study.
        across: compare all of them, whatever they differ in; the differences are named.
    """
    if across:
        return Comparison(runs, [], differences(runs), [])
    groups = comparable_groups(runs)
    if not groups:
        return Comparison([], [], [], [])
    left_out = [run for group in groups[1:] for run in group]
    return Comparison(groups[0], left_out, [], differences(runs) if left_out else [])


def _looks(runs: Sequence[RunReport]) -> dict[str, _Look]:
    """Return what is compared of these runs, by its name."""
    looks: dict[str, _Look] = {}
    for key in sorted({key for run in runs for key in run.config} - VARIED_ON_PURPOSE):
        if key in OF_ONE_STRATEGY:
            looks[f"config {key}"] = _own_setting(runs, key)
        elif key not in GROWING_WITH_WORKERS or not _is_in_proportion(runs, key):
            looks[f"config {key}"] = _config(key)
    for tag in sorted({tag for run in runs for tag in run.tags} - VARIED_ON_PURPOSE):
        looks[f"tag {tag}"] = _tag(tag)
    looks |= {
        # By the last one's number: a run that goes on from a checkpoint has not got the first ones.
        "epochs": lambda run: max((epoch.index for epoch in run.epochs), default=None),
        "place": lambda run: (run.country_iso_code, run.region, run.intensity_g_per_kwh),
        "PUE": lambda run: run.pue,
        "CPU model": lambda run: frozenset(n.cpu_model for n in run.nodes if n.cpu_model),
        "GPU model": lambda run: frozenset(d.name for n in run.nodes for d in n.devices),
    }
    # A run names the software that it has loaded, and not all load the same.
    for name in _COMPARED_SOFTWARE:
        instead = _commonest(run.software.get(name) for run in runs)
        looks[f"software {name}"] = _software(name, instead)
    return looks


def _config(key: str) -> _Look:
    return lambda run: run.config.get(key, _ABSENT)


def _own_setting(runs: Sequence[RunReport], key: str) -> _Look:
    instead = _commonest(run.config.get(key) for run in runs)
    return lambda run: instead if run.config.get(key) is None else run.config[key]


def _tag(tag: str) -> _Look:
    return lambda run: run.tags.get(tag, _ABSENT)


def _software(name: str, instead: Hashable) -> _Look:
    return lambda run: run.software.get(name, instead)


def _commonest(values: Iterable[Hashable]) -> Hashable:
    """Return what those without a value are taken to have; of as many, the last in order."""
    counts = Counter(value for value in values if value is not None)
    return max(counts, key=lambda value: (counts[value], str(value)), default=None)


def _is_in_proportion(runs: Sequence[RunReport], key: str) -> bool:
    each = []
    for run in runs:
        value = run.config.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        each.append(value / run.world_size)
    return all(math.isclose(value, each[0], rel_tol=1e-9) for value in each)


def _divided(runs: Iterable[RunReport], looks: Iterable[_Look]) -> list[list[RunReport]]:
    """Divide runs by all that is looked at."""
    looks = list(looks)
    parts: dict[Hashable, list[RunReport]] = defaultdict(list)
    for run in runs:
        parts[tuple(look(run) for look in looks)].append(run)
    return list(parts.values())


def _size(group: Sequence[RunReport]) -> tuple[int, int, datetime]:
    configurations = {(run.strategy, run.world_size) for run in group}
    return len(configurations), len(group), max(run.started_at for run in group)
