"""Emissions as something from everyday life, each with the source of its factor.

The numbers are shown as coarsely as they are known: to about two significant digits.
"""

import math
from dataclasses import dataclass

from carbon.schema import Equivalent

_EPA = "US EPA, Greenhouse Gas Equivalencies Calculator"
_EPA_URL = (
    "https://www.epa.gov/energy/greenhouse-gas-equivalencies-calculator-calculations-and-references"
)

_LARGE_NUMBERS = ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"))


@dataclass(frozen=True)
class _Unit:
    """A step of a scale: `size` is in the scale's own unit, the one its factor is per."""

    size: float
    singular: str
    plural: str
    limit: float = math.inf
    """The amount, rounded as it is shown, from which on the next larger step reads better."""


@dataclass(frozen=True)
class _Everyday:
    """One kind of equivalent.

    `scale` goes from small steps to large; below `least` an amount is called a `trifle`. Both are
    in `unit`, of which one step is exactly one.
    """

    key: str
    label: str
    unit: str
    factor_kg: float
    scale: tuple[_Unit, ...]
    least: float
    trifle: str
    source: str
    source_url: str | None
    year: int | None


_EVERYDAY = (
    _Everyday(
        key="household_week",
        label="of a US household's energy use",
        unit="percent",
        factor_kg=8350 / 52 / 100,  # A hundredth of a week.
        scale=(
            _Unit(1, "% of a week", "% of a week", limit=100),
            _Unit(100, "week", "weeks", limit=104),
            _Unit(5200, "year", "years"),
        ),
        least=0.0001,
        trifle="less than 0.0001 % of a week",
        source=(
            f"{_EPA}: 8.35 t CO2 per home and year, of an earlier edition that CodeCarbon quotes; "
            "later ones say less, 7.94 t in one"
        ),
        source_url=_EPA_URL,
        year=None,
    ),
    _Everyday(
        key="car_miles",
        label="driven by an average US petrol car",
        unit="mile",
        factor_kg=0.393,
        scale=(
            _Unit(1 / 63_360, "inch", "inches", limit=12),
            _Unit(1 / 5280, "foot", "feet", limit=528),
            _Unit(1, "mile", "miles"),
        ),
        least=1 / 63_360,
        trifle="less than an inch",
        source=f"{_EPA}: 3.93e-4 t CO2e per mile, fleet of 2022",
        source_url=_EPA_URL,
        year=2022,
    ),
    _Everyday(
        key="car_km",
        label="driven by a new European car",
        unit="km",
        factor_kg=0.1066,
        scale=(
            _Unit(1e-5, "cm", "cm", limit=100),
            _Unit(1e-3, "m", "m", limit=1000),
            _Unit(1, "km", "km"),
        ),
        least=1e-5,
        trifle="less than 1 cm",
        source=(
            "European Environment Agency, new passenger cars registered in the EU, Iceland and "
            "Norway: 106.6 g CO2/km by WLTP test, provisional"
        ),
        source_url="https://www.eea.europa.eu/en/analysis/indicators/co2-performance-of-new-passenger",
        year=2023,
    ),
    _Everyday(
        key="tv_hours",
        label="of watching a 32-inch LCD television",
        unit="hour",
        factor_kg=0.097,
        scale=(
            _Unit(1 / 3600, "second", "seconds", limit=60),
            _Unit(1 / 60, "minute", "minutes", limit=60),
            _Unit(1, "hour", "hours", limit=48),
            _Unit(24, "day", "days", limit=730),
            _Unit(24 * 365.25, "year", "years"),
        ),
        least=1 / 3600,
        trifle="less than a second",
        source="CodeCarbon: 0.097 kg CO2 per hour, a figure without a source of its own",
        source_url="https://github.com/mlco2/codecarbon",
        year=None,
    ),
    _Everyday(
        key="smartphone_charges",
        label="of a smartphone's battery",
        unit="charge",
        factor_kg=0.0124,
        scale=(
            _Unit(0.01, "% of a charge", "% of a charge", limit=100),
            _Unit(1, "full charge", "full charges"),
        ),
        least=1e-6,
        trifle="less than 0.0001 % of a charge",
        source=f"{_EPA}: 1.24e-5 t CO2 per smartphone charged, grid of 2022",
        source_url=_EPA_URL,
        year=2022,
    ),
)


def equivalents(
    emissions_kg: float | None, relative_uncertainty: float | None = None
) -> list[Equivalent]:
    """Express kg of CO2-equivalent in everyday terms; unknown emissions have no equivalents.

    Args:
        emissions_kg: the emissions.
        relative_uncertainty: theirs, one standard deviation, None where unknown. The factors' own
            is not known.

    Raises:
        ValueError: emissions that are negative or not a number.
    """
    if emissions_kg is None:
        return []
    if not 0 <= emissions_kg < math.inf:
        raise ValueError(f"emissions are {emissions_kg} kg; give a finite amount of 0 or more")
    band_kg = None if relative_uncertainty is None else emissions_kg * relative_uncertainty
    return [
        Equivalent(
            key=kind.key,
            label=kind.label,
            amount=emissions_kg / kind.factor_kg,
            unit=kind.unit,
            text=_in_words(emissions_kg / kind.factor_kg, kind),
            amount_uncertainty=None if band_kg is None else band_kg / kind.factor_kg,
            uncertainty_text=(
                None
                if band_kg is None
                else _in_words(float(f"{band_kg / kind.factor_kg:.2g}"), kind)
            ),
            factor_kg=kind.factor_kg,
            source=kind.source,
            source_url=kind.source_url,
            year=kind.year,
        )
        for kind in _EVERYDAY
    ]


def _in_words(amount: float, kind: _Everyday) -> str:
    if amount == 0:
        return f"0 {next(unit.plural for unit in kind.scale if unit.size == 1)}"
    if amount < kind.least:
        return kind.trifle
    for unit in kind.scale:
        if _rounded(amount / unit.size) < unit.limit:
            break
        # What is rounded up to the limit is a whole one of the next: 59.6 s, 1 minute and not 0.99.
        amount = max(amount, unit.limit * unit.size)
    shown = readable(amount / unit.size)
    return f"{shown} {unit.singular if shown == '1' else unit.plural}"


def readable(number: float) -> str:
    """Write a number of 0 or more for reading: `0.0030`, `4.5`, `120`, `1,200`, `1.2 million`.

    Below 1 it has two significant digits and never becomes 0; from 1 to 10 it is rounded to halves,
    up to a thousand to whole numbers, above to two significant digits.
    """
    rounded = _rounded(number)
    if rounded == 0:
        return "0"
    if rounded < 1:
        decimals = 1 - math.floor(math.log10(rounded))
        return f"{rounded:.{decimals}f}"
    if rounded < 1e6:
        return f"{rounded:,.1f}".removesuffix(".0")
    size, name = next((size, name) for size, name in _LARGE_NUMBERS if rounded >= size)
    return f"{rounded / size:,.1f}".removesuffix(".0") + name


def _rounded(number: float) -> float:
    if 1 <= number < 10:
        return round(2 * number) / 2
    if 10 <= number < 1000:
        return float(round(number))
    return float(f"{number:.1e}")
