"""`python -m api.administration`: what is done to a ledger beside serving it."""

import argparse
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from api import backup, derived, migrate
from api.database_option import add_database_option, settings_for
from api.database_urls import shown
from api.db import writing
from api.engine import engine_of, snapshots_of
from api.months import KINDS
from api.settling import settle_months
from carbon.errors import CarbonError, SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 not done and nothing changed.

    Of `verify` 1 also says that something is wrong.
    """
    options = _parser().parse_args(arguments)
    try:
        engine = engine_of(settings_for(options).database_url)
        try:
            status: int = options.run(engine, options)
        except DBAPIError as error:
            raise SettingsError(
                f"{shown(engine.url)} is as it was and cannot be {options.done} now: {error.orig}"
            ) from error
        finally:
            engine.dispose()
    except CarbonError as error:
        print(f"carbon db {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return status


def upgrade(engine: Engine, _options: argparse.Namespace) -> int:
    """Bring a ledger's schema up to this version's, and say what that took."""
    done = migrate.upgrade(engine)
    if not done.steps:
        said = f"is up to date, at {done.revision}"
    elif done.was_empty:
        said = f"was empty, and is a ledger now, at {done.revision}"
    else:
        said = f"is upgraded to {done.revision}"
    for step in done.steps:
        print(f"{step.revision}  {step.title}")
    if not done.was_empty:
        _sum_up_months(engine)
    print(f"{shown(engine.url)} {said}")
    return 0


def _sum_up_months(engine: Engine) -> None:
    """Make the sums of months that are still to make, or the first who asks for them waits."""
    made = [count for kind in KINDS if (count := settle_months(engine, kind))]
    if made:
        print(f"months summed up for whoever asks first: {max(made)}, by {len(made)} groupings")


def verify(engine: Engine, options: argparse.Namespace) -> int:
    """Compare what follows from the runs with them; say what is wrong, and mend it if asked to."""
    migrate.require_ledger(engine)
    with (writing if options.repair else _reading)(engine) as connection:
        found = derived.differences(connection)
        if found and options.repair:
            derived.fill(connection)
    for line in found:
        print(line)
    ledger = shown(engine.url)
    if not found:
        print(f"{ledger}: all labels and sums are what the runs make")
    elif options.repair:
        print(f"{ledger}: made anew, {len(found)} differences are gone")
    else:
        print(
            f"carbon db verify: {len(found)} differences in {ledger}; --repair makes all labels "
            "and sums anew",
            file=sys.stderr,
        )
    return 1 if found and not options.repair else 0


def back_up(engine: Engine, options: argparse.Namespace) -> int:
    """Write a ledger into a file, and say what is in it."""
    migrate.require_ledger(engine)
    copied = backup.back_up(engine, options.file)
    print(f"{options.file} has {copied} of {shown(engine.url)}")
    return 0


def restore(engine: Engine, options: argparse.Namespace) -> int:
    """Fill an empty database from such a file, and say with what."""
    copied = backup.restore(engine, options.file)
    print(f"{shown(engine.url)} has {copied} of {options.file}")
    return 0


def _reading(engine: Engine) -> AbstractContextManager[Connection]:
    return snapshots_of(engine).begin()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api.administration", description="What is done to a ledger."
    )
    ledger = argparse.ArgumentParser(add_help=False)
    add_database_option(ledger)
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("file", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, done, run, parents, said in (
        (
            "upgrade",
            "upgraded",
            upgrade,
            [ledger],
            "bring its tables up to date; safe to repeat",
        ),
        ("verify", "verified", verify, [ledger], "compare its labels and sums with its runs"),
        (
            "backup",
            "backed up",
            back_up,
            [ledger, file],
            "write it into a file, while it is served",
        ),
        ("restore", "filled", restore, [ledger, file], "fill an empty database from such a file"),
    ):
        command = commands.add_parser(name, parents=parents, help=said)
        command.set_defaults(run=run, done=done)
        if name == "verify":
            command.add_argument(
                "--repair", action="store_true", help="make them anew where they differ"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
