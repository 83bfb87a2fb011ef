"""Middles and spreads."""

import random
import statistics

import pytest

from benchmarks.summary import Summary, median_interval, percentile, spread


def test_a_spread_is_the_median_between_the_extremes_in_the_unit_asked_for() -> None:
    assert spread([0.003, 0.001, 0.010], 1000.0) == Summary(3.0, 1.0, 10.0, 3)


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (50, 2.5), (95, 3.85), (100, 4.0), (25, 1.75)]
)
def test_percentiles_are_linear_between_the_nearest_values(percent: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(expected)


def test_one_value_is_every_percentile_of_itself() -> None:
    assert percentile([7.0], 95) == 7.0


def test_the_interval_of_a_median_covers_it_about_as_often_as_it_says() -> None:
    draw = random.Random(1)
    covered = 0
    for _ in range(60):
        interval = median_interval([draw.gauss(5, 1) for _ in range(25)])
        covered += interval.low <= 5 <= interval.high
    assert 50 <= covered <= 60  # 95 % of 60 is 57


def test_the_interval_narrows_with_more_values_and_is_reproducible() -> None:
    draw = random.Random(2)
    values = [draw.gauss(0, 1) for _ in range(400)]
    few, many = median_interval(values[:20]), median_interval(values)
    assert many.high - many.low < few.high - few.low
    assert many == median_interval(values)
    assert many.value == statistics.median(values)
