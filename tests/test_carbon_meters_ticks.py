"""The ticks of a counter, from looks at known moments."""

import pytest

from carbon.meters.base import Reading
from carbon.meters.ticks import DEFAULT_PERIOD_S, LEARNING_LOOKS, LEARNING_S, Ticks
from carbon.tracking.curve import Curve

POWER_W = 200.0


def shown_j(t_s: float, period_s: float, phase_s: float = 0.0) -> float:
    """What a counter of a steady load shows: what had been drawn by its last tick, as if whole."""
    return POWER_W * (round((t_s - phase_s) // period_s * period_s + phase_s, 9))


def watched(
    period_s: float, interval_s: float, *, phase_s: float = 0.0, until_s: float = 1.0
) -> tuple[Ticks, list[Reading]]:
    """Look every `interval_s` for as long as the ticks want it."""
    ticks = Ticks(0.0, shown_j(0.0, period_s, phase_s))
    readings = []
    count = 0
    while ticks.is_following and count * interval_s < until_s:
        count += 1
        t_s = count * interval_s
        readings.append(ticks.see(t_s, shown_j(t_s, period_s, phase_s)))
    return ticks, readings


def points(readings: list[Reading]) -> list[Reading]:
    return [p for r in readings for p in (*r.earlier, r) if p.is_final]


@pytest.mark.parametrize("phase_s", [0.001, 0.007, 0.0131, 0.0199])
@pytest.mark.parametrize("interval_s", [0.001, 0.0021, 0.0047])
@pytest.mark.parametrize("period_s", [0.02, 0.05, 0.1])
def test_a_counter_is_exact_at_its_ticks(
    period_s: float, interval_s: float, phase_s: float
) -> None:
    ticks, readings = watched(period_s, interval_s, phase_s=phase_s)
    assert not ticks.is_following
    assert ticks.seen_s <= 0.35
    assert ticks.period_s == pytest.approx(period_s, rel=0.06)
    found = points(readings)
    assert len(found) >= 3
    assert found[0].at_s <= interval_s
    assert found[1].at_s > 0.0
    for point in found:
        late_s = interval_s + 0.05 * period_s
        assert point.energy_j == pytest.approx(POWER_W * point.at_s, abs=POWER_W * late_s)


def test_a_counter_that_moved_at_every_look_is_not_taken_for_one_of_the_longest_steps() -> None:
    """On a busy machine looks come so unevenly that no period is found."""
    ticks = Ticks(0.0, 0.0)
    readings, t_s, count = [], 0.0, 0
    while ticks.is_following:
        count += 1
        t_s += 0.002 if count % 2 else 0.009
        readings.append(ticks.see(t_s, POWER_W * t_s))
    assert ticks.period_s <= 0.012
    assert all(p.energy_j == pytest.approx(POWER_W * p.at_s, abs=2) for p in points(readings))


def test_nothing_is_final_until_the_ticks_are_known() -> None:
    ticks = Ticks(0.0, 0.0)
    for count in range(1, 40):
        assert not ticks.see(count * 0.002, 0.0).is_final
        assert ticks.is_following


def test_a_counter_that_does_not_move_is_given_up() -> None:
    ticks = Ticks(10.0, 5.0)
    for count in range(1, LEARNING_LOOKS + 1):
        assert ticks.is_following
        reading = ticks.see(10.001 + LEARNING_S * count / LEARNING_LOOKS, 5.0)
    assert not ticks.is_following
    assert ticks.period_s == DEFAULT_PERIOD_S
    assert reading.is_final
    assert [p.energy_j for p in (*reading.earlier, reading)] == [5.0, 5.0]


def test_on_a_busy_machine_it_is_looked_for_longer() -> None:
    ticks, t_s = Ticks(0.0, shown_j(0.0, 0.1, 0.05)), 0.0
    while ticks.is_following and t_s < 3 * LEARNING_S:
        t_s += 0.045
        ticks.see(t_s, shown_j(t_s, 0.1, 0.05))
    assert ticks.period_s == pytest.approx(0.1, rel=0.1)
    assert t_s > LEARNING_S


def test_a_gap_that_hides_ticks_does_not_tell_the_period() -> None:
    ticks = Ticks(0.0, 0.0)
    moments = [*(i * 0.002 for i in range(1, 30)), 0.35]  # A tick at 0.05 and three in the gap.
    moments += [0.35 + i * 0.002 for i in range(1, 120)]
    for t_s in moments:
        if ticks.is_following:
            ticks.see(t_s, shown_j(t_s, 0.1, 0.05))
    assert ticks.period_s == pytest.approx(0.1, rel=0.06)


def test_the_tick_after_a_moment_is_found_when_asked_for() -> None:
    ticks, readings = watched(0.1, 0.002, phase_s=0.03)
    assert ticks.see(5.0, shown_j(5.0, 0.1, 0.03)).at_s == pytest.approx(4.95, abs=0.01)
    ticks.follow(7.0)
    t_s = 7.0005
    first = ticks.see(t_s, shown_j(t_s, 0.1, 0.03))
    assert not first.is_final
    while ticks.is_following:
        t_s += 0.004
        readings.append(ticks.see(t_s, shown_j(t_s, 0.1, 0.03)))
    assert readings[-1].is_final
    assert readings[-1].at_s == pytest.approx(7.03, abs=0.0025)
    assert readings[-1].earlier[0].at_s == pytest.approx(6.93, abs=0.01)


def test_a_tick_that_does_not_come_is_given_up() -> None:
    ticks, _ = watched(0.1, 0.002)
    ticks.follow(5.0)
    t_s = 5.0
    while ticks.is_following:
        t_s += 0.004
        last = ticks.see(t_s, 1e6)
    assert last.is_final
    assert t_s < 5.2


def test_asked_while_learning_it_goes_on_to_the_moment() -> None:
    ticks = Ticks(0.0, 0.0)
    t_s = 0.0
    ticks.follow(0.31)
    while ticks.is_following:
        t_s += 0.002
        last = ticks.see(t_s, shown_j(t_s, 0.05))
    assert 0.31 < last.at_s < 0.37


def test_a_restart_ends_the_search_and_keeps_what_was_seen() -> None:
    ticks = Ticks(0.0, 100.0)
    ticks.see(0.002, 100.0)
    reading = ticks.see(0.004, 103.0, is_whole=False)
    assert not ticks.is_following
    assert reading.is_final
    assert reading.energy_j == 103.0
    assert reading.earlier[0].energy_j == 100.0


@pytest.mark.parametrize("silent_s", [0.002, 0.15, 0.9])
def test_a_counter_that_falls_silent_keeps_what_it_had_shown(silent_s: float) -> None:
    ticks = Ticks(0.0, 0.0)
    curve = Curve()
    t_s = 0.0
    while t_s < silent_s:
        t_s += 0.002
        curve.append(ticks.see(t_s, shown_j(t_s, 0.05)))
    curve.append(ticks.stand_still(t_s + 1))
    curve.append(ticks.stand_still(t_s + 2))
    assert not ticks.is_following
    end_j, start_j = curve.at(t_s + 2), curve.at(0.0)
    assert end_j is not None
    assert start_j is not None
    assert end_j - start_j == pytest.approx(shown_j(t_s, 0.05), abs=POWER_W * 0.051)
