"""Metered energy against the true integral: 19 runs of 20 within the bar, at any phase of the load,
of the counter's steps and of the power's updates. In simulated time, so that the numbers stand."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.nvml import MakeGpus
from tests.nvml_sim.curve import SquareWave
from tests.nvml_sim.gpus import NOT_SUPPORTED
from tests.nvml_sim.schedule import SimulatedRun

RUNS = 48
NO_COUNTER = {"energy_error": NOT_SUPPORTED}
AVERAGED = NO_COUNTER | {"has_instant_power": False, "power_average_s": 1.0}


def random_waves(random_: random.Random, count: int) -> list[SquareWave]:
    return [
        SquareWave(base_w=60, peak_w=300, period_s=0.7, duty=0.3, phase_s=random_.uniform(0, 0.7))
        for _ in range(count)
    ]


def runs(
    make: MakeGpus, spool_dir: Path, count: int, fields: dict[str, Any]
) -> Iterator[SimulatedRun]:
    """Runs of `count` GPUs each, `RUNS` GPUs in all or a little more."""
    for seed in range(-(-RUNS // count)):
        random_ = random.Random(seed)
        gpus = make(count, waves=random_waves(random_, count), **fields)
        for index in range(count):
            gpus.change(
                index,
                counter_phase_ms=random_.uniform(0, 100),
                power_phase_ms=random_.uniform(0, 100),
            )
        gpus.freeze()
        yield SimulatedRun(gpus, spool_dir, seed=seed)


def errors(
    make: MakeGpus, spool_dir: Path, count: int, fields: dict[str, Any], duration_s: float
) -> list[float]:
    """The relative errors of all GPUs of all runs."""
    found = []
    for run in runs(make, spool_dir, count, fields):
        run.go_on(duration_s)
        end_s = run.gpus.clock()
        for index, energy_j in enumerate(run.end()):
            found.append(energy_j / run.gpus.energy_j(index, run.began_s, end_s) - 1)
    return found


def share_within(bar: float, values: list[float]) -> float:
    return sum(abs(value) <= bar for value in values) / len(values)


@pytest.mark.parametrize(("duration_s", "bar"), [(5, 0.01), (60, 0.001)])
@pytest.mark.parametrize("counter_step_ms", [0, 20, 50, 100])
@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_a_counter_in_steps(
    simulated_gpus_here: MakeGpus,
    tmp_path: Path,
    count: int,
    counter_step_ms: float,
    duration_s: float,
    bar: float,
) -> None:
    fields = {"counter_step_ms": counter_step_ms}
    found = errors(simulated_gpus_here, tmp_path, count, fields, duration_s)
    assert share_within(bar, found) >= 19 / 20
    assert abs(sum(found) / len(found)) < bar / 4, "no bias"


@pytest.mark.parametrize(
    ("fields", "bar"),
    [
        (NO_COUNTER, 0.02),
        (NO_COUNTER | {"has_instant_power": False}, 0.02),
        (AVERAGED | {"name": "NVIDIA H100", "architecture": 9}, 0.03),
        (AVERAGED | {"name": "NVIDIA A40", "power_step_ms": 20}, 0.03),
    ],
    ids=["instant", "before Ampere", "averaged", "averaged in steps"],
)
@pytest.mark.parametrize("count", [1, 16])
def test_power_without_a_counter(
    simulated_gpus_here: MakeGpus, tmp_path: Path, count: int, fields: dict[str, Any], bar: float
) -> None:
    found = errors(simulated_gpus_here, tmp_path, count, fields, 10)
    assert share_within(bar, found) >= 19 / 20
    assert abs(sum(found) / len(found)) < bar / 4, "no bias"


@pytest.mark.parametrize("fields", [{"counter_step_ms": 100}, NO_COUNTER, AVERAGED])
def test_epochs_tile_their_run(
    simulated_gpus_here: MakeGpus, tmp_path: Path, fields: dict[str, Any]
) -> None:
    run = next(runs(simulated_gpus_here, tmp_path, 3, fields))
    edges_s = [run.began_s]
    for duration_s in (0.05, 2.0, 0.3, 4.0, 0.01, 1.2):
        run.go_on(duration_s)
        edges_s.append(run.edge())
    energies_j = run.end()
    metering = run.metering
    epochs_j = [metering.energy_j(a, b) for a, b in itertools.pairwise(edges_s)]
    assert None not in epochs_j
    assert sum(e or 0 for e in epochs_j) == pytest.approx(sum(energies_j), rel=1e-9)


def test_an_epoch_of_seconds_is_exact_too(simulated_gpus_here: MakeGpus, tmp_path: Path) -> None:
    found = []
    for run in runs(simulated_gpus_here, tmp_path, 2, {"counter_step_ms": 100}):
        run.go_on(60.3)
        begin_s = run.edge()
        run.go_on(5)
        end_s = run.edge()
        run.go_on(3)
        run.end()
        for index, window in enumerate(run.metering.windows.values()):
            true_j = run.gpus.energy_j(index, begin_s, end_s)
            found.append((window.energy_j(begin_s, end_s) or 0) / true_j - 1)
    assert share_within(0.01, found) >= 19 / 20


def test_a_run_goes_on_cheaply_once_the_ticks_are_known(
    simulated_gpus_here: MakeGpus, tmp_path: Path
) -> None:
    run = next(runs(simulated_gpus_here, tmp_path, 8, {"counter_step_ms": 100}))
    run.go_on(1)
    assert 50 < run.wake_ups <= 300
    before = run.wake_ups
    run.go_on(30)
    assert run.wake_ups - before <= 31
    before = run.wake_ups
    run.end()
    assert run.wake_ups - before <= 40, "no longer than a period"


def test_a_driver_that_answers_slowly_is_left_in_peace(
    simulated_gpus_here: MakeGpus, tmp_path: Path
) -> None:
    run = next(runs(simulated_gpus_here, tmp_path, 2, {"counter_step_ms": 100}))
    metering, gpus = run.metering, run.gpus
    for window in metering.windows.values():
        meter = window.meter
        answer = meter.read

        def read_slowly(answer: Any = answer) -> Any:
            gpus.skip(0.010)
            return answer()

        meter.read = read_slowly  # type: ignore[method-assign]
    gpus.skip(0.002)
    metering.poll()
    assert metering.next_poll_s() >= gpus.clock() + 0.019
