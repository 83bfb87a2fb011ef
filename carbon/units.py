"""The only conversions between units of energy, mass and time in the project.

A kilowatt-hour is exactly 3.6e6 J (SI Brochure, 9th edition, table 8).
"""

JOULES_PER_KWH = 3.6e6
GRAMS_PER_KG = 1000.0
MILLIJOULES_PER_JOULE = 1000.0
MICROJOULES_PER_JOULE = 1e6
MILLIWATTS_PER_WATT = 1000.0
SECONDS_PER_HOUR = 3600.0

ENERGY_DECIMALS = 12
"""Decimals kept of a kWh on the wire and in the ledger: 1e-12 kWh is 3.6 microjoules, far below
what any meter resolves. With fixed decimals a sum is exact in whatever order it is taken."""

MASS_DECIMALS = 12
"""Decimals kept of a kilogram of CO2-equivalent: 1e-12 kg is a nanogram."""

TIME_DECIMALS = 9
"""Decimals kept of a duration in seconds: nanoseconds, for the same reason."""

PRICE_DECIMALS = 9
"""Decimals kept of a price per kWh, in the currency's own unit."""


def kwh_from_joules(energy_j: float) -> float:
    """Convert joules to kilowatt-hours, rounded to the ledger's decimals."""
    return round(energy_j / JOULES_PER_KWH, ENERGY_DECIMALS)


def joules_from_kwh(energy_kwh: float) -> float:
    """Convert kilowatt-hours to joules."""
    return energy_kwh * JOULES_PER_KWH


def emissions_kg(energy_kwh: float, pue: float, intensity_g_per_kwh: float) -> float:
    """Return the CO2-equivalent in kg of IT energy: energy x PUE x intensity.

    Scope 2, GHG Protocol Scope 2 Guidance (2015): location-based with the grid's intensity,
    market-based with that of what was bought. PUE is as in ISO/IEC 30134-2.
    """
    return round(energy_kwh * pue * intensity_g_per_kwh / GRAMS_PER_KG, MASS_DECIMALS)


def known_emissions_kg(
    energy_kwh: float | None, pue: float | None, intensity_g_per_kwh: float | None
) -> float | None:
    """Return `emissions_kg` where all that it is made of is known, else None."""
    if energy_kwh is None or pue is None or intensity_g_per_kwh is None:
        return None
    return emissions_kg(energy_kwh, pue, intensity_g_per_kwh)


def add_known(values: "list[float | None]", decimals: int = ENERGY_DECIMALS) -> float | None:
    """Add what is known; the sum of nothing known is unknown (None), never 0."""
    known = [v for v in values if v is not None]
    return round(sum(known), decimals) if known else None
