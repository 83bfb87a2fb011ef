"""The best configuration for a training, worked out by hand and held to what it promises."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.analysis.choice import Limits, Option, best, energy_delay_j_s, marginals, options_of
from carbon.analysis.scaling_laws import Predicted, Timing, timings_of
from carbon.errors import UsageError
from carbon.schema import EpochReport
from tests.factories import make_report
from tests.studies import tradeoff_of

SINGLE = Option("single", 1, 360.0, 0.10, 0.040, epoch_s_stdev=3.6)
TWO = Option("ddp", 2, 200.0, 0.11, 0.044, epoch_s_stdev=4.0)
FOUR = Option("ddp", 4, 120.0, 0.16, 0.064, epoch_s_stdev=2.0)
BEATEN = Option("fsdp", 4, 130.0, 0.20, 0.080)
UNMEASURED = Option("horovod", 4, 100.0)
EIGHT = Option("ddp", 8, 80.0, 0.24, 0.096, is_extrapolated=True)
MEASURED = [SINGLE, TWO, FOUR, BEATEN]


def test_each_hour_saved_has_its_price() -> None:
    steps = marginals([FOUR, UNMEASURED, EIGHT, BEATEN, SINGLE, TWO, replace(TWO)], epochs=90)
    assert [(step.slower, step.faster) for step in steps] == [(SINGLE, TWO), (TWO, FOUR)]
    assert [step.saved_h for step in steps] == pytest.approx([4.0, 2.0])
    assert [step.extra_kwh for step in steps] == pytest.approx([0.9, 4.5])
    assert [step.kwh_per_h for step in steps] == pytest.approx([0.225, 2.25])


def test_predicted_steps_have_to_be_asked_for() -> None:
    steps = marginals([*MEASURED, EIGHT], epochs=90, with_extrapolated=True)
    assert steps[-1].faster == EIGHT
    assert marginals([], 10) == marginals([SINGLE], 10) == marginals([UNMEASURED], 10) == []


def test_the_energy_delay_product_is_in_joule_seconds() -> None:
    assert energy_delay_j_s(0.5, 2.0) == 3.6e6
    assert SINGLE.energy_delay_j_s == pytest.approx(0.1 * 3.6e6 * 360)
    assert UNMEASURED.energy_delay_j_s is None


@pytest.mark.parametrize(
    ("limits", "chosen", "said"),
    [
        (Limits(), FOUR, "the least energy times time, no limit being set, 3 h, 14.4 kWh, 5.76 kg"),
        (Limits(deadline_s=6 * 3600), TWO, "the least energy of the 3 that fit, 5 h, 9.90 kWh"),
        (Limits(deadline_s=1e9), SINGLE, "the least energy of the 4 that fit, 9 h, 9 kWh"),
        (Limits(energy_kwh=15), FOUR, "the fastest of the 3 that fit, 3 h"),
        (Limits(energy_kwh=9.5), SINGLE, "the one that fits, 9 h"),
        (Limits(emissions_kg=4.0), TWO, "the fastest of the 2 that fit"),
        (Limits(6 * 3600, 12, 4), TWO, "the one that fits"),
    ],
)
def test_the_best_under_limits(limits: Limits, chosen: Option, said: str) -> None:
    choice = best(MEASURED, 90, limits)
    assert (choice.option, choice.fits, choice.fits_surely) == (chosen, True, True)
    assert choice.reason.startswith(f"{chosen.name}: {said}")
    assert choice.reason.endswith(" for 90 epochs.")


@pytest.mark.parametrize(
    ("limits", "closest", "said"),
    [
        (Limits(deadline_s=2 * 3600), FOUR, "ddp on 4 workers comes closest, 1 h (50.0%) over the"),
        (Limits(energy_kwh=5), SINGLE, "single on 1 worker comes closest, 4 kWh (80.0%) over the"),
        (
            Limits(3600, 10, 4),
            FOUR,
            "2 h (200.0%) over the deadline and 4.40 kWh (44.0%) over the energy budget and",
        ),
    ],
)
def test_where_none_fits_the_closest_is_named(limits: Limits, closest: Option, said: str) -> None:
    choice = best(MEASURED, 90, limits)
    assert (choice.option, choice.fits, choice.fits_surely) == (closest, False, False)
    assert choice.reason.startswith("No configuration fits: ")
    assert said in choice.reason


def test_what_fits_surely_goes_before_what_fits_by_its_mean() -> None:
    # TWO takes 5 h by its mean and 5.1 h one deviation on.
    limits = Limits(deadline_s=5.05 * 3600)
    assert best(MEASURED, 90, limits).option == FOUR
    alone = best([SINGLE, TWO], 90, limits)
    assert (alone.option, alone.fits, alone.fits_surely) == (TWO, True, False)
    assert "within the spread of its repeats it may not" in alone.reason


def test_a_miss_within_the_spread_says_so() -> None:
    choice = best([TWO], 90, Limits(deadline_s=4.95 * 3600))
    assert not choice.fits
    assert "3 min (1.0%) over the deadline (within its spread)" in choice.reason
    assert "within its spread" not in best([BEATEN], 90, Limits(deadline_s=60)).reason


def test_a_prediction_is_chosen_only_where_asked_for_and_says_so() -> None:
    options, limits = [*MEASURED, EIGHT], Limits(deadline_s=2 * 3600)
    assert best(options, 90, limits).option == FOUR
    choice = best(options, 90, limits, with_extrapolated=True)
    assert (choice.option, choice.fits) == (EIGHT, True)
    assert choice.reason.startswith("ddp on 8 workers (extrapolated): ")
    assert "Every configuration is extrapolated" in best([EIGHT], 90, limits).reason


def test_a_prediction_fits_surely_where_its_band_does() -> None:
    sixteen = Option.of_prediction("ddp", Predicted(16, 40.0, 30.0, 60.0, is_extrapolated=True))
    assert (sixteen.energy_per_epoch_kwh, sixteen.is_extrapolated) == (None, True)
    for deadline_s, surely in ((60.0, True), (59.0, False)):
        choice = best([sixteen], 1, Limits(deadline_s), with_extrapolated=True)
        assert (choice.fits, choice.fits_surely) == (True, surely)


def test_what_is_not_known_is_not_judged() -> None:
    choice = best([SINGLE, UNMEASURED], 90, Limits(energy_kwh=10))
    assert choice.option == SINGLE
    assert choice.reason.endswith("Not judged, for want of figures: horovod on 4 workers.")
    nothing = best([UNMEASURED], 90, Limits(emissions_kg=10))
    assert (nothing.option, nothing.fits) == (None, False)
    assert "measure its energy" in nothing.reason
    assert best([UNMEASURED], 90, Limits(deadline_s=1e5)).option == UNMEASURED
    assert "no energy being known" in best([UNMEASURED], 90, Limits()).reason
    assert best([], 90, Limits()).reason.startswith("There is no configuration")


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan, math.inf])
def test_a_limit_that_nothing_is_within_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match=re.escape(f"energy_kwh is {limit}")):
        Limits(energy_kwh=limit)


def test_a_training_of_no_epochs_is_refused() -> None:
    with pytest.raises(UsageError, match="epochs is 0"):
        best(MEASURED, 0, Limits())


def test_small_quantities_have_fitting_units() -> None:
    tiny = Option("single", 1, 0.012, 2e-6, 8e-7)
    assert "12 ms, 2 mWh, 800 µg CO2e for 1 epoch." in best([tiny], 1, Limits()).reason
    assert "2 h 30 min" in best([Option("single", 1, 9000)], 1, Limits()).reason


def test_a_measured_point_is_an_option() -> None:
    runs = [
        make_report(
            study="s",
            intensity_g_per_kwh=500.0,
            pue=1.0,
            epochs=[EpochReport(index=0, duration_s=t, energy_kwh=e)],
        )
        for t, e in ((10.0, 1.0), (12.0, 3.0))
    ]
    option = options_of(tradeoff_of("p", runs).points)[0]
    assert (option.strategy, option.workers, option.is_extrapolated) == ("single", 1, False)
    assert (option.epoch_s, option.energy_per_epoch_kwh) == (11.0, 2.0)
    assert option.emissions_per_epoch_kg == pytest.approx(1.0)
    assert option.epoch_s_stdev == pytest.approx(2**0.5)
    assert option.emissions_per_epoch_kg_stdev == pytest.approx(2**0.5 / 2)


def test_of_weak_scaling_every_option_does_the_same_work() -> None:
    runs = [
        make_report(
            study="s",
            world_size=n,
            config={"samples_per_epoch": 100 * n},
            epochs=[EpochReport(index=0, duration_s=10.0 + n, energy_kwh=1.0 * n)],
        )
        for n in (1, 2, 4)
    ]
    points = tradeoff_of("p", runs).points
    options = options_of(points)
    assert [option.epoch_s for option in options] == [11.0, 6.0, 3.5]
    assert [option.energy_per_epoch_kwh for option in options] == [1.0, 1.0, 1.0]
    assert timings_of(points) == [Timing(1, 11.0), Timing(2, 6.0), Timing(4, 3.5)]
    unsaid = tradeoff_of("p", [*runs, make_report(study="s", world_size=8, epochs=runs[0].epochs)])
    assert [option.epoch_s for option in options_of(unsaid.points)] == [11.0, 12.0, 14.0, 11.0]


OPTIONS = st.lists(
    st.builds(
        Option,
        st.sampled_from(["single", "ddp"]),
        st.integers(1, 64),
        st.floats(0.1, 1e4),
        st.none() | st.floats(1e-6, 10),
        st.none() | st.floats(1e-6, 10),
        st.none() | st.floats(0, 10),
        is_extrapolated=st.booleans(),
    ),
    max_size=6,
)
LIMIT = st.none() | st.floats(1e-3, 1e5)


@given(OPTIONS, st.integers(1, 100), st.builds(Limits, LIMIT, LIMIT, LIMIT), st.booleans())
@settings(max_examples=100)
def test_a_choice_keeps_what_it_says(
    options: list[Option], epochs: int, limits: Limits, with_extrapolated: bool
) -> None:
    def is_within(option: Option) -> bool:
        return all(
            limit is None or (mean is not None and epochs * mean / limit - 1 <= 0)
            for limit, mean in (
                (limits.deadline_s, option.epoch_s),
                (limits.energy_kwh, option.energy_per_epoch_kwh),
                (limits.emissions_kg, option.emissions_per_epoch_kg),
            )
        )

    asked = [option for option in options if with_extrapolated or not option.is_extrapolated]
    choice = best(options, epochs, limits, with_extrapolated=with_extrapolated)
    assert choice.fits == any(is_within(option) for option in asked)
    assert not choice.fits_surely or choice.fits
    if choice.option is not None:
        assert choice.option in asked
        assert is_within(choice.option) == choice.fits
