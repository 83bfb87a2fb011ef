"""Country codes and names, ISO 3166-1 alpha-3, from the `pycountry` database."""

from functools import cache


@cache
def is_country(code: str) -> bool:
    """Tell whether `code` is an assigned ISO 3166-1 alpha-3 code."""
    return country_name(code) is not None


def country_name(code: str) -> str | None:
    """Return the country's common English name, or None for a code that is not assigned."""
    import pycountry

    country = pycountry.countries.get(alpha_3=code)
    if country is None:
        return None
    return str(getattr(country, "common_name", country.name))


def numeric_code(code: str) -> str | None:
    """Return the ISO 3166-1 numeric code, by which map data names countries: "276" for DEU."""
    import pycountry

    country = pycountry.countries.get(alpha_3=code)
    return None if country is None else str(country.numeric)
