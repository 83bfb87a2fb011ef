"""The sentences under the energy-versus-speedup chart."""

import pytest

from carbon.schema import TradeoffPoint
from tests.answers import SINGLE, point
from ui.verdicts import speedup_costs, warning


@pytest.mark.parametrize(
    ("epoch_s", "energy_kwh", "sentence"),
    [
        (
            10 / 1.8,
            0.00106,
            "ddp × 2 is 1.8 times as fast as single × 1 and needs 6 % more energy per epoch.",
        ),
        (
            5.0,
            0.0008,
            "ddp × 2 is 2.0 times as fast as single × 1 and needs 20 % less energy per epoch.",
        ),
        (
            12.5,
            0.0005,
            "ddp × 2 takes 1.2 times as long as single × 1 and needs 50 % less energy per epoch.",
        ),
        (
            9.6,
            0.002,
            "ddp × 2 is 1.04 times as fast as single × 1 and needs 100 % more energy per epoch.",
        ),
        (
            5.0,
            0.001,
            "ddp × 2 is 2.0 times as fast as single × 1 and needs the same energy per epoch.",
        ),
    ],
)
def test_each_speedup_has_its_price(epoch_s: float, energy_kwh: float, sentence: str) -> None:
    assert speedup_costs([SINGLE, point("ddp", 2, epoch_s, energy_kwh)]) == [sentence]


def test_whole_runs_are_not_called_epochs() -> None:
    points = [
        point("single", 1, 60.0, 0.001, unit="run"),
        point("ddp", 2, 40.0, 0.0015, unit="run"),
    ]
    said = " ".join(speedup_costs(points))
    assert "50 % more energy per run" in said
    assert "epoch" not in said


def test_a_difference_within_the_spread_is_not_called_one() -> None:
    single = SINGLE.model_copy(update={"energy_per_epoch_kwh_stdev": 0.00005})
    ddp = point("ddp", 2, 5.0, 0.00103, energy_per_epoch_kwh_stdev=0.00003)
    assert speedup_costs([single, ddp]) == [
        "ddp × 2 is 2.0 times as fast as single × 1 for the same energy per epoch, as far as the "
        "spread of the repeats can tell."
    ]


@pytest.mark.parametrize(
    ("epoch_s", "energy_kwh", "said"),
    [
        (10 / 9.949, 0.0011, "is 9.9 times as fast"),
        (10 / 9.97, 0.0011, "is 10 times as fast"),
        (10 / 12_345, 0.0011, "is 12,345 times as fast"),
        (1e-8, 0.0011, "is more than a million times as fast"),
        (2e5, 0.0005, "takes 20,000 times as long"),
        (5.0, 0.025, "needs 25 times the energy per epoch."),
        (5.0, 5e6, "needs more than a million times the energy per epoch."),
    ],
)
def test_a_ratio_has_no_more_digits_than_can_be_read(
    epoch_s: float, energy_kwh: float, said: str
) -> None:
    (sentence,) = speedup_costs([SINGLE, point("ddp", 2, epoch_s, energy_kwh)])
    assert said in sentence


def repeated(
    strategy: str, workers: int, epoch_s: float, energy_kwh: float, **fields: object
) -> TradeoffPoint:
    """A point over three runs, with a spread of 0.2 s and 0.02 Wh."""
    spread = {"runs": 3, "epoch_s_stdev": 0.2, "energy_per_epoch_kwh_stdev": 0.00002}
    found: TradeoffPoint = point(strategy, workers, epoch_s, energy_kwh, **(spread | fields))
    return found


BEATEN = "not worth it: another configuration is at least as fast for at most the same energy"


@pytest.mark.parametrize(
    ("epoch_s", "energy_kwh", "said"),
    [
        # The combined standard deviation is 0.28 s and 0.028 Wh.
        (10.2, 0.00102, "single × 1 and ddp × 1 differ by less than their repeats do."),
        (10.3, 0.00102, f"ddp × 1 is {BEATEN}."),
        (10.2, 0.00103, f"ddp × 1 is {BEATEN}."),
    ],
)
def test_a_configuration_is_beaten_only_beyond_the_spread(
    epoch_s: float, energy_kwh: float, said: str
) -> None:
    single = repeated("single", 1, 10.0, 0.001)
    ddp = repeated("ddp", 1, epoch_s, energy_kwh, on_pareto_front=False)
    assert speedup_costs([single, ddp]) == [said]


def test_configurations_that_ran_once_are_beaten_by_one_run_each() -> None:
    ddp = point("ddp", 1, 10.1, 0.0011, on_pareto_front=False)
    assert speedup_costs([SINGLE, ddp]) == [f"ddp × 1 is {BEATEN} (one run each)."]
    single = repeated("single", 1, 10.0, 0.001)
    assert speedup_costs([single, ddp.model_copy(update={"epoch_s": 10.5})]) == [
        f"ddp × 1 is {BEATEN}."
    ]


def test_many_beaten_configurations_are_counted() -> None:
    many = [point("ddp", n, 20.0, 0.001 * n, on_pareto_front=False) for n in range(2, 9)]
    assert speedup_costs([SINGLE, *many[1:]])[0].startswith("ddp × 3, ddp × 4, ddp × 5, ddp × 6, ")
    assert speedup_costs([SINGLE, *many]) == [
        "7 configurations are not worth it: another configuration is at least as fast for at most "
        "the same energy (one run each)."
    ]


def test_several_that_the_repeats_cannot_tell_from_one_share_a_sentence() -> None:
    behind = [
        repeated(strategy, 1, 10.1, 0.00101, on_pareto_front=False) for strategy in ("ddp", "fsdp")
    ]
    assert speedup_costs([repeated("single", 1, 10.0, 0.001), *behind]) == [
        "ddp × 1 and fsdp × 1 differ from single × 1 by less than their repeats do."
    ]


def test_a_point_on_the_front_within_the_spread_of_the_baseline_is_not_set_above_it() -> None:
    single, ddp = repeated("single", 1, 10.0, 0.001), repeated("ddp", 1, 10.1, 0.00099)
    assert speedup_costs([single, ddp]) == [
        "single × 1 and ddp × 1 differ by less than their repeats do."
    ]


def test_equal_single_runs_are_not_said_to_have_repeats() -> None:
    assert speedup_costs([SINGLE, point("ddp", 1, 10.0, 0.001)]) == [
        "ddp × 1 is 1.00 times as fast as single × 1 and needs the same energy per epoch."
    ]


def test_of_a_long_front_the_three_that_matter_most_are_told() -> None:
    front = [
        point("ddp", 2, 9.0, 0.0009),  # The least energy.
        point("ddp", 4, 5.0, 0.0011),
        point("fsdp", 4, 3.0, 0.0012),  # The least energy x time.
        point("ddp", 8, 2.5, 0.0019),
        point("ddp", 16, 2.0, 0.0025),  # The fastest.
    ]
    said = speedup_costs([SINGLE.model_copy(update={"on_pareto_front": False}), *front])
    assert [sentence.split(" is ")[0].split(" are ")[0] for sentence in said] == [
        "Least energy on the front: ddp × 2",
        "Least energy × time on the front: fsdp × 4",
        "Fastest on the front: ddp × 16",
        "2 more",
    ]
    assert said[-1] == "2 more are on the front; the table has them all."


def test_a_front_led_twice_by_one_configuration_names_it_once() -> None:
    front = [
        point("ddp", 2, 6.0, 0.00101),
        point("ddp", 4, 4.0, 0.00102),
        point("ddp", 8, 3.0, 0.00103),
        point("ddp", 16, 2.0, 0.00104),
    ]
    said = speedup_costs([SINGLE, *front])
    # The least energy is the baseline's, which needs no sentence.
    assert said[0].startswith("Fastest and least energy × time on the front: ddp × 16 is 5.0 times")
    assert said[1:] == ["3 more are on the front; the table has them all."]


def test_of_many_without_energy_the_fastest_are_told() -> None:
    many = [point("ddp", n, 10 / n, None) for n in (2, 3, 4, 5, 6)]
    said = speedup_costs([point("single", 1, 10.0, None), *many])
    assert [sentence.split(" is ")[0] for sentence in said[:3]] == ["ddp × 4", "ddp × 5", "ddp × 6"]
    assert said[3:] == ["The table has 2 more."]


@pytest.mark.parametrize(
    ("differences", "compares_places"),
    [(["config lr", "tag model", "epochs"], False), (["place"], True), (["epochs", "PUE"], True)],
)
def test_the_warning_names_what_differs(differences: list[str], compares_places: bool) -> None:
    said = warning("s", differences)
    assert said.startswith(
        f"The runs of s differ in {', '.join(differences)}, not only in strategy and workers: part"
    )
    assert said.endswith("CO₂e then compares places as well.") == compares_places


def test_front_points_come_by_speed_and_beaten_ones_are_named() -> None:
    said = speedup_costs(
        [
            point("fsdp", 4, 3.0, 0.0013),
            point("ddp", 2, 6.0, 0.0012, on_pareto_front=False),
            point("deepspeed", 2, 6.5, 0.0012, on_pareto_front=False),
            point("ddp", 4, 5.0, 0.0011),
            SINGLE,
        ]
    )
    assert [sentence.split(" is ")[0] for sentence in said[:2]] == ["ddp × 4", "fsdp × 4"]
    assert said[2].startswith("deepspeed × 2 and ddp × 2 are not worth it")
    assert len(said) == 3


def test_the_baseline_is_never_called_beaten() -> None:
    said = speedup_costs(
        [SINGLE.model_copy(update={"on_pareto_front": False}), point("ddp", 2, 5.0, 0.0008)]
    )
    assert not any("not worth it" in sentence for sentence in said)


def test_without_energies_the_speedups_are_told_and_the_energy_is_unknown() -> None:
    single = point("single", 1, 10.0, None)
    assert speedup_costs([single, point("ddp", 2, 5.0, None)]) == [
        "ddp × 2 is 2.0 times as fast as single × 1; what it drew was not measured."
    ]


def test_a_configuration_without_energy_is_named_beside_the_others() -> None:
    said = speedup_costs([SINGLE, point("ddp", 2, 5.0, 0.0011), point("fsdp", 2, 5.0, None)])
    assert said[-1] == "The energy of fsdp × 2 was not measured."


def test_one_configuration_alone_says_what_to_do() -> None:
    (said,) = speedup_costs([SINGLE])
    assert said.startswith("Only single × 1 has completed runs so far: run another")
