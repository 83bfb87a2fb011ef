"""What the same energy would have emitted elsewhere."""

import pytest

from tests.answers import cloud_region, place, summary
from ui.elsewhere import HIGHEST, LOWEST, compare, nothing_to_move


def test_the_cleanest_region_is_recommended_with_its_saving() -> None:
    comparison = compare(
        summary(place("DEU", 400.0, 2.0)),
        [cloud_region("dirty", 800.0), cloud_region("clean", 40.0)],
        "cloud region",
    )
    assert comparison.recommendation == (
        "Recommended: clean, Somewhere (Google Cloud). Of 2 cloud regions it has the cleanest "
        "grid: there the same energy would have emitted 80 g instead of 800 g, 90 % less."
    )
    assert comparison.frame["group"].tolist() == ["lowest", "yours", "lowest"]
    assert comparison.frame["emissions_kg"].tolist() == pytest.approx([0.08, 0.8, 1.6])


def test_the_pue_of_the_project_is_kept_elsewhere() -> None:
    comparison = compare(
        summary(place("DEU", 400.0, 2.0, pue=1.5)), [cloud_region("clean", 40.0)], "cloud region"
    )
    own, there = (
        comparison.frame.set_index("group").at[name, "emissions_kg"] for name in ("yours", "lowest")
    )
    assert own == pytest.approx(1.2)
    assert there == pytest.approx(2.0 * 1.5 * 0.04)


def test_several_places_are_weighed_by_what_was_drawn_there() -> None:
    comparison = compare(
        summary(place("DEU", 400.0, 1.0), place("FRA", 50.0, 3.0), place(None, None, 5.0)),
        [cloud_region("clean", 10.0)],
        "cloud region",
    )
    rows = comparison.frame.set_index("group")
    assert rows.at["yours", "emissions_kg"] == pytest.approx(0.55)
    # Only the 4 kWh whose place is known are moved.
    assert rows.at["lowest", "emissions_kg"] == pytest.approx(0.04)


def test_a_project_on_a_cleaner_grid_is_told_so() -> None:
    comparison = compare(summary(place("ISL", 5.0, 1.0)), [cloud_region("clean", 40.0)], "country")
    assert comparison.recommendation == (
        "This project already ran on a grid at least as clean as any of 1 country; the best, "
        "clean, Somewhere (Google Cloud), would have emitted 40 g instead of 5 g."
    )


def test_a_place_without_carbon_is_a_known_place() -> None:
    comparison = compare(summary(place("ISL", 0.0, 1.0)), [cloud_region("a", 40.0)], "country")
    assert comparison.frame.set_index("group").at["yours", "emissions_kg"] == 0
    assert "instead of 0 g" in comparison.recommendation
    both = summary(place("ISL", 0.0, 1.0), place("DEU", 400.0, 1.0))
    rows = compare(both, [cloud_region("a", 40.0)], "country").frame.set_index("group")
    assert rows.at["yours", "emissions_kg"] == pytest.approx(0.4)
    assert rows.at["lowest", "emissions_kg"] == pytest.approx(0.08)


def test_grid_energy_is_the_apis_where_pue_and_intensity_vary_within_a_place() -> None:
    # 1 kWh at PUE 1 and 500 g/kWh, 1 kWh at PUE 2 and 100 g/kWh.
    mixed = place("DEU", 300.0, 2.0).model_copy(
        update={"grid_energy_kwh": 3.0, "emissions_kg": 0.7, "intensity_g_per_kwh": 700 / 3}
    )
    rows = compare(summary(mixed), [cloud_region("a", 10.0)], "country").frame.set_index("group")
    assert rows.at["yours", "emissions_kg"] == pytest.approx(0.7)
    assert rows.at["lowest", "emissions_kg"] == pytest.approx(0.03)


def test_where_some_runs_of_a_place_lack_an_intensity_only_the_others_are_moved() -> None:
    mixed = place("DEU", 400.0, 1.0).model_copy(
        update={"runs": 2, "runs_without_emissions": 1, "grid_energy_kwh": 5.0}
    )
    comparison = compare(summary(mixed), [cloud_region("a", 10.0)], "country")
    assert comparison.frame.set_index("group").at["lowest", "emissions_kg"] == pytest.approx(0.01)
    assert comparison.recommendation.startswith("For the 1 kWh of 5 kWh whose place is known, ")


def test_a_recommendation_says_what_part_of_the_energy_it_is_for() -> None:
    partly = summary(place("DEU", 400.0, 1.5), place(None, None, 998.5))
    assert compare(partly, [cloud_region("a", 40.0)], "country").recommendation.startswith(
        "For the 1.50 kWh of 1 MWh whose place is known, the recommendation is a, Somewhere"
    )
    assert compare(partly, [cloud_region("a", 800.0)], "country").recommendation.startswith(
        "For the 1.50 kWh of 1 MWh whose place is known, this project already ran on a grid"
    )
    nearly = summary(place("DEU", 400.0, 1.5), place(None, None, 0.001))
    assert compare(nearly, [cloud_region("a", 40.0)], "country").recommendation.startswith(
        "For the energy whose place is known, the recommendation is a, Somewhere"
    )


def test_nothing_is_moved_where_nothing_was_measured_or_drawn() -> None:
    measured = summary(place("DEU", 400.0, 1.0))
    assert nothing_to_move(measured) is None
    unmeasured = measured.model_copy(update={"energy_kwh": None, "grid_energy_kwh": None})
    assert "No energy has been measured yet" in str(nothing_to_move(unmeasured))
    zero = nothing_to_move(summary(place("DEU", 400.0, 0.0)))
    assert zero == "What was measured adds up to 0 Wh, which emits nothing anywhere."


def test_a_place_at_which_nothing_was_drawn_does_not_hide_the_rest() -> None:
    comparison = compare(
        summary(place("DEU", 400.0, 0.0), place(None, None, 2.0)),
        [cloud_region("clean", 40.0)],
        "country",
    )
    assert "yours" not in set(comparison.frame["group"])
    assert "2 kWh: 80 g" in comparison.recommendation


def test_an_unknown_place_gets_the_range_and_no_bar_of_its_own() -> None:
    comparison = compare(
        summary(place(None, None, 2.0)),
        [cloud_region("clean", 40.0), cloud_region("dirty", 800.0)],
        "cloud region",
    )
    assert "yours" not in set(comparison.frame["group"])
    assert "80 g, against 1.60 kg in dirty, Somewhere" in comparison.recommendation
    assert "%" not in comparison.recommendation


@pytest.mark.parametrize(
    ("n", "shown"), [(1, 1), (LOWEST, LOWEST), (LOWEST + 2, LOWEST + 2), (200, LOWEST + HIGHEST)]
)
def test_the_extremes_are_shown_once_each(n: int, shown: int) -> None:
    regions = [cloud_region(f"r{i}", 10.0 + i) for i in range(n)]
    frame = compare(summary(place("DEU", 5.0, 1.0)), regions, "country").frame
    others = frame[frame["group"] != "yours"]["label"]
    assert len(others) == shown
    assert others.is_unique


def test_countries_are_counted_in_english() -> None:
    countries = [cloud_region("a", 40.0), cloud_region("b", 50.0)]
    assert (
        "Of 2 countries"
        in compare(summary(place("DEU", 400.0, 1.0)), countries, "country").recommendation
    )
