"""The ledger's schema: which one a database has, and bringing it up to this version's.

The steps are in `api.migrations`; `api.tables` says what they come to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from api import derived
from api.database_urls import shown
from api.engine import BEGIN, WAY_OUT, file_of, snapshots_of
from api.tables import RUNS
from carbon.errors import SettingsError

# Any number that nobody else locks in the same database.
_ADVISORY_LOCK = int.from_bytes(b"ledger")


@dataclass(frozen=True)
class Step:
    """One migration: its revision, and what it is about.

    `filled_afterwards` tells for what that follows from the runs it makes room: labels, sums.
    """

    revision: str
    title: str
    filled_afterwards: tuple[str, ...]


@dataclass(frozen=True)
class Upgrade:
    """What was done to a ledger.

    Attributes:
        was_empty: whether there was no ledger in the database before.
        revision: the schema's revision now.
        steps: the migrations that were run, in their order; none where it was up to date.
    """

    was_empty: bool
    revision: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class _Schema:
    """A database's schema beside this version's.

    Attributes:
        is_empty: whether no ledger is in the database.
        revision: None in a ledger that was made before there were migrations, too.
        missing: the migrations between it and this version's.
        is_known: False where the revision is none of this version's.
    """

    is_empty: bool
    revision: str | None
    missing: tuple[Step, ...]
    is_known: bool = True


def make_or_check(engine: Engine) -> None:
    """Make the schema in an empty database, and accept no other one than this version's.

    Raises:
        SettingsError: names what mends it.
    """
    # One state: another server may be making the tables between two looks at them.
    with snapshots_of(engine).begin() as connection:
        schema = _schema_of(connection)
    if schema.is_empty:
        upgrade(engine)
        return
    _require_current(engine, schema)


def require_ledger(engine: Engine) -> None:
    """Accept nothing but a ledger that is there, of this version's schema; make none.

    Raises:
        SettingsError: names what mends it.
    """
    path = file_of(engine.url)
    schema = None
    if path is None or path.exists():
        with engine.begin() as connection:
            schema = _schema_of(connection)
    if schema is None or schema.is_empty:
        raise SettingsError(f"there is no ledger in {shown(engine.url)}; {WAY_OUT}")
    _require_current(engine, schema)


def upgrade(engine: Engine) -> Upgrade:
    """Bring the schema up to this version's, in one transaction: all of it or nothing.

    Raises:
        SettingsError: a schema that this version does not know.
    """
    with _alone(engine) as connection:
        schema = _schema_of(connection)
        _require_known(engine, schema)
        if schema.missing:
            command.upgrade(config(connection), "head")
            lacking = {name for step in schema.missing for name in step.filled_afterwards}
            if "labels" in lacking and not schema.is_empty:
                derived.fill(connection, labels_are_held=True)
            elif "sums" in lacking and not schema.is_empty:
                derived.sum_up(connection)
    return Upgrade(schema.is_empty, head(), schema.missing)


def head() -> str:
    """Return the revision of the schema that this version works with."""
    found = _scripts().get_current_head()
    assert found is not None
    return found


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database's schema, None where it has none."""
    revision: str | None = MigrationContext.configure(connection).get_current_revision()
    return revision


def config(connection: Connection | None = None) -> Config:
    """Return what Alembic has to know: where the migrations are, and in whose transaction."""
    options = Config(attributes={"connection": connection})
    options.set_main_option("script_location", "api:migrations")
    options.set_main_option("file_template", "m%%(rev)s_%%(slug)s")
    return options


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(config())


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that waits for others of its kind, and that readers do not notice."""
    with engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        yield connection


def _schema_of(connection: Connection) -> _Schema:
    revision = revision_of(connection)
    scripts = list(_scripts().walk_revisions())  # The newest first.
    revisions = [script.revision for script in scripts]
    if revision is None:
        is_empty = not inspect(connection).has_table(RUNS.name)
        return _Schema(is_empty, None, _steps(scripts))
    if revision not in revisions:
        return _Schema(False, revision, (), is_known=False)
    return _Schema(False, revision, _steps(scripts[: revisions.index(revision)]))


def _steps(newest_first: list[Script]) -> tuple[Step, ...]:
    return tuple(
        Step(script.revision, script.doc, getattr(script.module, "FILLED_AFTERWARDS", ()))
        for script in reversed(newest_first)
    )


def _require_known(engine: Engine, schema: _Schema) -> None:
    if not schema.is_known:
        raise SettingsError(
            f"{shown(engine.url)} was made by a later version of carbon-ledger: its "
            f"schema is {schema.revision}, and this version, {version('carbon-ledger')}, knows "
            f"none after {head()}; run `pip install --upgrade carbon-ledger`, or {WAY_OUT}"
        )


def _require_current(engine: Engine, schema: _Schema) -> None:
    _require_known(engine, schema)
    if schema.missing:
        raise SettingsError(
            f"{shown(engine.url)} was made by an earlier version of carbon-ledger: "
            f"its schema is {schema.revision or 'older than 0001'}, and this version works with "
            f"{head()}; stop every server on it and run `carbon db upgrade` with the same "
            "--database or CARBON_DATABASE_URL"
        )
