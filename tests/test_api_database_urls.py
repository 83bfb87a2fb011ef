"""No password of a database is shown, wherever its URL holds it."""

import pytest
from sqlalchemy import make_url

from api.database_urls import secrets_in, shown, shown_text
from carbon.settings import Settings

URLS = [
    ("sqlite:////var/lib/ledger.db", "sqlite:////var/lib/ledger.db"),
    ("postgresql+psycopg://u:hunter22@h:5432/db", "postgresql+psycopg://u:***@h:5432/db"),
    ("postgresql://u:hunter%2022@h/db", "postgresql://u:***@h/db"),
    ("postgresql://h/db?password=hunter22&user=u", "postgresql://h/db?password=***&user=u"),
    ("postgresql://h/db?sslpassword=hunter22", "postgresql://h/db?sslpassword=***"),
    ("postgresql://u:hunter22@h:port/db", "postgresql://***@h:port/db"),
    ("postgresql//u:hunter22@h/db?x=hunter22", "postgresql//***@h/db?***"),
    ("hunter22@h", "***@h"),
    ("ledger", "ledger"),
]


@pytest.mark.parametrize(("text", "expected"), URLS)
def test_a_url_is_shown_without_its_passwords(text: str, expected: str) -> None:
    assert shown_text(text) == expected


def test_a_url_that_was_read_is_shown_in_the_same_way() -> None:
    url = make_url("postgresql://u:hunter22@h/db?password=hunter22")
    assert shown(url) == "postgresql://u:***@h/db?password=***"
    assert url.password == "hunter22"


def test_secrets_are_known_as_they_are_and_as_they_are_written() -> None:
    found = set(secrets_in("postgresql://u:p%40ss%20word@h/db?sslpassword=other"))
    assert found == {"p@ss word", "p%40ss%20word", "p%40ss+word", "other"}
    assert not set(secrets_in("sqlite:///ledger.db"))
    assert not set(secrets_in("no url"))


def test_settings_do_not_show_it_where_they_are_printed() -> None:
    settings = Settings(database_url="postgresql://u:hunter22@h/db", api_key="hunter22")
    assert "hunter22" not in f"{settings} {settings!r}"
