"""Series in bounded memory: whatever is added, the mean stays and the points do not multiply."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.schema import MAX_POINTS
from carbon.spool.series import PartSeries, RecordedSeries, Series

# Stretches one after the other: how long none was read before it, how long it lasts, its value.
stretches = st.lists(
    st.tuples(
        st.just(0.0) | st.floats(0, 50),
        st.floats(1e-3, 20),
        st.floats(-1e3, 1e3, allow_nan=False),
    ),
    min_size=1,
    max_size=120,
)


def filled(
    items: list[tuple[float, float, float]], max_points: int = 16
) -> tuple[Series, float, float, float]:
    """A series of these stretches; with it its end, what is covered, and the integral."""
    series = Series(3.0, 1.0, max_points)
    now_s, covered_s, integral = 3.0, 0.0, 0.0
    for gap_s, duration_s, value in items:
        begin_s = now_s + gap_s
        now_s = begin_s + duration_s
        series.add(begin_s, now_s, value)
        covered_s += now_s - begin_s
        integral += (now_s - begin_s) * value
    return series, now_s, covered_s, integral


@given(stretches)
def test_the_mean_over_all_time_is_kept_and_the_points_are_few(
    items: list[tuple[float, float, float]],
) -> None:
    series, end_s, covered_s, integral = filled(items)
    assert len(series) <= 16
    assert sum(series._covered_s) == pytest.approx(covered_s, rel=1e-9)
    assert sum(series._sums) == pytest.approx(integral, rel=1e-9, abs=1e-6 * covered_s)
    # The last stretch is the one that the end lies in, or the one that it closes.
    last_end_s = series.start_s + len(series.means()) * series.interval_s
    assert last_end_s >= end_s - 1e-6 * series.interval_s
    assert last_end_s <= end_s + series.interval_s * (1 + 1e-6)
    assert math.log2(series.interval_s).is_integer()


@given(stretches)
def test_widening_keeps_the_span_and_every_mean_within_its_neighbours(
    items: list[tuple[float, float, float]],
) -> None:
    series, *_ = filled(items)
    before, interval_s = series.means(), series.interval_s
    series.widen()
    after = series.means()
    assert series.interval_s == 2 * interval_s
    assert len(after) == -(-len(before) // 2)
    for position, mean in enumerate(after):
        pair = [v for v in before[2 * position : 2 * position + 2] if v is not None]
        if mean is None:
            assert not pair
        elif pair:
            assert min(pair) - 1e-6 <= mean <= max(pair) + 1e-6


@given(stretches, stretches)
def test_what_two_have_recorded_makes_one(
    one: list[tuple[float, float, float]], other: list[tuple[float, float, float]]
) -> None:
    first, _, _, first_integral = filled(one)
    second, _, _, second_integral = filled(other)
    shift_s = 1000.0
    joined = Series(3.0, max(first.interval_s, second.interval_s), 64)
    joined.add_all(second, shift_s)
    joined.add_all(first)
    assert len(joined) <= 64
    covered_s = sum(first._covered_s) + sum(second._covered_s)
    assert sum(joined._covered_s) == pytest.approx(covered_s, rel=1e-6)
    expected = first_integral + second_integral
    assert sum(joined._sums) == pytest.approx(expected, rel=1e-6, abs=1e-3 * covered_s)


def test_a_run_of_a_month_has_no_more_points_than_it_may() -> None:
    series = Series(0.0, 1.0)
    hours = 30 * 24
    for hour in range(hours):
        series.add(hour * 3600.0, (hour + 1) * 3600.0, float(hour))
    means = series.means()
    assert MAX_POINTS / 2 <= len(means) <= MAX_POINTS
    assert series.interval_s == 2048.0
    known = [mean for mean in means if mean is not None]
    assert len(known) == len(means)
    assert known == sorted(known)
    assert sum(series._sums) / sum(series._covered_s) == pytest.approx((hours - 1) / 2)


def test_a_stretch_across_two_points_counts_in_both_by_its_share() -> None:
    series = Series(0.0, 1.0)
    series.add(0.0, 0.5, 4.0)
    series.add(0.5, 1.25, 8.0)
    series.add(1.25, 2.0, 0.0)
    assert series.means() == [6.0, 2.0]


def test_what_nobody_read_is_unknown_not_zero() -> None:
    series = Series(0.0, 1.0)
    series.add(0.0, 1.0, 5.0)
    series.add(4.0, 5.0, 0.0)
    assert series.means() == [5.0, None, None, None, 0.0]


@pytest.mark.parametrize(
    ("from_s", "until_s"), [(5.0, 5.0), (6.0, 5.0), (0.0, 2.0), (math.nan, 3.0), (3.0, math.nan)]
)
def test_a_stretch_that_is_none_adds_nothing(from_s: float, until_s: float) -> None:
    series = Series(2.0, 1.0)
    series.add(from_s, until_s, 1.0)
    assert series.means() == []
    assert series.report("ram_used", None) is None


def test_values_are_rounded_in_the_report_and_not_before() -> None:
    series = Series(0.1234567891234, 1.0)
    series.add(1.0, 2.0, 123.456789)
    report = series.report("gpu_power", "GPU-0")
    assert report is not None
    assert (report.unit, report.start_s, report.interval_s) == ("W", 0.123456789, 1.0)
    assert report.values == [123.5, 123.5]
    memory = series.report("gpu_memory", "GPU-0")
    assert memory is not None
    assert memory.values[0] == 123.457


@given(stretches)
def test_a_part_is_read_back_from_its_file(items: list[tuple[float, float, float]]) -> None:
    series, *_ = filled(items)
    part = PartSeries(
        "node-1",
        2,
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        [RecordedSeries("gpu_power", "GPU-0", series), RecordedSeries("ram_used", None, series)],
    )
    read = PartSeries.from_bytes(part.to_bytes())
    assert (read.hostname, read.attempt, read.started_at) == ("node-1", 2, part.started_at)
    assert [(one.name, one.device_uuid) for one in read.recorded] == [
        ("gpu_power", "GPU-0"),
        ("ram_used", None),
    ]
    for one in read.recorded:
        assert (one.series.start_s, one.series.interval_s) == (series.start_s, series.interval_s)
        assert one.series.packed() == series.packed()


def in_bytes(*, rest: bytes | None = None, **changes: Any) -> bytes:
    """The file of a part with one series of one point, with changes to it."""
    series = Series(0.0, 1.0)
    series.add(0.0, 1.0, 5.0)
    sound = PartSeries(
        "node-1", 0, datetime(2026, 3, 1, tzinfo=UTC), [RecordedSeries("ram_used", None, series)]
    ).to_bytes()
    line, _, points = sound.partition(b"\n")
    heading = json.loads(line)
    for key, value in changes.items():
        (heading if key in heading else heading["recorded"][0])[key] = value
    return json.dumps(heading).encode() + b"\n" + (points if rest is None else rest)


def test_what_is_changed_below_is_sound_before() -> None:
    assert len(PartSeries.from_bytes(in_bytes()).recorded) == 1


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b'{"hostname": "no',
        b"\xff\xfe",
        in_bytes(recorded=3),
        in_bytes(started_at="noon"),
        in_bytes(started_at=7),
        in_bytes(name="gpu_smell"),
        in_bytes(interval_s=0),
        in_bytes(bytes=8),
        in_bytes(bytes="8"),
        in_bytes(rest=b""),
        in_bytes(rest=bytes(8)),
        in_bytes(rest=bytes(24)),
        in_bytes(rest=bytes(16 * 2001 * 2), bytes=16 * 2001 * 2),
    ],
)
def test_what_is_no_part_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        PartSeries.from_bytes(broken)
