"""`python -m api.key_commands`: the keys of a ledger's API, made, listed and revoked."""

import argparse
import getpass
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from api import audit, keys
from api.access import SCOPES
from api.audit import Deed
from api.database_option import add_database_option, settings_for
from api.database_urls import shown
from api.db import open_database, outage, writing
from api.keys import Key
from api.tables import RUNS
from carbon.errors import CarbonError, SettingsError, UsageError
from carbon.schema import Name

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_COLUMNS = ("ID", "NAME", "PROJECTS", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "STATE")
_UNKNOWN = "-"


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 not done and nothing changed."""
    options = _parser().parse_args(arguments)
    try:
        engine = open_database(settings_for(options).database_url)
        try:
            options.command(engine, options)
        except DBAPIError as error:
            raise SettingsError(f"{shown(engine.url)}: {outage(error).detail}") from error
        finally:
            engine.dispose()
    except CarbonError as error:
        print(f"carbon keys: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _create(engine: Engine, options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    expires_at = None if options.expires is None else _end_of(options.expires)
    if expires_at is not None and expires_at <= now:
        raise UsageError(f"--expires {options.expires} has passed; name a day to come")
    projects = list(dict.fromkeys(options.project)) or None
    with writing(engine) as connection:
        was_open = not keys.ask_for_one(keys.every(connection))
        key, text = keys.create(
            connection,
            projects=projects,
            scopes=[scope for scope in SCOPES if scope in (options.scope or ("ingest", "read"))],
            name=options.name,
            created_at=now,
            expires_at=expires_at,
        )
        _log(connection, options, "create", key)
        without_runs = _without_runs(connection, projects or [])
    # The key alone on standard output: for a file, or a variable of a script.
    print(text)  # noqa: T201
    until = "" if options.expires is None else f", until {options.expires} in UTC"
    _say(
        f"key {key.id} may {' and '.join(_abilities(key))} in {_places(key)}{until}. It is shown "
        "this once; whoever sends reports or reads sets it as CARBON_API_KEY"
    )
    for project in without_runs:
        _say(f"there is no run of project {project!r} yet: is it written as the trainings do?")
    if was_open:
        _say(f"it is the first key of {shown(engine.url)}: every server on it now asks for one")


def _list(engine: Engine, _options: argparse.Namespace) -> None:
    with engine.begin() as connection:
        held = keys.every(connection)
    if not held:
        _say(f"{shown(engine.url)} has no keys; make one with `carbon keys create`")
        return
    lines = [_COLUMNS, *(_line(key, datetime.now(UTC)) for key in held)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())  # noqa: T201


def _revoke(engine: Engine, options: argparse.Namespace) -> None:
    # Whoever pastes the whole key means it too, and it must not be shown again.
    key_id = keys.id_in(options.id) or options.id
    with writing(engine) as connection:
        before = keys.revoke(connection, key_id, datetime.now(UTC))
        if before is not None and before.revoked_at is None:
            _log(connection, options, "revoke", before)
        is_last = before is not None and not keys.ask_for_one(keys.every(connection))
    if before is None:
        raise UsageError(f"there is no key {keys.masked(key_id)!r} in {shown(engine.url)}")
    if before.revoked_at is not None:
        _say(f"key {key_id} was revoked at {_moment(before.revoked_at)} already")
        return
    _say(f"key {key_id} is revoked; servers that run refuse it within seconds")
    if is_last:
        _say(
            "no key is left: a server on a loopback address without CARBON_API_KEY is now open to "
            "this machine, one on another address refuses everyone"
        )


def _log(connection: Connection, options: argparse.Namespace, action: str, key: Key) -> None:
    """Log what is done to a key, for each of its projects apart: who sees one sees no other."""
    terms = {"name": key.name, "scopes": key.scopes, "expires_at": key.expires_at}
    shown = to_jsonable_python(terms)
    before, after = (None, shown) if action == "create" else (shown, None)
    what, deed = f"keys/{key.id}", Deed(_actor(settings_for(options).user), action)
    for project in key.projects or (None,):
        audit.add(connection, deed, {what: before}, {what: after}, project=project, runs=0)


def _actor(named: str | None) -> str:
    """Return who runs this, by the setting, else by their account, as the audit log names them."""
    try:
        user = getpass.getuser() if named is None else named
    except (ImportError, KeyError, OSError):
        user = ""  # An account without a name, as of a container's made-up number.
    return f"carbon keys ({user or 'somebody'} on {platform.node() or 'this machine'})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="carbon keys", description="The keys of a ledger's API.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    creating = commands.add_parser("create", help="make a key and show it, this once")
    creating.set_defaults(command=_create)
    creating.add_argument(
        "--project",
        type=_name,
        action="append",
        default=[],
        help="what it is for, as the trainings write it; repeatable; every project if left out",
    )
    creating.add_argument(
        "--scope",
        choices=SCOPES,
        action="append",
        help="what it may do; repeatable; admin is everything (default: ingest and read)",
    )
    creating.add_argument("--name", type=_name, help="whose it is, for the list")
    creating.add_argument(
        "--expires", type=_day, metavar="DATE", help="its last day, in UTC: 2030-12-31"
    )
    listing = commands.add_parser("list", help="list the keys, without their secrets")
    listing.set_defaults(command=_list)
    revoking = commands.add_parser("revoke", help="take a key back")
    revoking.set_defaults(command=_revoke)
    revoking.add_argument("id", metavar="ID", help="as the list has it")
    for command in (creating, listing, revoking):
        add_database_option(command)
    return parser


def _name(text: str) -> str:
    try:
        return _NAME.validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error.errors()[0]['msg']}") from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2030-12-31") from error


def _end_of(day: date) -> datetime:
    if day == date.max:
        raise UsageError(f"--expires {day} is the end of time; leave it out for a key without end")
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def _without_runs(connection: Connection, projects: Sequence[str]) -> list[str]:
    return [
        project
        for project in projects
        if connection.execute(
            select(RUNS.c.run_id).where(RUNS.c.project == project).limit(1)
        ).first()
        is None
    ]


def _abilities(key: Key) -> list[str]:
    return ["do everything"] if "admin" in key.scopes else list(key.scopes)


def _places(key: Key) -> str:
    if key.projects is None:
        return "every project, also those to come"
    return ", ".join(map(repr, key.projects))


def _line(key: Key, now: datetime) -> tuple[str, ...]:
    state = "active"
    if key.revoked_at is not None:
        state = f"revoked {_moment(key.revoked_at)}"
    elif key.expires_at is not None and key.expires_at <= now:
        state = "expired"
    projects = "all" if key.projects is None else ", ".join(key.projects)
    return (
        key.id,
        _plain(key.name or _UNKNOWN),
        _plain(projects),
        ", ".join(key.scopes),
        _moment(key.created_at),
        _last_day(key.expires_at),
        _moment(key.last_used_at),
        state,
    )


def _plain(text: str) -> str:
    """Return a text that a terminal shows as it is: no control characters."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _moment(moment: datetime | None) -> str:
    return _UNKNOWN if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _last_day(expires_at: datetime | None) -> str:
    """Return the day that `--expires` named: the key ends with it."""
    if expires_at is None:
        return _UNKNOWN
    return f"{expires_at.astimezone(UTC) - timedelta(microseconds=1):%Y-%m-%d}"


def _say(message: str) -> None:
    print(f"carbon keys: {message}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
