"""A ledger's schema: made, brought up to date with its runs, or refused with what mends it."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, event, inspect, text, update
from sqlmodel import SQLModel
from starlette.testclient import TestClient

from api import administration, derived, labels, migrate, months
from api.app import create_app
from api.db import open_database
from api.engine import engine_of, snapshots_of
from api.tables import LABELS, RUNS
from carbon.errors import SettingsError
from tests.factories import make_report
from tests.fixtures.api import ROOT, clean_environment
from tests.fixtures.ledgers import Ledgers
from tests.patience import PATIENCE_S

REPORT = make_report()
PATH = f"/v1/runs/{REPORT.run_id}"
BODY = REPORT.model_dump_json()

# What earlier versions did not have yet, the last of them first.
AT_0008 = (
    "UPDATE alembic_version SET version_num = '0008'",
    "ALTER TABLE runs DROP COLUMN resumed_from",
)
AT_0007 = (
    *AT_0008,
    "UPDATE alembic_version SET version_num = '0007'",
    *(f"DROP TABLE {name}" for name in ("month_versions", "months_made", "month_sums")),
)
AT_0006 = (
    *AT_0007,
    "UPDATE alembic_version SET version_num = '0006'",
    "DROP TABLE node_days",
    "DROP TABLE gpu_days",
    # Its labels did not name who ran a run.
    "UPDATE runs SET labels = '[]'",
    "DELETE FROM run_labels",
)
AT_0003 = (
    *AT_0006,
    "UPDATE alembic_version SET version_num = '0003'",
    *(f"DROP TABLE {name}" for name in ("prices", "budgets", "crossings", "hardware")),
    "DROP TABLE unlabelled",
    *(f"DROP TABLE {name}" for name in ("audit", "costings", "factor_tables", "factors")),
    *(f"ALTER TABLE runs DROP COLUMN {n}" for n in ("factor_table", "corrections", "delivered")),
    *(
        f"ALTER TABLE runs DROP COLUMN market_{name}"
        for name in ("intensity_g_per_kwh", "source", "table", "emissions_kg")
    ),
    *(
        f"ALTER TABLE {table} DROP COLUMN market_emissions_kg_{part}"
        for table in ("totals", "days")
        for part in ("known", "quotient", "remainder")
    ),
)
AT_0001 = (
    *AT_0003,
    "UPDATE alembic_version SET version_num = '0001'",
    "DROP TABLE api_keys",
    "DROP TABLE totals",
    "DROP TABLE days",
    "DROP TABLE run_labels",
    *(
        f"DROP INDEX runs_by_{what}"
        for what in (
            "country",
            "region",
            "energy",
            "emissions",
            "duration",
            "time_with_amounts",
        )
    ),
    "ALTER TABLE runs DROP COLUMN labels",
    'ALTER TABLE runs DROP COLUMN "user"',
    "CREATE INDEX runs_by_time ON runs (started_at, run_id)",
)
UNSTAMPED = (*AT_0001, "DROP TABLE alembic_version")
WITHOUT_SHARES = (
    *UNSTAMPED,
    "DROP TABLE shares",
    "ALTER TABLE runs DROP COLUMN live_interval_s",
    "ALTER TABLE runs DROP COLUMN heard_at",
    "ALTER TABLE runs DROP COLUMN is_merged",
)
WITHOUT_SERIES = (*WITHOUT_SHARES, "DROP TABLE series")
WITHOUT_IDLE = (*WITHOUT_SERIES, "ALTER TABLE runs DROP COLUMN idle_energy_kwh")
EARLIER = [
    *(AT_0008, AT_0007, AT_0006, AT_0003, AT_0001, UNSTAMPED),
    *(WITHOUT_SHARES, WITHOUT_SERIES, WITHOUT_IDLE),
]


def alter(url: str, statements: Iterable[str]) -> None:
    engine = engine_of(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def tables(url: str) -> dict[str, set[str]]:
    """The columns of every table."""
    engine = engine_of(url)
    with engine.begin() as connection:
        found = inspect(connection)
        columns = {
            name: {column["name"] for column in found.get_columns(name)}
            for name in found.get_table_names()
        }
    engine.dispose()
    return columns


def made_by_an_earlier_version(ledgers: Ledgers, statements: Sequence[str]) -> str:
    """A ledger with a run in it, and the URL of its database."""
    with TestClient(create_app(ledgers.settings())) as client:
        assert client.put(PATH, content=BODY).status_code == 201
    alter(ledgers.url(), statements)
    return ledgers.url()


# ------------------------------------------------------------------------------------- a new ledger


def test_the_migrations_come_to_what_the_tables_say(ledgers: Ledgers) -> None:
    engine = open_database(ledgers.empty_url())
    compared = {"compare_type": True, "compare_server_default": True}
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts=compared)
        assert compare_metadata(context, SQLModel.metadata) == []
        if ledgers.backend == "sqlite":
            listed = connection.execute(text("PRAGMA table_list")).all()
            assert {table.name for table in listed if table.wr} == {
                table.name
                for table in SQLModel.metadata.sorted_tables
                if not table.dialect_options["sqlite"]["with_rowid"]
            }
        connection.execute(text("DROP INDEX runs_by_study"))
        connection.execute(text("ALTER TABLE runs DROP COLUMN name"))
        assert len(compare_metadata(context, SQLModel.metadata)) == 2
    engine.dispose()


OPEN_WHAT_IS_NAMED = """
import sys
from api.db import open_database
print("ready", flush=True)
for line in sys.stdin:
    open_database(line.strip()).dispose()
    print("opened", flush=True)
"""


def test_a_new_ledger_can_be_opened_by_several_at_once(ledgers: Ledgers) -> None:
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_WHAT_IS_NAMED],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=clean_environment(),
        )
        for _ in range(3)
    ]

    def say(server: "subprocess.Popen[str]", line: str) -> None:
        assert server.stdin is not None
        server.stdin.write(line)
        server.stdin.flush()

    def heard(server: "subprocess.Popen[str]") -> str:
        assert server.stdout is not None
        return server.stdout.readline().strip()

    try:
        assert [heard(server) for server in servers] == ["ready"] * len(servers)
        for _ in range(4):
            url = ledgers.empty_url()
            for server in servers:
                say(server, f"{url}\n")
            assert [heard(server) for server in servers] == ["opened"] * len(servers)
    finally:
        for server in servers:
            server.kill()
            server.communicate()


# ----------------------------------------------------------------------------------- an earlier one


@pytest.mark.parametrize("statements", EARLIER)
def test_an_earlier_ledger_is_refused_until_it_is_upgraded_and_keeps_its_runs(
    statements: Sequence[str], ledgers: Ledgers, capsys: pytest.CaptureFixture[str]
) -> None:
    url = made_by_an_earlier_version(ledgers, statements)
    held = tables(url)
    with pytest.raises(SettingsError, match="run `carbon db upgrade` with the same --database"):
        create_app(ledgers.settings())
    assert tables(url) == held, "it is not for a server to change it"

    assert administration.main(["upgrade", "--database", url]) == 0
    *steps, last = capsys.readouterr().out.splitlines()
    done = [
        "0001  Runs, shares and series.",
        "0002  Sums and labels beside the runs.",
        "0003  Keys of the API.",
        "0004  Runs that wait for their labels.",
        "0005  Corrections, audit log and factor tables.",
        "0006  Prices, budgets, crossings and hardware.",
        "0007  Sums by status, node and GPU model.",
        "0008  Sums of months over all projects.",
        "0009  Runs that go on from a checkpoint of another run.",
    ]
    before = {AT_0001: 1, AT_0003: 3, AT_0006: 6, AT_0007: 7, AT_0008: 8}.get(tuple(statements), 0)
    summed = f"months summed up for whoever asks first: 1, by {len(months.KINDS)} groupings"
    assert steps == [*done[before:], summed]
    engine = engine_of(url)
    with snapshots_of(engine).begin() as connection:
        assert [kind for kind in months.KINDS if months.stale(connection, kind)] == []
    engine.dispose()
    assert last.endswith(f"is upgraded to {migrate.head()}")
    assert administration.main(["upgrade", "--database", url]) == 0
    again = capsys.readouterr().out
    assert again == f"{last.partition(' is ')[0]} is up to date, at {migrate.head()}\n"

    with TestClient(app := create_app(ledgers.settings())) as client:
        assert client.get(PATH).text == BODY
        (by_month,) = client.get("/v1/summary?group_by=month").json()["items"]
        assert by_month["energy_kwh"] == REPORT.energy_kwh
        with snapshots_of(app.state.engine).begin() as connection:
            assert derived.differences(connection) == []
        assert client.put(PATH, content=BODY).status_code == 200
        # What the earlier one had no place for has one now.
        share = REPORT.model_copy(update={"reporter": "another", "nodes": []})
        assert client.put(PATH, content=share.model_dump_json()).status_code == 200
        assert client.get("/v1/summary").json()["energy_kwh"] == 2 * (REPORT.energy_kwh or 0)


def test_an_upgrade_writes_the_labels_that_are_new_and_no_other(ledgers: Ledgers) -> None:
    of_user = make_report(user="ann", tags={"owner": "bob"})
    known = [label for label in labels.labels_of(of_user) if label != "user:ann"]
    assert len(known) > 5
    with TestClient(create_app(ledgers.settings())) as client:
        for report in (REPORT, of_user):
            path = f"/v1/runs/{report.run_id}"
            assert client.put(path, content=report.model_dump_json()).status_code == 201
    engine = engine_of(ledgers.url())
    with engine.begin() as connection:
        for statement in AT_0006[: AT_0006.index("UPDATE runs SET labels = '[]'")]:
            connection.execute(text(statement))
        connection.execute(delete(LABELS).where(LABELS.c.label == "user:ann"))
        is_of_user = RUNS.c.run_id == of_user.run_id
        connection.execute(update(RUNS).where(is_of_user).values(labels=known))

    written: list[Any] = []

    def note(_c: Any, _u: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        if statement.startswith(("INSERT INTO run_labels", "UPDATE runs")):
            written.extend(parameters if many else [parameters])

    event.listen(engine, "before_cursor_execute", note)
    migrate.upgrade(engine)
    event.remove(engine, "before_cursor_execute", note)
    assert len(written) == 2, "the run's row, and its label"
    assert "user:ann" in str(written[1])
    with snapshots_of(engine).begin() as connection:
        assert derived.differences(connection) == []
    engine.dispose()


def test_an_upgrade_that_fails_leaves_everything_as_it_was(
    ledgers: Ledgers, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = (*WITHOUT_SERIES, "ALTER TABLE runs DROP COLUMN epochs")
    url = made_by_an_earlier_version(ledgers, spoilt)
    held = tables(url)
    assert administration.main(["upgrade", "--database", url]) == 1
    said = capsys.readouterr().err
    assert said.startswith("carbon db upgrade: ")
    assert "its table runs lacks epochs" in said
    assert "--database or CARBON_DATABASE_URL" in said
    assert tables(url) == held


def test_an_upgrade_that_is_killed_leaves_everything_as_it_was(ledgers: Ledgers) -> None:
    url = made_by_an_earlier_version(ledgers, WITHOUT_SERIES)
    held = tables(url)
    # It dies with the work done, just before it would be committed.
    killed = f"""
import os
from api import migrate
from api.engine import engine_of
from alembic import command
upgrade = command.upgrade
def upgrade_and_die(*arguments):
    upgrade(*arguments)
    os.kill(os.getpid(), 9)
migrate.command.upgrade = upgrade_and_die
migrate.upgrade(engine_of({url!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", killed],
        cwd=ROOT,
        env=clean_environment(),
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == -9
    assert tables(url) == held
    assert administration.main(["upgrade", "--database", url]) == 0
    with TestClient(create_app(ledgers.settings())) as client:
        assert client.get(PATH).text == BODY


def test_an_upgrade_can_be_run_by_several_at_once(ledgers: Ledgers) -> None:
    url = made_by_an_earlier_version(ledgers, WITHOUT_SERIES)
    command = [sys.executable, "-m", "api.administration", "upgrade", "--database", url]
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=clean_environment()
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE_S)[0].splitlines()[-1] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(line.split(" is ")[1] for line in said) == [
        f"up to date, at {migrate.head()}",
        f"upgraded to {migrate.head()}",
    ]


def test_an_upgrade_of_what_another_process_writes_to_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    open_database(url).dispose()
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM runs"))
        assert administration.main(["upgrade", "--database", f"{url}?timeout=0.1"]) == 1
    engine.dispose()
    assert "is as it was and cannot be upgraded now: database is locked" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- others


def test_a_later_ledger_is_refused_by_every_command(
    ledgers: Ledgers, capsys: pytest.CaptureFixture[str]
) -> None:
    later = ("UPDATE alembic_version SET version_num = '9999'",)
    url = made_by_an_earlier_version(ledgers, later)
    held = tables(url)
    known = f"knows none after {migrate.head()}"
    way_out = f"its schema is 9999, and .* {known}; run `pip install --upgrade"
    with pytest.raises(SettingsError, match=way_out):
        create_app(ledgers.settings())
    assert administration.main(["upgrade", "--database", url]) == 1
    assert "run `pip install --upgrade carbon-ledger`" in capsys.readouterr().err
    assert tables(url) == held


def test_somebody_elses_runs_are_left_alone(
    ledgers: Ledgers, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ledgers.empty_url()
    alter(url, ["CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250))"])
    with pytest.raises(SettingsError, match="carbon db upgrade"):
        open_database(url)
    assert administration.main(["upgrade", "--database", url]) == 1
    assert "its table runs lacks project, " in capsys.readouterr().err
    assert tables(url) == {"runs": {"run_uuid", "name"}}


def test_an_upgrade_of_nothing_makes_a_ledger(
    ledgers: Ledgers, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ledgers.empty_url()
    assert administration.main(["upgrade", "--database", url]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1].endswith(f"is a ledger now, at {migrate.head()}")
    )
    open_database(url).dispose()


def test_every_migration_follows_the_one_before() -> None:
    numbers = [f"{number:04}" for number in range(1, int(migrate.head()) + 1)]
    files = sorted(Path(migrate.__file__).parent.glob("migrations/versions/m*.py"))
    assert [path.name.split("_")[0] for path in files] == [f"m{number}" for number in numbers]
