"""The curve of a meter: windows are differences of it."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.meters.base import Reading
from carbon.tracking.curve import EDGE_SPAN_S, Curve

STEPS = st.lists(
    st.tuples(
        st.floats(min_value=1e-3, max_value=60, allow_nan=False),
        st.floats(min_value=0, max_value=1e5, allow_nan=False),
    ),
    min_size=2,
    max_size=40,
)
MOMENTS = st.lists(st.floats(min_value=-100, max_value=3000, allow_nan=False), min_size=2)


def curve_of(*readings: tuple[float, float]) -> Curve:
    curve = Curve()
    for at_s, energy_j in readings:
        curve.append(Reading(at_s, energy_j))
    return curve


def curve_of_steps(steps: list[tuple[float, float]]) -> Curve:
    """A curve from the durations and energies of its intervals."""
    times = itertools.accumulate(duration_s for duration_s, _ in steps)
    energies = itertools.accumulate(energy_j for _, energy_j in steps)
    return curve_of(*zip(times, energies, strict=True))


def known(curve: Curve, t_s: float) -> float:
    energy_j = curve.at(t_s)
    assert energy_j is not None
    return energy_j


@pytest.mark.parametrize("readings", [[], [(5.0, 100.0)], [(5.0, 100.0), (5.0, 100.0)]])
@pytest.mark.parametrize("t_s", [0.0, 5.0, 9.0])
def test_fewer_than_two_readings_tell_nothing(
    readings: list[tuple[float, float]], t_s: float
) -> None:
    assert curve_of(*readings).at(t_s) is None


@pytest.mark.parametrize(
    ("t_s", "energy_j"),
    [
        (10.0, 0.0),
        (11.0, 50.0),
        (12.0, 100.0),
        (13.0, 400.0),
        (14.0, 700.0),
        (9.0, -50.0),
        (8.0, -100.0),
        (15.0, 1000.0),
        (16.0, 1300.0),
    ],
    ids=lambda value: str(value),
)
def test_straight_between_readings_and_beyond_them(t_s: float, energy_j: float) -> None:
    curve = curve_of((10.0, 0.0), (12.0, 100.0), (14.0, 700.0))
    assert curve.at(t_s) == pytest.approx(energy_j)


@pytest.mark.parametrize(("t_s", "energy_j"), [(9.0, -100.0), (14.0, 400.0)])
def test_beyond_the_readings_power_is_the_mean_of_a_second(t_s: float, energy_j: float) -> None:
    # 100 W, told by a counter that moves by 10 J every 0.1 s and was read across a step.
    curve = curve_of((10.0, 0.0), (10.001, 10.0), (11.0, 100.0), (13.0, 300.0), (13.001, 310.0))
    assert curve.at(t_s) == pytest.approx(energy_j, abs=20)


def test_a_device_that_draws_nothing_any_more_draws_nothing_later() -> None:
    curve = curve_of((0.0, 0.0), (1.0, 100.0), (1.0 + EDGE_SPAN_S, 100.0))
    assert curve.at(50.0) == 100.0


@pytest.mark.parametrize("at_s", [2.0, 1.5])
def test_a_reading_that_is_not_later_is_dropped(at_s: float) -> None:
    curve = curve_of((0.0, 0.0), (2.0, 20.0))
    curve.append(Reading(at_s, 1e9))
    assert curve.end_s == 2.0
    assert curve.at(2.0) == 20.0


def test_end_is_the_last_reading() -> None:
    assert Curve().end_s is None
    assert curve_of((1.0, 0.0), (4.0, 2.0)).end_s == 4.0


@given(STEPS, MOMENTS)
def test_never_goes_backwards(steps: list[tuple[float, float]], moments: list[float]) -> None:
    curve = curve_of_steps(steps)
    energies = [known(curve, t_s) for t_s in sorted(moments)]
    for earlier_j, later_j in itertools.pairwise(energies):
        # Beyond the readings a slope is multiplied by a distance; that rounds.
        assert later_j >= earlier_j - 1e-9 * max(abs(earlier_j), abs(later_j), 1.0)


@given(STEPS)
def test_passes_through_every_reading(steps: list[tuple[float, float]]) -> None:
    curve, at_s, energy_j = curve_of_steps(steps), 0.0, 0.0
    for duration_s, drawn_j in steps:
        at_s, energy_j = at_s + duration_s, energy_j + drawn_j
        assert curve.at(at_s) == energy_j


@given(STEPS, MOMENTS)
def test_windows_that_tile_a_run_add_up_to_it(
    steps: list[tuple[float, float]], moments: list[float]
) -> None:
    curve = curve_of_steps(steps)
    edges = sorted(moments)
    windows = [known(curve, b) - known(curve, a) for a, b in itertools.pairwise(edges)]
    run_j = known(curve, edges[-1]) - known(curve, edges[0])
    scale_j = max(abs(known(curve, edge)) for edge in edges)
    assert math.isclose(sum(windows), run_j, rel_tol=1e-9, abs_tol=1e-12 * scale_j + 1e-9)


@given(STEPS, st.floats(min_value=-10, max_value=2500), MOMENTS)
def test_forgetting_changes_nothing_later(
    steps: list[tuple[float, float]], horizon_s: float, moments: list[float]
) -> None:
    whole, cut = curve_of_steps(steps), curve_of_steps(steps)
    cut.forget_before(horizon_s)
    for t_s in moments:
        if t_s >= horizon_s:
            assert cut.at(t_s) == whole.at(t_s)
        else:
            assert cut.at(t_s) in (None, whole.at(t_s))


def test_what_was_forgotten_is_unknown() -> None:
    curve = curve_of(*((float(t), 100.0 * t) for t in range(100)))
    curve.forget_before(50.5)
    assert curve.at(49.9) is None
    assert curve.at(50.0) == 5000.0
    assert curve.at(50.5) == 5050.0


def test_forgetting_an_empty_curve_is_harmless() -> None:
    curve = Curve()
    curve.forget_before(10.0)
    assert curve.at(10.0) is None


def test_memory_does_not_grow_with_the_run() -> None:
    curve = Curve()
    sizes = []
    for t in range(10_000):
        curve.append(Reading(float(t), float(t)))
        curve.forget_before(t - 10.0)
        sizes.append(len(curve._times_s))
    assert max(sizes) <= 12


# ------------------------------------------------------------------- readings that come to be known


def test_a_reading_that_is_not_final_is_replaced() -> None:
    curve = curve_of((0.0, 0.0), (1.0, 100.0))
    curve.append(Reading(2.0, 900.0, is_final=False))
    assert curve.at(2.0) == 900.0
    assert curve.end_s == 1.0, "nothing after it is settled"
    curve.append(Reading(1.8, 170.0, is_final=False))
    curve.append(Reading(1.9, 190.0))
    assert curve.end_s == 1.9
    assert curve.at(1.9) == 190.0
    assert known(curve, 2.0) == pytest.approx(200.0)


def test_a_reading_brings_along_what_it_made_known() -> None:
    curve = curve_of((0.0, 0.0))
    curve.append(Reading(2.0, 300.0, (Reading(1.0, 100.0), Reading(1.5, 250.0))))
    assert [curve.at(t_s) for t_s in (1.0, 1.5, 2.0)] == [100.0, 250.0, 300.0]


def test_before_the_first_reading_power_is_most_like_just_after_it() -> None:
    curve = curve_of((10.0, 0.0), (10.2, 60.0), (11.0, 100.0))
    assert known(curve, 9.8) == pytest.approx(-60.0)
    assert known(curve, 9.99) == pytest.approx(-3.0)
    assert known(curve, 9.0) == pytest.approx(-100.0)
    assert known(curve, 8.0) == pytest.approx(-200.0)


def test_what_was_read_is_what_is_told_to_the_last_digit() -> None:
    before_j, read_j = 2.6, 7.7
    assert before_j + (read_j - before_j) < read_j, "what the line through both comes to"
    assert curve_of((0.0, before_j), (1.0, read_j), (2.0, 9.0)).at(1.0) == read_j


PROVISIONAL = st.lists(st.booleans(), min_size=40, max_size=40)


@given(STEPS, PROVISIONAL, MOMENTS)
def test_windows_tile_a_run_whatever_was_provisional(
    steps: list[tuple[float, float]], finals: list[bool], moments: list[float]
) -> None:
    curve, at_s, energy_j = Curve(), 0.0, 0.0
    settled: dict[float, float] = {}
    for (duration_s, drawn_j), is_final in zip(steps, finals, strict=False):
        at_s, energy_j = at_s + duration_s, energy_j + drawn_j
        curve.append(Reading(at_s, energy_j, is_final=is_final))
        # What is said up to the last final reading is never taken back.
        for t_s, before_j in settled.items():
            assert curve.at(t_s) == before_j
        end_s, end_j = curve.end_s, None if curve.end_s is None else curve.at(curve.end_s)
        if end_s is not None and end_j is not None:
            settled[end_s] = end_j
    edges = sorted(moments)
    if curve.at(edges[0]) is None:
        return
    windows = [known(curve, b) - known(curve, a) for a, b in itertools.pairwise(edges)]
    run_j = known(curve, edges[-1]) - known(curve, edges[0])
    scale_j = max(abs(known(curve, edge)) for edge in edges)
    assert math.isclose(sum(windows), run_j, rel_tol=1e-9, abs_tol=1e-12 * scale_j + 1e-9)


@given(STEPS, PROVISIONAL, st.floats(min_value=-10, max_value=2500))
def test_forgetting_keeps_what_is_provisional_apart(
    steps: list[tuple[float, float]], finals: list[bool], horizon_s: float
) -> None:
    whole, cut, at_s, energy_j = Curve(), Curve(), 0.0, 0.0
    for (duration_s, drawn_j), is_final in zip(steps, finals, strict=False):
        at_s, energy_j = at_s + duration_s, energy_j + drawn_j
        for curve in (whole, cut):
            curve.append(Reading(at_s, energy_j, is_final=is_final))
        cut.forget_before(min(horizon_s, at_s))
        assert cut.end_s == whole.end_s
        if at_s >= horizon_s:
            assert cut.at(at_s + 1) == whole.at(at_s + 1)
