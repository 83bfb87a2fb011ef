"""In which order a study's runs are made."""

import random
from collections.abc import Collection
from dataclasses import dataclass

from carbon.study.spec import StudySpec


@dataclass(frozen=True, order=True)
class Configuration:
    """A strategy on a number of workers."""

    strategy: str
    workers: int

    def __str__(self) -> str:
        return f"{self.strategy} x{self.workers}"


@dataclass(frozen=True)
class PlannedRun:
    """One repeat of a configuration, counted from 1."""

    configuration: Configuration
    repeat: int

    @property
    def key(self) -> str:
        """What names it in the study's folder."""
        return f"{self.configuration.strategy}-x{self.configuration.workers}-r{self.repeat}"

    @property
    def name(self) -> str:
        """What it is called in the ledger."""
        return f"{self.configuration}, repeat {self.repeat}"


def configurations(spec: StudySpec) -> list[Configuration]:
    """Return a study's configurations: `single` is of one worker, and of no other number."""
    return [
        Configuration(strategy, workers)
        for strategy in spec.strategies
        for workers in spec.workers
        if strategy != "single" or workers == 1
    ]


def left_out(spec: StudySpec) -> list[Configuration]:
    """Return what is asked for and makes no sense."""
    some = set(configurations(spec))
    asked = [Configuration(s, w) for s in spec.strategies for w in spec.workers]
    return [each for each in asked if each not in some]


def plan(spec: StudySpec, planned: Collection[PlannedRun] = ()) -> list[PlannedRun]:
    """Return the runs that are not planned yet, in randomised blocks.

    A block is one repeat of every configuration, in an order drawn anew, so that what changes
    slowly on the machine, its temperature or its neighbours, falls on all configurations alike:
    Fisher, The Design of Experiments, 1935, chapter IV.
    """
    drawn = random.Random(f"{spec.seed}/{len(planned)}")
    runs = []
    for repeat in range(1, spec.repeats + 1):
        block = [PlannedRun(each, repeat) for each in configurations(spec)]
        drawn.shuffle(block)
        runs += [run for run in block if run not in planned]
    return runs
