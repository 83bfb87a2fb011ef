"""Equivalents in one line."""

import pytest

from carbon.schema import Equivalent
from ui.pages.equivalents import with_band


@pytest.mark.parametrize(
    ("text", "band", "line"),
    [
        ("14 miles", "0.56 miles", "14 ± 0.56 miles"),
        ("3.5 % of a week", "0.14 % of a week", "3.5 ± 0.14 % of a week"),
        ("5 km", "5 km", "5 ± 5 km"),
        ("1.2 million miles", "43,000 miles", "1.2 million miles ± 43,000 miles"),
        ("2.5 days", "2.5 hours", "2.5 days ± 2.5 hours"),
        ("4.5 feet", "less than an inch", "4.5 feet ± less than an inch"),
        ("less than 1 cm", "less than 1 cm", "less than 1 cm"),
        ("28 miles", None, "28 miles"),
    ],
)
def test_a_unit_that_both_share_is_written_once(text: str, band: str | None, line: str) -> None:
    equivalent = Equivalent(
        key="any",
        label="of anything",
        amount=1.0,
        unit="one",
        text=text,
        amount_uncertainty=None if band is None else 1.0,
        uncertainty_text=band,
        factor_kg=1.0,
        source="a source",
        source_url=None,
        year=2023,
    )
    assert with_band(equivalent) == line
