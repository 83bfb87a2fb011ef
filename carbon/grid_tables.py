"""CodeCarbon's tables of carbon intensity, each row with its source and year.

The files are read where CodeCarbon installs them, without importing it. They do not count alike:

- countries: Our World in Data, CO2e over the life cycle of each source of generation;
- US states: EPA eGRID, CO2e of generation, combustion only;
- Canadian provinces: no intensity but a mix of generation (Canada Energy Regulator, Canada's Energy
  Future, https://doi.org/10.35002/zjr8-8x75), multiplied here as CodeCarbon does, combustion only;
- Chinese provinces: official factors, CO2 only, transfers between provinces included;
- Nordic bidding zones: ENTSO-E generation and CodeCarbon's life-cycle factor of each source;
- Google Cloud regions: Google's location-based intensity of the grid.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from carbon.countries import country_name
from carbon.schema import GridFactor

_GRAMS_PER_POUND = 453.59237
"""Exact: NIST SP 811 (2008), appendix B.8."""

_KWH_PER_MWH = 1000.0

_CANADIAN_FUELS = {"coal": 995.725971, "petroleum": 816.6885263, "naturalGas": 743.8415916}
"""g/kWh by the table's names for the fuels; everything else in a Canadian mix counts as zero, as in
https://github.com/responsibleproblemsolving/energy-usage#conversion-to-co2, CodeCarbon's source."""

_CANADIAN_YEAR = 2023
"""The table names no year, the folder that it is in does."""

_GOOGLE_YEAR = 2023
"""The table names no year. Its figures are those of data/yearly/2023.csv in
https://github.com/GoogleCloudPlatform/region-carbon-info, all forty of them."""

_MISSPELT_CLOUD_REGIONS = {"me-cenrtal1": "me-central1"}
_NORDIC_COUNTRIES = {"SE": "SWE", "NO": "NOR", "FI": "FIN"}
_LOWER_CASE_IN_NAMES = frozenset({"and", "of"})


@dataclass(frozen=True)
class Region:
    """A region's factor and the names that it answers to, the one shown among them."""

    names: tuple[str, ...]
    factor: GridFactor


def country_codes() -> list[str]:
    """Return the ISO 3166-1 alpha-3 codes that the table of countries has a row for."""
    return list(_read_json("private_infra/global_energy_mix.json"))


def country_factor(code: str) -> GridFactor | None:
    """Return a country's factor, or None where the table has none.

    One row holds an intensity of zero: in the Central African Republic 0.15 TWh of hydropower give
    0.00 Mt in the two decimals of the source. That is a rounding and no measurement: it is unknown.
    """
    row = _read_json("private_infra/global_energy_mix.json").get(code)
    if row is None or not row["carbon_intensity"]:
        return None
    return GridFactor(
        country_iso_code=code,
        country_name=country_name(code) or code,
        region=None,
        provider=None,
        intensity_g_per_kwh=row["carbon_intensity"],
        source=_shipped("Our World in Data"),
        year=row["year"],
        mix_percent=_shares(
            {
                "coal": row["coal_TWh"],
                "gas": row["gas_TWh"],
                "oil": row["oil_TWh"],
                "nuclear": row["nuclear_TWh"],
                "hydro": row["hydroelectricity_TWh"],
                "wind": row["wind_TWh"],
                "solar": row["solar_TWh"],
                "other_renewable": _other_renewable_twh(row),
            }
        ),
    )


@cache
def regions() -> tuple[Region, ...]:
    """Return the regions of the countries that have any, cloud regions not among them."""
    return (*_us_states(), *_canadian_provinces(), *_chinese_provinces(), *_nordic_zones())


@cache
def cloud_regions() -> tuple[Region, ...]:
    """Return the regions of cloud providers; only Google publishes any."""
    found = []
    with (_folder() / "cloud/impact.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            name = _MISSPELT_CLOUD_REGIONS.get(row["region"], row["region"])
            source = f"{row['providerName']} region carbon data ({row['source']})"
            factor = _region_factor(
                row["countryIsoCode"], name, float(row["impact"]), source, _GOOGLE_YEAR
            )
            factor = factor.model_copy(update={"provider": row["provider"]})
            found.append(Region(names=(name,), factor=factor))
    return tuple(found)


def _us_states() -> Iterator[Region]:
    table = dict(_read_json("private_infra/2023/usa_emissions.json"))
    origin = table.pop("_source")
    # The units, and the nation: its figure here is eGRID's and not the one of the countries' table.
    del table["_unit"], table["usa"]
    for name, row in table.items():
        intensity = row["emissions"] * _GRAMS_PER_POUND / _KWH_PER_MWH
        code = row["regionCode"]
        yield Region(
            names=(name, code, f"US-{code}"),
            factor=_region_factor("USA", _title(name), intensity, origin["name"], origin["year"]),
        )


def _canadian_provinces() -> Iterator[Region]:
    fuels = _CANADIAN_FUELS
    source = (
        "Canada Energy Regulator's mix of generation, times "
        f"{fuels['coal']:.0f} g/kWh for coal, {fuels['petroleum']:.0f} for petroleum, "
        f"{fuels['naturalGas']:.0f} for natural gas and 0 for the rest"
    )
    for name, mix in _read_json("private_infra/2023/canada_energy_mix.json").items():
        intensity = sum(grams * mix[fuel] for fuel, grams in fuels.items()) / mix["total"]
        factor = _region_factor("CAN", _title(name), intensity, source, _CANADIAN_YEAR)
        shares = _shares(
            {
                "coal": mix["coal"],
                "gas": mix["naturalGas"],
                "oil": mix["petroleum"],
                "nuclear": mix["nuclear"],
                "hydro": mix["hydro"],
                "wind": mix["wind"],
                "solar": mix["solar"],
                "other_renewable": mix["biomass"] + mix["tidal"],
            }
        )
        yield Region(names=(name,), factor=factor.model_copy(update={"mix_percent": shares}))


def _chinese_provinces() -> Iterator[Region]:
    document = _read_json("private_infra/2023/china_provincial_emissions.json")
    source = (
        "Ministry of Ecology and Environment and National Bureau of Statistics of China, "
        f"Announcement {document['metadata']['announcement']}, CO2 only"
    )
    for code, row in document["data"].items():
        name = row["description"]
        factor = _region_factor("CHN", name, row["emission_factor"], source, row["year"])
        yield Region(names=(code, name, *row["names"]), factor=factor)


def _nordic_zones() -> Iterator[Region]:
    for zone, row in _read_json("private_infra/nordic_emissions.json")["data"].items():
        # Finland's row says nothing of generation: the file calls it a prior value, unchanged.
        source = (
            f"ENTSO-E generation by type, {row['coverage'].split()[0]} of it with a factor"
            if "coverage" in row
            else "a figure of CodeCarbon's own, origin not stated"
        )
        country = _NORDIC_COUNTRIES[zone[:2]]
        factor = _region_factor(country, zone, row["emission_factor"], source, row["year"])
        yield Region(names=(zone,), factor=factor)


def _region_factor(
    country: str, region: str, intensity_g_per_kwh: float, source: str, year: int
) -> GridFactor:
    return GridFactor(
        country_iso_code=country,
        country_name=country_name(country) or country,
        region=region,
        provider=None,
        intensity_g_per_kwh=intensity_g_per_kwh,
        source=_shipped(source),
        year=year,
        mix_percent=None,
    )


def _other_renewable_twh(row: dict[str, Any]) -> float:
    """Return bioenergy and the other renewables of a country, in TWh.

    A row holds them twice, as `other_renewable_TWh` and as two parts, of which either may be
    missing (Chile has no bioenergy among the parts; French Guiana, Reunion and Singapore have it
    only there) or of another vintage (Brazil, India ...). The larger is taken.
    """
    parts = row["biofuel_TWh"] + row["other_renewable_exc_biofuel_TWh"]
    return float(max(row["other_renewable_TWh"], parts))


def _shares(amounts: dict[str, float]) -> dict[str, float] | None:
    """Return shares in percent of the sum, so that they add up to 100.

    The sum, and not the row's own total: they agree within 0.3 %, but for Chile, whose total lacks
    its bioenergy, 7 % of it.
    """
    total = sum(amounts.values())
    return {name: 100 * amount / total for name, amount in amounts.items()} if total else None


def _title(name: str) -> str:
    return " ".join(w if w in _LOWER_CASE_IN_NAMES else w.capitalize() for w in name.split())


@cache
def _shipped(source: str) -> str:
    from importlib.metadata import version  # 20 ms, which `import carbon` does not have.

    return f"{source}, as shipped with CodeCarbon {version('codecarbon')}"


@cache
def _read_json(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((_folder() / name).read_text(encoding="utf-8"))
    return document


@cache
def _folder() -> Path:
    spec = find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "the grid data comes with codecarbon, which is not installed; "
            "install carbon-ledger with its dependencies",
            name="codecarbon",
        )
    return Path(spec.submodule_search_locations[0]) / "data"
