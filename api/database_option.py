"""The `--database` option of every command that opens a ledger."""

import argparse
from pathlib import Path

from sqlalchemy import URL

from carbon import settings
from carbon.settings import Settings


def add_database_option(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which ledger it is about."""
    parser.add_argument(
        "--database",
        metavar="URL",
        help="SQLAlchemy URL of the ledger, or the path of a SQLite file (default: "
        "CARBON_DATABASE_URL, else a file in the user's state directory)",
    )


def settings_for(options: argparse.Namespace) -> Settings:
    """Return the settings, with the ledger that the options name if they name one.

    Raises:
        SettingsError: a setting that cannot be used.
    """
    named = None if options.database is None else _url_of(options.database)
    return settings.load(database_url=named)


def _url_of(text: str) -> str:
    if ":" in text:
        return text
    path = str(Path(text).expanduser().absolute())
    return URL.create("sqlite", database=path).render_as_string()
