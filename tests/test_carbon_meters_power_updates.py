"""How often a board renews its power reading, from readings alone."""

import itertools
import random

import pytest

from carbon.meters.power_updates import (
    DEFAULT_INTERVAL_S,
    MAX_INTERVAL_S,
    MIN_INTERVAL_S,
    PowerUpdates,
)
from tests.nvml_sim.curve import SquareWave


def sampled(period_s: float, wave: SquareWave, noise_w: float, duration_s: float) -> PowerUpdates:
    """Sample a board that renews its reading every `period_s` as it is asked for."""
    values: dict[int, float] = {}
    random_ = random.Random(1)
    updates, t_s = PowerUpdates(0.0, 0.0), 0.0
    while t_s < duration_s:
        t_s += updates.interval_s + random_.expovariate(1 / 0.0003)
        tick = int(t_s / period_s)
        noise = values.setdefault(tick, random_.uniform(-noise_w, noise_w))
        updates.see(t_s, wave.power_w(tick * period_s) + noise)
    return updates


STEADY = SquareWave(100, 100, 1.0, 0.5)
BURSTS = SquareWave(60, 300, 0.7, 0.3)


@pytest.mark.parametrize("wave", [STEADY, BURSTS])
@pytest.mark.parametrize("period_s", [0.02, 0.025, 0.05, 0.1])
def test_the_period_is_found_in_the_noise(period_s: float, wave: SquareWave) -> None:
    updates = sampled(period_s, wave, 3.0, 5.0)
    assert updates.period_s == pytest.approx(period_s, rel=0.15)
    middle_s = min(max(period_s / 2, MIN_INTERVAL_S), MAX_INTERVAL_S)
    assert middle_s * 0.6 <= updates.interval_s <= middle_s * 1.4


def test_a_slow_board_is_not_asked_less_often_than_a_training_changes() -> None:
    assert sampled(0.4, STEADY, 3.0, 10.0).interval_s <= MAX_INTERVAL_S * 1.25


@pytest.mark.parametrize(
    "wave", [STEADY, BURSTS, SquareWave(60, 300, 0.2, 0.5), SquareWave(60, 300, 0.3, 0.3)]
)
def test_what_the_load_does_is_not_taken_for_the_board(wave: SquareWave) -> None:
    updates = sampled(1e-4, wave, 0.0, 5.0)
    assert updates.period_s is None
    assert updates.interval_s <= DEFAULT_INTERVAL_S * 1.25


def test_a_board_that_becomes_faster_is_sampled_faster() -> None:
    updates, values = PowerUpdates(0.0, 0.0), itertools.count()
    for tick in range(1, 30):
        updates.see(tick * 0.1, next(values))
    assert updates.period_s == pytest.approx(0.1)
    for tick in range(1, 30):
        updates.see(2.9 + tick * 0.02, next(values))
    assert updates.period_s == pytest.approx(0.02)


def test_samples_do_not_keep_step_with_a_load() -> None:
    updates = PowerUpdates(0.0, 100.0)
    intervals_s, t_s = [], 0.0
    for _ in range(300):
        t_s += updates.interval_s
        updates.see(t_s, 100.0)
        intervals_s.append(updates.interval_s)
    steady = intervals_s[-200:]
    assert sum(steady) / len(steady) == pytest.approx(DEFAULT_INTERVAL_S, rel=0.01)
    assert max(steady) - min(steady) > 0.4 * DEFAULT_INTERVAL_S
