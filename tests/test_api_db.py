"""Databases that cannot be used, at the start and later: said plainly, and survived."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event, text
from starlette.testclient import TestClient

from api import series
from api.app import create_app
from api.db import open_database, writing
from api.engine import snapshots_of
from api.reports import store
from carbon.errors import SettingsError
from carbon.schema import SCHEMA_VERSION
from carbon.settings import Settings
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers
from tests.reports import recorded_run

REPORT = make_report()
PATH = f"/v1/runs/{REPORT.run_id}"
BODY = REPORT.model_dump_json()


def app_on(directory: Path, query: str = "") -> FastAPI:
    values = {"database_url": f"sqlite:///{directory}/ledger.db{query}"}
    return create_app(Settings.model_validate(values))


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[TestClient]:
    """An API that waits for a lock a tenth of a second instead of five seconds."""
    with TestClient(app_on(tmp_path, "?timeout=0.1")) as client:
        yield client


def set_on_every_connection(app: FastAPI, pragma: str) -> None:
    engine = app.state.engine
    engine.dispose()

    def configure(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "connect", configure)


# ------------------------------------------------------------------------------------ while it runs


def test_a_locked_ledger_asks_to_come_again_and_recovers(
    impatient: TestClient, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = impatient.put(PATH, content=BODY)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == (
            "the ledger is locked by another process that writes to it; nothing was stored, ask "
            "again in 5 s"
        )
        assert impatient.get("/v1/summary").json()["runs"] == 0
        assert impatient.get("/readyz").status_code == 200
        other.execute("ROLLBACK")
    assert impatient.put(PATH, content=BODY).status_code == 201


def test_a_short_lock_is_waited_for(tmp_path: Path) -> None:
    app = app_on(tmp_path)
    path = tmp_path / "ledger.db"
    with (
        TestClient(app) as client,
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        release = Timer(0.3, other.execute, ["ROLLBACK"])
        release.start()
        assert client.put(PATH, content=BODY).status_code == 201
        release.join()


def test_a_read_only_ledger_can_still_be_read(tmp_path: Path) -> None:
    app = app_on(tmp_path)
    with TestClient(app) as client:
        assert client.put(PATH, content=BODY).status_code == 201
        set_on_every_connection(app, "query_only = ON")
        another = make_report()
        answer = client.put(f"/v1/runs/{another.run_id}", content=another.model_dump_json())
        assert answer.status_code == 503
        assert answer.json()["detail"] == (
            "the ledger is read-only (attempt to write a readonly database); nothing was stored, "
            "make the database writable for the server and ask again"
        )
        assert client.get(PATH).text == BODY


def test_a_full_disk_is_said_and_stores_nothing(tmp_path: Path) -> None:
    app = app_on(tmp_path)
    with TestClient(app) as client:
        set_on_every_connection(app, "max_page_count = 1")
        large = make_report(tags={f"tag-{i}": "x" * 1000 for i in range(100)})
        answer = client.put(f"/v1/runs/{large.run_id}", content=large.model_dump_json())
        assert answer.status_code == 507
        assert answer.json()["detail"] == (
            "the ledger's disk is full (database or disk is full); nothing was stored, make room "
            "and ask again"
        )
        assert client.get("/v1/runs").json()["items"] == []


def test_it_is_not_ready_where_the_table_is_gone(api_app: FastAPI, api_client: TestClient) -> None:
    assert api_client.get("/readyz").json() == {"status": "ok", "schema_version": SCHEMA_VERSION}
    with api_app.state.engine.begin() as connection:
        connection.execute(text("DROP TABLE series"))
        connection.execute(text("DROP TABLE runs"))
    answer = api_client.get("/readyz")
    assert answer.status_code == 503
    # What PostgreSQL's driver says may name hosts and users, so it is for the log alone.
    reason = {"sqlite": "no such table: runs", "postgresql": "the server's log says why"}
    backend = api_app.state.engine.dialect.name
    assert answer.json()["detail"] == f"the database does not answer: {reason[backend]}"


def test_it_is_not_ready_where_the_file_is_overwritten(tmp_path: Path) -> None:
    app = app_on(tmp_path)
    with TestClient(app) as client:
        app.state.engine.dispose()
        (tmp_path / "ledger.db").write_bytes(b"not a database at all " * 1000)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "file is not a database" in answer.json()["detail"]


def test_one_transaction_sees_one_state(api_app: FastAPI, api_client: TestClient) -> None:
    count = text("SELECT count(*) FROM runs")
    snapshots = snapshots_of(api_app.state.engine)
    with snapshots.begin() as reader:
        assert reader.execute(count).scalar_one() == 0
        assert api_client.put(PATH, content=BODY).status_code == 201
        assert reader.execute(count).scalar_one() == 0
    with snapshots.begin() as reader:
        assert reader.execute(count).scalar_one() == 1


def test_a_run_is_read_as_it_was_at_one_moment(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recorded_run(gpus=3, seq=1)
    second = recorded_run(gpus=1, points=7, seq=2, run_id=first.run_id)
    path = f"/v1/runs/{first.run_id}"
    assert api_client.put(path, content=first.model_dump_json()).status_code == 201
    put_back = series.put_back

    def overtaken(*arguments: Any) -> list[Any]:
        """Between a run's row and its series comes the next report of it."""
        monkeypatch.undo()
        assert api_client.put(path, content=second.model_dump_json()).status_code == 200
        return put_back(*arguments)

    monkeypatch.setattr(series, "put_back", overtaken)
    assert api_client.get(path).text == first.model_dump_json()
    assert api_client.get(path).text == second.model_dump_json()


def test_the_first_and_the_last_year_come_back(api_app: FastAPI, api_client: TestClient) -> None:
    begun, ended = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    report = make_report(started_at=begun, ended_at=ended)
    with writing(api_app.state.engine) as connection:
        store(connection, [report])  # The API itself takes nothing that is so far ahead.
    assert api_client.get(f"/v1/runs/{report.run_id}").text == report.model_dump_json()


def test_what_is_acknowledged_is_synced(tmp_path: Path) -> None:
    with TestClient(app := app_on(tmp_path)), app.state.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2  # FULL


# ------------------------------------------------------------------------------------- at the start


def test_the_directory_of_the_ledger_is_made(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "ledger.db"
    open_database(f"sqlite:///{path}").dispose()
    assert path.is_file()


def test_a_new_file_that_another_server_begins_with_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        # SQLite itself gives up at once where it is to turn the write-ahead log on meanwhile.
        other.execute("BEGIN IMMEDIATE")
        release = Timer(0.3, other.execute, ["ROLLBACK"])
        release.start()
        open_database(f"sqlite:///{path}").dispose()
        release.join()


def test_opening_again_keeps_what_is_there(ledgers: Ledgers) -> None:
    with TestClient(create_app(ledgers.settings())) as client:
        client.put(PATH, content=BODY)
    with TestClient(create_app(ledgers.settings())) as client:
        assert client.get(PATH).text == BODY


UNUSABLE: list[tuple[str, str]] = [
    ("ledger", "'ledger' is not a database URL such as sqlite:////var/lib/ledger.db"),
    ("oracle9://host/db", "oracle9://host/db is neither a SQLite nor a PostgreSQL database"),
    ("mysql+nosuch://u:pw@host/db", "mysql+nosuch://u:***@host/db is neither a SQLite nor a Post"),
    ("postgresql+asyncpg://u:pw@host/db", "u:***@host/db names another driver than psycopg"),
    ("sqlite+aiosqlite:///{here}/x.db", "/x.db names another driver than pysqlite"),
    ("postgresql://u:pw@127.0.0.1:1/db", "u:***@127.0.0.1:1/db cannot be the ledger: connection"),
    ("sqlite://", "sqlite:// would forget every run when the server stops"),
    ("sqlite:///:memory:", "would forget every run when the server stops"),
    ("sqlite:////proc/nowhere/ledger.db", "the directory of sqlite:////proc/nowhere/ledger.db can"),
    ("sqlite:///{here}/text.db", "/text.db cannot be the ledger: file is not a database"),
    ("sqlite:///{here}/text.db/x.db", "the directory of sqlite:///"),
    ("sqlite:///{here}", "cannot be the ledger: unable to open database file"),
    ("sqlite:///file:{here}/old.db?mode=ro&uri=true", "attempt to write a readonly database"),
    ("sqlite:///file:{here}/none.db?mode=ro&uri=true", "unable to open database file"),
    ("sqlite:///{here}/busy.db?timeout=0.1", "cannot be the ledger: database is locked"),
]


@pytest.mark.parametrize(("url", "message"), UNUSABLE)
def test_an_unusable_database_is_named_with_the_way_out(
    tmp_path: Path, url: str, message: str
) -> None:
    (tmp_path / "text.db").write_text("This is a text.\n" * 100)
    open_database(f"sqlite:///{tmp_path}/old.db").dispose()
    with closing(sqlite3.connect(tmp_path / "busy.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SettingsError) as caught:
            open_database(url.format(here=tmp_path))
    assert message in str(caught.value)
    assert "name another with --database or CARBON_DATABASE_URL" in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_ledger_whose_file_was_taken_away_acknowledges_nothing(
    replaced: bool, tmp_path: Path
) -> None:
    with TestClient(app_on(tmp_path)) as client:
        assert client.put(PATH, content=BODY).status_code == 201
        for path in tmp_path.glob("ledger.db*"):
            path.unlink()
        if replaced:
            (tmp_path / "ledger.db").write_bytes(b"")
        answer = client.put(PATH, content=BODY)
        assert answer.status_code == 503
        assert "ledger.db was removed or replaced" in answer.json()["detail"]
        assert client.get("/readyz").status_code == 503
        assert client.get("/v1/summary").status_code == 503
