"""Quantities as a reader wants them: fitting units, three significant digits, "unknown" for None.

Nothing here invents precision or hides a small value behind "0.0".
"""

import math
import re
from datetime import UTC, date, datetime

from carbon.countries import country_name

UNKNOWN = "unknown"
_ENERGY_UNITS = (
    (1e-9, "µWh"),
    (1e-6, "mWh"),
    (1e-3, "Wh"),
    (1.0, "kWh"),
    (1e3, "MWh"),
    (1e6, "GWh"),
)
_MASS_UNITS = ((1e-9, "µg"), (1e-6, "mg"), (1e-3, "g"), (1.0, "kg"), (1e3, "t"), (1e6, "kt"))
# From which duration in s on, the unit's size in s, and its symbol.
_DURATION_UNITS = ((0.0, 1e-3, "ms"), (1.0, 1.0, "s"), (600.0, 60.0, "min"), (7200.0, 3600.0, "h"))
_LOWER_CASE_NAME = re.compile(r"(?=.{3})[^\W\d_]+( [^\W\d_]+)*")

_METHODS = {
    "nvml_counter": "the GPU's own energy counter (NVML)",
    "nvml_power": "the GPU's power reading, integrated (NVML)",
    "nvml_counter_mig_share": "a slice's share of the GPU's energy counter (NVML, MIG)",
    "nvml_power_mig_share": "a slice's share of the GPU's power reading, integrated (NVML, MIG)",
    "amdsmi_counter": "the GPU's own energy counter (amdsmi)",
    "amdsmi_power": "the GPU's power reading, integrated (amdsmi)",
    "jetson_ina3221": "the board's power sensors, integrated (INA3221)",
    "jetson_tegrastats": "the board's power sensors, integrated (tegrastats)",
    "rapl": "the CPU's own energy counter (RAPL)",
    "rapl_dram": "the memory's own energy counter (RAPL)",
    "codecarbon_rapl": "the CPU's own energy counter (RAPL, by CodeCarbon)",
    "codecarbon_cpu_load": "CodeCarbon's estimate from CPU load and rated power",
    "codecarbon_ram": "CodeCarbon's estimate from the amount of memory",
}


def energy(energy_kwh: float | None) -> str:
    """Write an energy given in kWh in the unit that fits it, from µWh to GWh."""
    return _in_unit(energy_kwh, _ENERGY_UNITS)


def mass(mass_kg: float | None) -> str:
    """Write a mass given in kg in the unit that fits it, from µg to kt."""
    return _in_unit(mass_kg, _MASS_UNITS)


def money(amount: float, currency: str) -> str:
    """Write an amount of money with its currency's code: "12.50 EUR"."""
    return f"{_money(amount)} {currency}"


def money_with_spread(amount: float, stdev: float, currency: str) -> str:
    """Write an amount of money with its standard deviation: "118.47 ± 2.1 EUR"."""
    return f"{_money(amount)} ± {spread(stdev)} {currency}"


def energy_unit(energies_kwh: list[float]) -> tuple[float, str]:
    """Return the unit for an axis that holds these energies: its size in kWh and its symbol."""
    return _unit_for(max(energies_kwh, default=0.0), _ENERGY_UNITS)


def mass_unit(masses_kg: list[float]) -> tuple[float, str]:
    """Return the unit for an axis that holds these masses: its size in kg and its symbol."""
    return _unit_for(max(masses_kg, default=0.0), _MASS_UNITS)


def number(value: float | None) -> str:
    """Write a number with three significant digits, or as it is where it is whole."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.2e}"
    if float(value).is_integer():
        return f"{value:.0f}"
    # Rounded first, because 9.996 has one digit fewer behind the point than it seems to have.
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{decimals}f}"


def energy_with_spread(energy_kwh: float | None, stdev_kwh: float | None) -> str:
    """Write a mean energy with its standard deviation in the same unit: "5.13 ± 0.0086 Wh"."""
    if energy_kwh is None or stdev_kwh is None:
        return energy(energy_kwh)
    size, symbol = _unit_for(energy_kwh, _ENERGY_UNITS)
    return f"{number(energy_kwh / size)} ± {spread(stdev_kwh / size)} {symbol}"


def mass_with_spread(mass_kg: float | None, stdev_kg: float | None) -> str:
    """Write a mass with its standard deviation in the same unit: "1.95 ± 0.098 kg"."""
    if mass_kg is None or stdev_kg is None:
        return mass(mass_kg)
    size, symbol = _unit_for(mass_kg, _MASS_UNITS)
    return f"{number(mass_kg / size)} ± {spread(stdev_kg / size)} {symbol}"


def energy_band(energy_kwh: float | None, relative: float | None) -> str:
    """Write an energy's standard uncertainty in the energy's own unit: "± 0.15 kWh"."""
    return _band(energy_kwh, relative, _ENERGY_UNITS)


def mass_band(mass_kg: float | None, relative: float | None) -> str:
    """Write a mass's standard uncertainty in the mass's own unit: "± 57 g"."""
    return _band(mass_kg, relative, _MASS_UNITS)


def absolute(value: float | None, relative: float | None) -> float | None:
    """Return a standard uncertainty in the unit of its value, or None where either is unknown."""
    return None if value is None or relative is None else value * relative


def duration_with_spread(duration_s: float, stdev_s: float | None) -> str:
    """Write a mean duration with its standard deviation in the same unit: "62.1 ± 0.2 s"."""
    fitting = [unit for unit in _DURATION_UNITS if duration_s >= unit[0]]
    _, size, symbol = fitting[-1]
    mean = f"{number(duration_s / size)}"
    return f"{mean} {symbol}" if stdev_s is None else f"{mean} ± {spread(stdev_s / size)} {symbol}"


def uncertainty(relative: float | None) -> str:
    """Write a relative standard uncertainty as a band: 0.05 is "± 5 %"."""
    return f"± {UNKNOWN}" if relative is None else f"± {percent(relative)}"


def percent(fraction: float | None) -> str:
    """Write a fraction as a percentage: 0.064 is "6.4 %", 0.3 is "30 %".

    What is not all is never written as "100 %".
    """
    if fraction is None:
        return UNKNOWN
    value = fraction * 100
    if value != 0 and abs(value) < 0.1:
        return "under 0.1 %" if value > 0 else "0 %"
    # Parts of a sum may miss their whole by a rounding error.
    if 99.5 <= value < 100 and not math.isclose(value, 100, rel_tol=1e-12):
        return f"{value:.1f} %" if value < 99.95 else "over 99.9 %"
    return f"{value:,.0f} %" if abs(value) >= 9.95 else f"{value:.1f}".removesuffix(".0") + " %"


def intensity(intensity_g_per_kwh: float | None) -> str:
    """Write a grid carbon intensity."""
    if intensity_g_per_kwh is None:
        return UNKNOWN
    return f"{number(intensity_g_per_kwh)} g CO₂e/kWh"


def source(name: str | None, year: int | None) -> str:
    """Write where a factor is from and for which year it holds."""
    return f"{name or 'source unknown'}, {year or 'year unknown'}"


def duration(duration_s: float | None) -> str:
    """Write a duration in its two largest units: "0.4 s", "1 min 5 s", "2 h 3 min", "3 d 4 h"."""
    if duration_s is None:
        return UNKNOWN
    if duration_s < 1:
        return f"{number(duration_s * 1000)} ms" if duration_s > 0 else "0 s"
    if duration_s < 59.95:
        return f"{duration_s:.1f}".removesuffix(".0") + " s"
    seconds = round(duration_s)
    steps = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, name, below, below_name in steps:
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            part = rest // below
            return f"{whole:,} {name}" + (f" {part} {below_name}" if part else "")
    raise AssertionError(f"no unit for {duration_s} s")


def moment(instant: datetime | None) -> str:
    """Write an instant in UTC, to the minute."""
    if instant is None:
        return UNKNOWN
    utc = instant.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"


def day(date: date) -> str:
    """Write a day: "1 Mar 2026"."""
    return f"{date.day} {date:%b %Y}"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """Write a count with its noun: "1 run", "2 runs", "1,234 runs"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def place(country_iso_code: str | None, region: str | None) -> str:
    """Write a place: "Germany", "California, United States", or that it is unknown.

    A region whose name was typed in lower case gets its capitals; a code such as "us-east-1" or
    "ca" stays as it is.
    """
    if region is not None and _LOWER_CASE_NAME.fullmatch(region) and region.islower():
        region = region.title()
    country = country_iso_code and (country_name(country_iso_code) or country_iso_code)
    return ", ".join(part for part in (region, country) if part) or "an unknown place"


def method(name: str | None) -> str:
    """Write how an energy was measured; several methods are joined by "+" on the wire."""
    if name is None:
        return "not measured"
    return " + ".join(_METHODS.get(part, part) for part in name.split("+"))


def configuration(strategy: str | None, workers: int) -> str:
    """Write a training configuration: "ddp × 2"."""
    return f"{strategy or 'no strategy'} × {workers}"


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if 0.1 <= abs(amount) < 1000 else number(amount)


def spread(stdev: float) -> str:
    """Write a standard deviation with two significant digits, which is more than it has."""
    if stdev == 0 or stdev >= 10:
        return f"{stdev:,.0f}"
    rounded = float(f"{stdev:.2g}")
    return f"{rounded:.{max(0, 1 - math.floor(math.log10(rounded)))}f}"


def _band(value: float | None, relative: float | None, units: tuple[tuple[float, str], ...]) -> str:
    """Write the band of a known value; of an unknown one there is nothing to write."""
    if value is None:
        return ""
    if relative is None:
        return f"± {UNKNOWN}"
    size, symbol = _unit_for(value, units)
    return f"± {spread(value * relative / size)} {symbol}"


def _in_unit(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size, symbol = _unit_for(value, units)
    return f"{number(value / size)} {symbol}"


def _unit_for(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """Return the largest unit in which `value` is at least 1; zero is in the third, Wh or g."""
    if value == 0:
        return units[2]
    # 0.9996 of a unit is written as 1, so it already belongs to that unit.
    fitting = [unit for unit in units if value >= 0.9995 * unit[0]]
    return fitting[-1] if fitting else units[0]
