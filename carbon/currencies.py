"""Currency codes, ISO 4217, from the `pycountry` database."""


def is_currency(code: str) -> bool:
    """Tell whether `code` is an assigned ISO 4217 code of three letters."""
    import pycountry

    return pycountry.currencies.get(alpha_3=code) is not None
