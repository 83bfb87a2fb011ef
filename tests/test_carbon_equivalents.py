"""Everyday equivalents: the factors, the arithmetic and above all the reading of the numbers."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.equivalents import equivalents, readable
from carbon.schema import Equivalent

SINGULAR = {
    "week",
    "year",
    "inch",
    "foot",
    "mile",
    "second",
    "minute",
    "hour",
    "day",
    "full charge",
}
UNCHANGING = {"cm", "m", "km"}
KEYS = ["household_week", "car_miles", "car_km", "tv_hours", "smartphone_charges"]


def by_key(emissions_kg: float) -> dict[str, Equivalent]:
    return {item.key: item for item in equivalents(emissions_kg)}


def texts(emissions_kg: float) -> list[str]:
    return [item.text for item in equivalents(emissions_kg)]


def test_unknown_emissions_have_no_equivalents() -> None:
    assert equivalents(None) == []


@pytest.mark.parametrize("emissions_kg", [math.nan, math.inf, -math.inf, -1e-12])
def test_what_is_no_amount_of_emissions_is_refused(emissions_kg: float) -> None:
    with pytest.raises(ValueError, match=r"emissions are .* kg; give a finite amount"):
        equivalents(emissions_kg)


def test_the_uncertainty_is_shown_in_units_that_fit_it() -> None:
    (car,) = [item for item in equivalents(0.482, 0.1) if item.key == "car_km"]
    assert (car.text, car.uncertainty_text) == ("4.5 km", "450 m")
    assert car.amount_uncertainty == pytest.approx(0.1 * car.amount)
    assert all(item.uncertainty_text is None for item in equivalents(0.482))
    assert equivalents(0.482, 0.0)[0].uncertainty_text == "0 % of a week"


def test_the_example_that_dashboards_are_checked_with() -> None:
    found = by_key(0.482)
    assert found["household_week"].text == "0.30 % of a week"
    assert found["car_miles"].text == "1 mile"
    assert found["tv_hours"].text == "5 hours"
    assert found["household_week"].amount == pytest.approx(0.482 / 160.58 * 100, rel=1e-4)


@pytest.mark.parametrize(
    ("emissions_kg", "expected"),
    [
        (0, ["0 % of a week", "0 miles", "0 km", "0 hours", "0 full charges"]),
        (
            1e-12,
            [
                "less than 0.0001 % of a week",
                "less than an inch",
                "less than 1 cm",
                "less than a second",
                "less than 0.0001 % of a charge",
            ],
        ),
        (
            1e-6,
            [
                "less than 0.0001 % of a week",
                "less than an inch",
                "less than 1 cm",
                "less than a second",
                "0.0081 % of a charge",
            ],
        ),
        (
            1e-4,
            [
                "less than 0.0001 % of a week",
                "1.5 feet",
                "94 cm",
                "3.5 seconds",
                "0.81 % of a charge",
            ],
        ),
        (
            1e-3,
            ["0.00062 % of a week", "13 feet", "9.5 m", "37 seconds", "8 % of a charge"],
        ),
        (0.1, ["0.062 % of a week", "0.25 miles", "938 m", "1 hour", "8 full charges"]),
        (10, ["6 % of a week", "25 miles", "94 km", "4.5 days", "806 full charges"]),
        (1e3, ["6 weeks", "2,500 miles", "9,400 km", "430 days", "81,000 full charges"]),
        (
            1e6,
            [
                "120 years",
                "2.5 million miles",
                "9.4 million km",
                "1,200 years",
                "81 million full charges",
            ],
        ),
        (
            1e9,
            [
                "120,000 years",
                "2.5 billion miles",
                "9.4 billion km",
                "1.2 million years",
                "81 billion full charges",
            ],
        ),
    ],
)
def test_the_texts_from_a_nanogram_to_a_megatonne(emissions_kg: float, expected: list[str]) -> None:
    assert [item.key for item in equivalents(emissions_kg)] == KEYS
    assert texts(emissions_kg) == expected


@pytest.mark.parametrize(
    ("key", "amount", "text"),
    [
        ("household_week", 1, "1 % of a week"),
        ("household_week", 99.4, "99 % of a week"),
        ("household_week", 99.6, "1 week"),
        ("household_week", 250, "2.5 weeks"),
        ("household_week", 5200 * 1.99, "103 weeks"),
        ("household_week", 5200 * 2, "2 years"),
        ("car_miles", 1, "1 mile"),
        ("car_miles", 1.6, "1.5 miles"),
        ("car_miles", 0.5, "0.50 miles"),
        ("car_miles", 527.4 / 5280, "527 feet"),
        ("car_miles", 528 / 5280, "0.10 miles"),
        ("car_miles", 11.6 / 63_360, "1 foot"),
        ("car_miles", 1.1 / 63_360, "1 inch"),
        ("car_km", 0.9994, "999 m"),
        ("car_km", 0.9996, "1 km"),
        ("car_km", 0.0012, "1 m"),
        ("tv_hours", 1 / 3600, "1 second"),
        ("tv_hours", 59.4 / 3600, "59 seconds"),
        ("tv_hours", 59.6 / 3600, "1 minute"),
        ("tv_hours", 59.9 / 60, "1 hour"),
        ("tv_hours", 47.4, "47 hours"),
        ("tv_hours", 47.9, "2 days"),
        ("tv_hours", 24 * 729, "729 days"),
        ("tv_hours", 24 * 365.25 * 2, "2 years"),
        ("smartphone_charges", 0.5, "50 % of a charge"),
        ("smartphone_charges", 0.997, "1 full charge"),
        ("smartphone_charges", 2, "2 full charges"),
    ],
)
def test_steps_change_where_the_next_reads_better(key: str, amount: float, text: str) -> None:
    factor_kg = by_key(1)[key].factor_kg
    assert by_key(amount * factor_kg)[key].text == text


def test_every_factor_is_positive_and_names_its_source() -> None:
    for item in equivalents(1):
        assert item.factor_kg > 0
        assert item.amount == pytest.approx(1 / item.factor_kg)
        assert item.source
        assert item.source_url is not None
        assert item.source_url.startswith("https://")


def test_a_factor_without_a_source_says_so() -> None:
    assert "without a source of its own" in by_key(1)["tv_hours"].source


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1e-9, "0.0000000010"),
        (0.001, "0.0010"),
        (0.0123, "0.012"),
        (0.3, "0.30"),
        (0.994, "0.99"),
        (0.996, "1"),
        (1.2, "1"),
        (1.26, "1.5"),
        (4.97, "5"),
        (9.8, "10"),
        (10.4, "10"),
        (999.4, "999"),
        (999.9, "1,000"),
        (1234, "1,200"),
        (99_999, "100,000"),
        (999_999, "1 million"),
        (1_234_567, "1.2 million"),
        (12_345_678, "12 million"),
        (9.99e9, "10 billion"),
        (1.2e14, "120 trillion"),
    ],
)
def test_numbers_are_written_as_coarsely_as_they_are_known(number: float, text: str) -> None:
    assert readable(number) == text


@given(st.floats(min_value=1e-12, max_value=1e15))
def test_a_written_number_is_near_the_number_and_never_zero(number: float) -> None:
    written = readable(number)
    assert re.fullmatch(r"[\d,]+(\.\d+)?( million| billion| trillion)?", written)
    digits, _, name = written.partition(" ")
    scale = {"": 1, "million": 1e6, "billion": 1e9, "trillion": 1e12}[name]
    value = float(digits.replace(",", "")) * scale
    assert value > 0
    # Halves are the coarsest: 1.25 is written as 1, 0.25 off.
    assert value == pytest.approx(number, rel=0.2)


@given(st.floats(min_value=1e-12, max_value=1e9))
def test_no_text_shows_nothing_or_no_number(emissions_kg: float) -> None:
    for item in equivalents(emissions_kg):
        assert math.isfinite(item.amount)
        assert item.amount > 0
        assert not re.search(r"nan|inf|e[-+]\d", item.text.replace("inch", ""))
        assert not re.match(r"0(\.0+)? ", item.text)
        number, _, unit = item.text.partition(" ")
        if unit not in UNCHANGING and not unit.startswith(("% ", "million ", "billion ")):
            assert (unit in SINGULAR) == (number == "1")


@given(st.floats(min_value=1e-9, max_value=1e8), st.floats(min_value=1.5, max_value=1e3))
def test_more_emissions_are_more_of_everything(emissions_kg: float, times: float) -> None:
    less, more = equivalents(emissions_kg), equivalents(emissions_kg * times)
    for a, b in zip(less, more, strict=True):
        assert b.amount == pytest.approx(a.amount * times)
