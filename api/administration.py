"""`python -m api.administration`: what is done to a ledger beside serving it."""

import argparse
import sys

from sqlalchemy.exc import DBAPIError

from api import migrate
from api.database_urls import shown
from api.engine import engine_of, url_of
from carbon import settings
from carbon.errors import CarbonError, SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 not done and nothing changed."""
    options = _parser().parse_args(arguments)
    try:
        named = None if options.database is None else url_of(options.database)
        upgrade(settings.load(database_url=named).database_url)
    except CarbonError as error:
        print(f"carbon db {options.command}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def upgrade(url_text: str) -> None:
    """Bring a ledger's schema up to this version's, and say what that took.

    Raises:
        SettingsError: it cannot be upgraded, and is as it was.
    """
    engine = engine_of(url_text)
    ledger = shown(engine.url)
    try:
        done = migrate.upgrade(engine)
    except DBAPIError as error:
        raise SettingsError(
            f"{ledger} is as it was and cannot be upgraded now: {error.orig}"
        ) from error
    finally:
        engine.dispose()
    if not done.steps:
        said = f"is up to date, at {done.revision}"
    elif done.was_empty:
        said = f"was empty, and is a ledger now, at {done.revision}"
    else:
        said = f"is upgraded to {done.revision}"
    for step in done.steps:
        print(f"{step.revision}  {step.title}")  # noqa: T201
    print(f"{ledger} {said}")  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api.administration", description="What is done to a ledger."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    upgrading = commands.add_parser(
        "upgrade", help="bring its tables up to this version's; safe to repeat"
    )
    upgrading.add_argument(
        "--database",
        metavar="URL",
        help="SQLAlchemy URL of the ledger, or the path of a SQLite file (default: "
        "CARBON_DATABASE_URL, else a file in the user's state directory)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
