"""Ledgers that an earlier version made."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from carbon.errors import SettingsError
from tests.factories import make_report
from tests.fixtures.api import api_settings

REPORT = make_report()
PATH = f"/v1/runs/{REPORT.run_id}"
BODY = REPORT.model_dump_json()


def alter(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        for statement in statements:
            ledger.execute(statement)
        ledger.commit()


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A ledger with a run in it, as the version before shares and live updates made it."""
    with TestClient(create_app(api_settings(tmp_path))) as client:
        assert client.put(PATH, content=BODY).status_code == 201
    columns = ("live_interval_s", "heard_at", "is_merged")
    alter(
        tmp_path,
        "DROP TABLE shares",
        *(f"ALTER TABLE runs DROP COLUMN {column}" for column in columns),
    )
    return tmp_path


def test_an_earlier_ledger_is_taken_over_as_it_is(earlier: Path) -> None:
    for _ in range(2):
        with TestClient(create_app(api_settings(earlier))) as client:
            assert client.get(PATH).text == BODY
            assert client.put(PATH, content=BODY).status_code == 200
            higher = REPORT.model_copy(update={"seq": REPORT.seq + 1, "name": "later"})
            assert client.put(PATH, content=higher.model_dump_json()).status_code == 200
            assert client.get(PATH).text == higher.model_dump_json()
            assert client.get("/v1/summary").json()["runs"] == 1
            alter(earlier, "UPDATE runs SET seq = 0, name = NULL")


def test_a_run_of_an_earlier_ledger_gets_shares(earlier: Path) -> None:
    with TestClient(create_app(api_settings(earlier))) as client:
        share = REPORT.model_copy(update={"reporter": "another", "nodes": []})
        assert client.put(PATH, content=share.model_dump_json()).status_code == 200
        assert client.get("/v1/summary").json()["energy_kwh"] == 2 * (REPORT.energy_kwh or 0)


def test_a_ledger_that_lacks_what_cannot_be_empty_is_refused_by_name(earlier: Path) -> None:
    alter(earlier, "ALTER TABLE runs DROP COLUMN epochs")
    with pytest.raises(SettingsError) as caught:
        create_app(api_settings(earlier))
    assert "its table runs lacks epochs" in str(caught.value)
    assert "--database or CARBON_DATABASE_URL" in str(caught.value)
