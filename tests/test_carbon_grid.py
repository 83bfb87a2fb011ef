"""The grid data against CodeCarbon's own computation, over its whole tables."""

import json
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
from codecarbon.core.emissions import Emissions
from codecarbon.core.units import Energy
from codecarbon.external.geography import CloudMetadata, GeoMetadata
from codecarbon.input import DataSource

from carbon import grid
from carbon.errors import UnknownPlaceError
from carbon.schema import GridFactor, Place
from tests.patience import PATIENCE_S

ROUNDED_TO_ZERO = "CAF"
"""0.15 TWh of hydropower, whose emissions the source rounds to nothing."""

MIXES = DataSource().get_global_energy_mix_data()
USA = DataSource().get_country_emissions_data("usa")
CANADA = DataSource().get_country_energy_mix_data("can")
CHINA = DataSource().get_china_provincial_emissions_data()["data"]
NORDIC = DataSource().get_nordic_country_energy_mix_data()["data"]
CLOUD = DataSource().get_cloud_emissions_data().to_dict("records")

STATES = sorted(set(USA) - {"_source", "_unit", "usa"})
ZONES = [({"SE": "SWE", "NO": "NOR", "FI": "FIN"}[zone[:2]], zone) for zone in sorted(NORDIC)]
REGIONS = [
    *(("USA", state) for state in STATES),
    *(("CAN", province) for province in sorted(CANADA)),
    *(("CHN", name) for entry in CHINA.values() for name in entry["names"]),
    *ZONES,
]


def codecarbon_g_per_kwh(country: str, region: str | None = None) -> float:
    geo = GeoMetadata(country_iso_code=country, country_name=country, region=region)
    kg = Emissions(DataSource()).get_private_infra_emissions(Energy.from_energy(kWh=1), geo)
    return float(kg) * 1000


def known(country: str | None, region: str | None = None) -> GridFactor:
    factor = grid.lookup(country, region)
    assert factor is not None
    return factor


@pytest.mark.parametrize("country", sorted(set(MIXES) - {ROUNDED_TO_ZERO}))
def test_every_country_agrees_with_codecarbon(country: str) -> None:
    factor = known(country)
    assert factor.intensity_g_per_kwh == pytest.approx(codecarbon_g_per_kwh(country), rel=1e-6)
    assert factor.year == MIXES[country]["year"]
    assert factor.source.startswith("Our World in Data, as shipped with CodeCarbon 3.")
    assert (factor.region, factor.provider) == (None, None)


@pytest.mark.parametrize(("country", "region"), REGIONS)
def test_every_region_agrees_with_codecarbon(country: str, region: str) -> None:
    expected = codecarbon_g_per_kwh(country, region)
    assert known(country, region).intensity_g_per_kwh == pytest.approx(expected, rel=1e-6)
    # A region that CodeCarbon did not find would come back as the country's figure.
    assert expected != pytest.approx(codecarbon_g_per_kwh(country), rel=1e-6)


@pytest.mark.parametrize("row", CLOUD, ids=lambda row: str(row["region"]))
def test_every_cloud_region_agrees_with_codecarbon(row: dict[str, Any]) -> None:
    cloud = CloudMetadata(provider=row["provider"], region=row["region"])
    expected = Emissions(DataSource()).get_cloud_emissions(Energy.from_energy(kWh=1), cloud)
    name = row["region"].replace("cenrtal", "central")
    factor = known(row["countryIsoCode"], name)
    assert factor.intensity_g_per_kwh == pytest.approx(float(expected) * 1000, rel=1e-6)
    assert (factor.provider, factor.region) == ("gcp", name)


def test_the_tables_are_the_whole_tables() -> None:
    assert len(MIXES) > 200
    assert len(STATES) == 51  # Fifty and the District of Columbia.
    assert len(CANADA) == 13
    assert len(CHINA) == 30
    assert len(grid.all_factors()) == (
        len(MIXES) - 1 + len(STATES) + len(CANADA) + len(CHINA) + len(NORDIC) + len(CLOUD)
    )


def test_the_year_of_the_cloud_figures_is_that_of_googles_table() -> None:
    # From data/yearly/2023.csv of GoogleCloudPlatform/region-carbon-info. CodeCarbon's file names
    # no year: should these change, so must the year.
    for country, region, intensity in [
        ("DEU", "europe-west3", 345),
        ("USA", "us-central1", 430),
        ("FIN", "europe-north1", 46),
        ("ZAF", "africa-south1", 646),
    ]:
        factor = known(country, region)
        assert (factor.intensity_g_per_kwh, factor.year) == (intensity, 2023)


@pytest.mark.parametrize("country", ["AND", "MCO", "VAT", ROUNDED_TO_ZERO])
def test_a_country_without_a_figure_is_unknown_and_no_error(country: str) -> None:
    grid.check_place(country, None)
    assert grid.lookup(country, None) is None


@pytest.mark.parametrize(
    "place", [(None, None), ("XXX", None), ("deu", None), (None, "California"), ("DEU", "Bavaria")]
)
def test_what_is_not_known_is_never_guessed(place: tuple[str | None, str | None]) -> None:
    assert grid.lookup(*place) is None


def test_no_place_at_all_is_fine() -> None:
    grid.check_place(None, None)


@pytest.mark.parametrize("factor", grid.all_factors(), ids=lambda f: f"{f.region}-{f.country_name}")
def test_what_is_listed_is_found_accepted_and_fits_a_report(factor: GridFactor) -> None:
    country, region = factor.country_iso_code, factor.region
    grid.check_place(country, region)
    assert grid.lookup(country, region) == factor
    place = Place(
        country_iso_code=country,
        region=region,
        intensity_g_per_kwh=factor.intensity_g_per_kwh,
        intensity_source=factor.source,
        intensity_year=factor.year,
    )
    assert 0 < (place.intensity_g_per_kwh or 0) < 1500
    assert factor.source.endswith(f"as shipped with CodeCarbon {version('codecarbon')}")
    assert factor.country_name != country


def test_the_list_is_sorted_and_names_no_place_twice() -> None:
    factors = grid.all_factors()
    places = [(f.country_name, f.provider or "", f.region or "") for f in factors]
    assert places == sorted(set(places))


@pytest.mark.parametrize(
    ("country", "spelt", "region"),
    [
        ("USA", "CALIFORNIA", "California"),
        ("USA", "ca", "California"),
        ("USA", "US-CA", "California"),
        ("USA", " new  york ", "New York"),
        ("USA", "dc", "District of Columbia"),
        ("CAN", "Québec", "Quebec"),
        ("CAN", "newfoundland AND labrador", "Newfoundland and Labrador"),
        ("CHN", "CN-NM", "Inner Mongolia"),
        ("CHN", "Neimenggu", "Inner Mongolia"),
        ("CHN", "Guangxi Zhuang Autonomous Region", "Guangxi"),
        ("CHN", "sichuan province", "Sichuan"),
        ("SWE", "se3", "SE3"),
        ("DEU", "Europe-West3", "europe-west3"),
    ],
)
def test_regions_go_by_other_spellings(country: str, spelt: str, region: str) -> None:
    grid.check_place(country, spelt)
    assert known(country, spelt).region == region


@pytest.mark.parametrize(
    ("country", "region", "message"),
    [
        (None, "California", "'California' needs its country"),
        ("XXX", None, "'XXX' is not an ISO 3166-1 alpha-3 country code"),
        ("deu", None, r"did you mean DEU\?"),
        ("Germny", None, r"did you mean DEU\?"),
        ("", None, "'' is not an ISO"),
        (
            "USA",
            "Califronia",
            r"did you mean California\?; leave the region out to use the country's",
        ),
        ("USA", "usa", "no figure for the region 'usa' of United States"),
        ("CAN", "QC", r"there are figures for Alberta, .* and 7 more; leave the region out"),
        ("CHN", "Tibet", "no figure for the region 'Tibet' of China"),
        ("DEU", "Bayern", "there are figures for europe-west10, europe-west3; leave"),
        ("GRL", "Nuuk", "which has no regional figures; leave the region out to use the country's"),
        ("AND", "Ordino", "the country has no figure either, so emissions are unknown"),
        ("SWE", "NO1", "no figure for the region 'NO1' of Sweden"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused(
    country: str | None, region: str | None, message: str
) -> None:
    with pytest.raises(UnknownPlaceError, match=message):
        grid.check_place(country, region)


@pytest.mark.parametrize("country", sorted(set(MIXES) - {ROUNDED_TO_ZERO}))
def test_the_mix_of_a_country_adds_up_and_is_its_tables(country: str) -> None:
    mix = known(country).mix_percent
    assert mix is not None
    assert list(mix) == [
        "coal",
        "gas",
        "oil",
        "nuclear",
        "hydro",
        "wind",
        "solar",
        "other_renewable",
    ]
    assert sum(mix.values()) == pytest.approx(100)
    row = MIXES[country]
    # The table's totals, and so its shares, agree with ours but where they lack the bioenergy.
    tolerance = 7 if country == "CHL" else 0.3
    assert mix["nuclear"] == pytest.approx(
        100 * row["nuclear_TWh"] / row["total_TWh"], abs=tolerance
    )
    fossil = 100 * row["fossil_TWh"] / row["total_TWh"]
    assert mix["coal"] + mix["gas"] + mix["oil"] == pytest.approx(fossil, abs=tolerance)


@pytest.mark.parametrize(
    ("country", "other_twh", "rest_twh"),
    [
        ("CHL", 6.027, 83.19),  # No bioenergy among the parts of its row,
        ("REU", 0.24, 2.85),  # only there,
        ("BRA", 55.833, 659.46),  # and in both places, a little different.
    ],
)
def test_bioenergy_counts_once_wherever_the_row_has_it(
    country: str, other_twh: float, rest_twh: float
) -> None:
    mix = known(country).mix_percent
    assert mix is not None
    expected = 100 * other_twh / (other_twh + rest_twh)
    assert mix["other_renewable"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("province", sorted(CANADA))
def test_the_mix_of_a_province_adds_up(province: str) -> None:
    mix = known("CAN", province).mix_percent
    assert mix is not None
    assert sum(mix.values()) == pytest.approx(100)
    assert mix["hydro"] == pytest.approx(CANADA[province]["hydro"], abs=0.3)


@pytest.mark.parametrize(
    ("country", "region", "source", "year"),
    [
        ("USA", "TX", "EPA eGRID2023", 2023),
        ("CAN", "Alberta", "Canada Energy Regulator's mix of generation, times 996 g/kWh", 2023),
        ("CHN", "Beijing", "Announcement 2025 No. 47, CO2 only", 2023),
        ("NOR", "NO4", "ENTSO-E generation by type, 98.65% of it with a factor", 2025),
        ("FIN", "FI", "a figure of CodeCarbon's own, origin not stated", 2025),
        ("FRA", "europe-west9", "https://cloud.google.com/sustainability/region-carbon", 2023),
    ],
)
def test_the_source_of_a_region_is_named(country: str, region: str, source: str, year: int) -> None:
    factor = known(country, region)
    assert source in factor.source
    assert factor.year == year


def test_looking_up_loads_neither_codecarbon_nor_pandas() -> None:
    program = (
        "import json, sys; from carbon import grid; "
        "before = [n for n in sys.modules if n.startswith('pycountry')]; "
        "grid.lookup('DEU', None); grid.all_factors(); "
        "print(json.dumps([before, [n for n in ('codecarbon', 'pandas') if n in sys.modules]]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert json.loads(run.stdout) == [[], []]
