"""A database's URL as it may be shown: without its passwords."""

from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_MASK = "***"
# What PostgreSQL's drivers also take from a URL's query.
_SECRET_OPTIONS = frozenset({"password", "passwd", "sslpassword"})


def shown(url: URL) -> str:
    """Return the URL as text, with a mask in place of every password."""
    hidden = {key: _MASK for key in url.query if key.lower() in _SECRET_OPTIONS}
    return url.update_query_dict(hidden).render_as_string().replace(quote(_MASK), _MASK)


def shown_text(text: str) -> str:
    """Return a text that is meant as a database's URL as it may be shown.

    Of one that is no URL, nothing after its scheme that stands before an "@" or after a "?".
    """
    try:
        return shown(make_url(text))
    except (ArgumentError, ValueError):
        plain, question, _ = text.partition("?")
        before, at, after = plain.rpartition("@")
        scheme, slashes, _ = before.partition("//")
        kept = f"{scheme if slashes else ''}{slashes}{_MASK}{at}{after}" if at else plain
        return f"{kept}{question}{_MASK}" if question else kept


def secrets_in(text: str) -> Iterable[str]:
    """Return the passwords in a database's URL, as they are and as the URL writes them."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return []
    found = [str(url.password)] if url.password is not None else []
    for key, value in url.query.items():
        if key.lower() in _SECRET_OPTIONS:
            found += [value] if isinstance(value, str) else value
    return {
        form for secret in found for form in (secret, quote(secret, safe=""), quote_plus(secret))
    }
