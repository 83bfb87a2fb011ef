"""When a run drew its energy, and the mean intensity of that."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.analysis.hours import EVENLY, Profile, Stretch, stretches_of
from carbon.schema import NodeReport, RunReport, SeriesReport
from tests.factories import make_report

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
BY_HOUR = [float(10 * hour) for hour in range(24)]


def series(name: Any, values: list[float | None], interval_s: float = 1800.0) -> SeriesReport:
    device = "GPU-1" if name.startswith("gpu") else None
    return SeriesReport(
        name=name, unit="W", device_uuid=device, start_s=0.0, interval_s=interval_s, values=values
    )


def report(duration_s: float, *recorded: SeriesReport, **fields: Any) -> RunReport:
    return make_report(
        started_at=MIDNIGHT,
        ended_at=MIDNIGHT + timedelta(seconds=duration_s),
        duration_s=duration_s,
        nodes=[NodeReport(hostname="node-1", series=list(recorded))],
        **fields,
    )


def test_energy_is_divided_by_the_power_recorded_and_adds_up() -> None:
    run = report(
        5400.0,
        series("gpu_power", [100.0, None, 300.0]),
        series("ram_power", [9.0, 0.0, 0.0]),
        gpu_energy_kwh=4.0,
        cpu_energy_kwh=0.5,
        ram_energy_kwh=None,
    )
    stretches, method = stretches_of(run)
    assert [(each.from_s, each.until_s, each.energy_kwh) for each in stretches] == [
        (0.0, 1800.0, 1.0),
        (3600.0, 5400.0, 3.0),
        (0.0, 5400.0, 0.5),
    ]
    assert method == (
        "divided by the power recorded over time of gpu, that of cpu evenly over the run's duration"
    )


def test_the_last_stretch_ends_with_the_run() -> None:
    run = report(2000.0, series("gpu_power", [1.0, 1.0]), gpu_energy_kwh=1.0, cpu_energy_kwh=None)
    assert stretches_of(run)[0][1].until_s == 2000.0


def test_without_power_over_time_it_is_spread_evenly() -> None:
    stretches, method = stretches_of(report(7200.0, gpu_energy_kwh=1.0))
    assert {(each.from_s, each.until_s) for each in stretches} == {(0.0, 7200.0)}
    assert sum(each.energy_kwh for each in stretches) == pytest.approx(1.003)
    assert method == EVENLY


def test_the_mean_is_by_energy_and_each_day_the_same() -> None:
    profile = Profile.of_a_day(BY_HOUR, MIDNIGHT + timedelta(hours=13))
    stretches = [Stretch(0.0, 3600.0, 3.0), Stretch(3600.0, 10800.0, 1.0)]
    assert profile.mean(stretches, MIDNIGHT) == (3 * 0 + 15) / 4
    for days in (-400, -1, 1, 3000):
        began = MIDNIGHT + timedelta(days=days, hours=5)
        assert profile.mean(stretches, began) == (3 * 50 + 65) / 4
    assert profile.mean([Stretch(0.0, 86400.0 * 365, 1.0)], MIDNIGHT) == 115.0
    assert profile.mean([Stretch(0.0, 0.0, 1.0)], MIDNIGHT + timedelta(hours=23)) == 230.0
    assert profile.mean([Stretch(0.0, 7200.0, 0.0)], MIDNIGHT + timedelta(hours=23)) == 115.0


@given(
    hours=st.floats(-100, 100),
    stretches=st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(1, 1e5), st.floats(0.01, 10)), min_size=1, max_size=5
    ),
)
def test_a_profile_of_one_intensity_gives_it_for_anything(
    hours: float, stretches: list[tuple[float, float, float]]
) -> None:
    profile = Profile.of_a_day([77.7] * 24, MIDNIGHT)
    listed = [Stretch(start, start + length, energy) for start, length, energy in stretches]
    assert profile.mean(listed, MIDNIGHT + timedelta(hours=hours)) == pytest.approx(77.7)


def test_intensities_of_moments_must_tell_of_the_whole_run() -> None:
    moments = [(MIDNIGHT + timedelta(minutes=30 * i), 100.0 * i) for i in range(4)]
    profile = Profile.of_moments(moments)  # Until 2:30, an hour after the last.
    assert profile.mean([Stretch(0.0, 3600.0, 1.0)], MIDNIGHT) == 50.0
    later = profile.mean([Stretch(0.0, 5400.0, 1.0)], MIDNIGHT + timedelta(hours=1))
    assert later == pytest.approx((200.0 + 300.0 * 2) / 3)
    for began in (MIDNIGHT - timedelta(seconds=1), MIDNIGHT + timedelta(hours=1, seconds=1)):
        with pytest.raises(ValueError, match="are known from 2026-03-01T00:00:00"):
            profile.mean([Stretch(0.0, 5400.0, 1.0)], began)
