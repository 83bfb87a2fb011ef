"""Carbon intensity of electricity by country, region and cloud region.

Where there is no figure the answer is None. CodeCarbon, whose tables these are, takes a world
average of 475 g/kWh for the 36 countries that it lacks, and the country's figure for a region that
it does not know.
"""

import re
import unicodedata
from functools import cache
from hashlib import sha256

from carbon import grid_tables
from carbon.countries import country_name, is_country
from carbon.errors import UnknownPlaceError
from carbon.schema import GridFactor

_MOST_REGIONS_NAMED = 8

BUNDLED = "bundled-"
"""How the versions of the tables begin that come with the program."""

# What CodeCarbon leaves off a Chinese province before it compares.
_SUFFIX = re.compile(r" (autonomous region|municipality|province|sheng|shi|zizhiqu)$")


def check_place(country_iso_code: str | None, region: str | None) -> None:
    """Refuse a place that cannot be meant.

    A country that exists but has no figure passes: its emissions are unknown.

    Raises:
        UnknownPlaceError: a region without a country, a code that is not assigned in ISO 3166-1
            alpha-3, or a region for which the country has no figure.
    """
    if country_iso_code is None:
        if region is not None:
            raise UnknownPlaceError(
                f"the region {region!r} needs its country beside it, as an ISO 3166-1 alpha-3 code "
                "such as USA"
            )
        return
    if not _is_code(country_iso_code):
        raise UnknownPlaceError(
            f"{country_iso_code!r} is not an ISO 3166-1 alpha-3 country code such as DEU or USA"
            f"{_country_hint(country_iso_code)}"
        )
    if region is not None and plain_name(region) not in _by_name(country_iso_code):
        raise UnknownPlaceError(
            f"no figure for the region {region!r} of {country_name(country_iso_code)}"
            f"{_region_hint(country_iso_code, region)}; {_way_out(country_iso_code)}"
        )


def lookup(country_iso_code: str | None, region: str | None) -> GridFactor | None:
    """Return the factor of a country, or of its region where one is given, or None if unknown.

    A region goes by its name in any case and without its accents, a US state also by its two-letter
    code, a Chinese province by its ISO 3166-2 code, a cloud region by its provider's name for it. A
    region that is not known is None and never the country's figure.
    """
    if country_iso_code is None or not _is_code(country_iso_code):
        return None
    if region is None:
        return grid_tables.country_factor(country_iso_code)
    return _by_name(country_iso_code).get(plain_name(region))


def all_factors() -> list[GridFactor]:
    """Return every factor by country name: in each its own, its regions', its cloud regions'."""
    countries = map(grid_tables.country_factor, grid_tables.country_codes())
    every = [factor for factor in countries if factor is not None]
    every += [region.factor for region in grid_tables.regions()]
    every += [region.factor for region in grid_tables.cloud_regions()]
    return sorted(every, key=lambda f: (f.country_name, f.provider or "", f.region or ""))


@cache
def bundled_version() -> str:
    """Return what these factors are called as a table of their own: by their hash."""
    rows = [(f.country_iso_code, f.region, f.intensity_g_per_kwh, f.year) for f in all_factors()]
    return f"{BUNDLED}{sha256(repr(rows).encode()).hexdigest()[:12]}"


def names_of(factor: GridFactor) -> tuple[str, ...]:
    """Return the names that a factor's region answers to, as they are compared; "" of a country."""
    if factor.region is None:
        return ("",)
    known = _by_name(factor.country_iso_code)
    return tuple(name for name, found in known.items() if found is factor)


def plain_name(name: str) -> str:
    """Return the form in which regions' names are compared: no accents or case, single spaces."""
    letters = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return _SUFFIX.sub("", " ".join(plain.casefold().split()))


@cache
def _by_name(country: str) -> dict[str, GridFactor]:
    known = (*grid_tables.cloud_regions(), *grid_tables.regions())
    return {
        plain_name(name): region.factor
        for region in known
        if region.factor.country_iso_code == country
        for name in region.names
    }


def _is_code(code: str) -> bool:
    return re.fullmatch("[A-Z]{3}", code) is not None and is_country(code)


def _country_hint(given: str) -> str:
    if _is_code(given.upper()):
        return f"; did you mean {given.upper()}?"
    codes = {plain_name(country_name(code) or code): code for code in grid_tables.country_codes()}
    close = _close(plain_name(given), codes)
    return f"; did you mean {codes[close[0]]}?" if close else ""


def _region_hint(country: str, given: str) -> str:
    known = _by_name(country)
    if not known:
        return ", which has no regional figures"
    close = _close(plain_name(given), known)
    if close:
        meant = dict.fromkeys(str(known[name].region) for name in close)
        return f"; did you mean {' or '.join(meant)}?"
    names = sorted({str(factor.region) for factor in known.values()})
    more = len(names) - _MOST_REGIONS_NAMED
    shown = ", ".join(names[:_MOST_REGIONS_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"; there are figures for {shown}"


def _close(given: str, known: dict[str, GridFactor] | dict[str, str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(given, known, n=3, cutoff=0.7)


def _way_out(country: str) -> str:
    if grid_tables.country_factor(country) is None:
        return "leave the region out; the country has no figure either, so emissions are unknown"
    return "leave the region out to use the country's figure"
