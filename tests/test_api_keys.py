"""Keys of the ledger: how they are stored, when they open the API, and when no more."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine, select
from starlette.testclient import TestClient

from api import keys
from api.access import UNLIMITED, Access
from api.app import create_app
from api.auth import Doors, Gate
from api.db import open_database, writing
from api.held_keys import FRESH_S, HeldKeys
from api.limits import Limits
from api.logs import JsonLines, TextLines
from api.problems import ProblemError
from api.tables import KEYS
from tests.factories import make_report
from tests.fixtures.api import serving as server_of
from tests.fixtures.ledgers import Ledgers
from tests.fixtures.tracking import wait_until
from tests.keys import bearing, make_key

HOUR = timedelta(hours=1)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@contextmanager
def serving(ledgers: Ledgers, doors: Doors | None = None, **settings: str) -> Iterator[TestClient]:
    with TestClient(create_app(ledgers.settings(**settings), doors)) as client:
        yield client


def detail(client: TestClient, key: str, status: int) -> str:
    answer = client.get("/v1/summary", headers=bearing(key))
    assert answer.status_code == status, answer.text
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
    return str(answer.json()["detail"])


def test_of_a_key_only_the_hash_is_stored(ledgers: Ledgers) -> None:
    key, text = make_key(ledgers.url(), "weather", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    assert re.fullmatch(rf"cl_{key.id}_[0-9A-Za-z]{{40}}", text)
    secret = text.rpartition("_")[2]
    with opened(ledgers.url()) as engine, engine.begin() as connection:
        assert keys.every(connection) == [key]
        (row,) = connection.execute(select(KEYS)).all()
    assert secret not in str(row)
    assert make_key(ledgers.url())[1] != text


def test_the_keys_of_a_ledger_open_its_api(ledgers: Ledgers) -> None:
    _, text = make_key(ledgers.url())
    report = make_report()
    path, body = f"/v1/runs/{report.run_id}", report.model_dump_json()
    with serving(ledgers) as client:
        assert client.get("/v1/summary").status_code == 401
        assert client.put(path, content=body).status_code == 401
        assert client.put(path, content=body, headers=bearing(text)).status_code == 201
        assert client.get(path, headers=bearing(text)).status_code == 200
        assert client.get("/metrics", headers=bearing(text)).status_code == 200


def test_what_is_not_quite_a_key_is_none(ledgers: Ledgers) -> None:
    key, text = make_key(ledgers.url())
    other_key, other = make_key(ledgers.url())
    wrong = [
        text[:-1] + ("a" if text[-1] != "a" else "b"),
        text.upper(),
        text + "x",
        text[:-1],
        f"cl_{key.id}_{other.rpartition('_')[2]}",
        f"cl_{other_key.id}_",
        f"cl_{'0' * 10}_{text.rpartition('_')[2]}",
        key.digest,
        key.id,
        "x",
    ]
    with serving(ledgers) as client:
        assert client.get("/v1/summary", headers=bearing(text)).status_code == 200
        for sent in wrong:
            assert detail(client, sent, 401) == (
                "this is not a key of this API; see `carbon keys list` and CARBON_API_KEY on the "
                "server"
            )


def test_a_revoked_key_is_refused_and_says_so_to_its_holder_only(ledgers: Ledgers) -> None:
    key, text = make_key(ledgers.url())
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with opened(ledgers.url()) as engine, writing(engine) as connection:
        assert keys.revoke(connection, key.id, now) == key
        revoked = keys.revoke(connection, key.id, now + HOUR)
        assert revoked is not None
        assert revoked.revoked_at == now
        assert keys.revoke(connection, "0" * 10, now) is None
    make_key(ledgers.url())
    with serving(ledgers) as client:
        assert detail(client, text, 401).startswith(
            f"key {key.id} was revoked at 2026-03-01T12:00:00+00:00; ask for another one"
        )
        assert "revoked" not in detail(client, text[:-1] + "?", 401)


def test_an_expired_key_is_refused_but_opens_nothing(ledgers: Ledgers) -> None:
    now = datetime.now(UTC)
    key, text = make_key(ledgers.url(), expires_at=now - HOUR)
    with serving(ledgers) as client:
        assert detail(client, text, 401).startswith(f"key {key.id} expired at ")
        assert client.get("/v1/summary").status_code == 401
    _, later = make_key(ledgers.url(), expires_at=now + HOUR)
    with serving(ledgers) as client:
        assert client.get("/v1/summary", headers=bearing(later)).status_code == 200


def test_the_servers_own_key_opens_everything_beside_them(ledgers: Ledgers) -> None:
    _, text = make_key(ledgers.url(), "weather", scopes=("read",))
    with serving(ledgers, api_key="correct horse") as client:
        report = make_report()
        path = f"/v1/runs/{report.run_id}"
        all_powerful = bearing("correct horse")
        put = client.put(path, content=report.model_dump_json(), headers=all_powerful)
        assert put.status_code == 201
        assert client.get(path, headers=bearing(text)).status_code == 404
        assert client.delete(path, headers=all_powerful).status_code == 204
        assert client.get("/metrics", headers=all_powerful).status_code == 200


def test_metrics_of_the_whole_server_are_for_keys_of_all_projects(ledgers: Ledgers) -> None:
    _, text = make_key(ledgers.url(), "weather", scopes=("admin",))
    with serving(ledgers) as client:
        answer = client.get("/metrics", headers=bearing(text))
        assert answer.status_code == 403
        assert "made without --project" in answer.json()["detail"]


# ------------------------------------------------------------------------------ while it is served


@pytest.mark.anyio
async def test_the_first_key_closes_a_server_that_runs(ledgers: Ledgers) -> None:
    clock = Clock()
    with opened(ledgers.url()) as engine:
        gate = Gate(None, HeldKeys(engine, clock), Limits(0), Doors())
        assert await gate.admit(None, "192.0.2.1") == UNLIMITED
        assert not await gate.needs_keys()
        key, text = make_key(ledgers.url(), "weather", scopes=("read",))
        clock.now_s += FRESH_S + 1
        assert await gate.needs_keys()
        with pytest.raises(ProblemError, match="this API needs a key"):
            await gate.admit(None, "192.0.2.1")
        found = await gate.admit(text, "192.0.2.1")
        assert found == Access(frozenset({"weather"}), frozenset({"read"}), f"key {key.id}")
        with writing(engine) as connection:
            keys.revoke(connection, key.id, datetime.now(UTC))
        clock.now_s += FRESH_S + 1
        assert not await gate.needs_keys()


def test_any_name_may_lead_to_a_server_with_keys(ledgers: Ledgers) -> None:
    """For a page of another site has none, whatever name it came by."""
    _, text = make_key(ledgers.url())
    with serving(ledgers, Doors("127.0.0.1")) as client:
        named = bearing(text) | {"Host": "ledger.lab.example"}
        assert client.get("/v1/summary", headers=named).status_code == 200


def test_every_worker_refuses_a_revoked_key_within_seconds(ledgers: Ledgers) -> None:
    url = ledgers.url()
    make_key(url)
    key, text = make_key(url)
    with server_of(ledgers.directory, "--workers", "2", database_url=url) as server:

        def status() -> int:
            # Each on a connection of its own, which any worker may take.
            return httpx.get(f"{server.url}/v1/summary", headers=bearing(text)).status_code

        assert {status() for _ in range(8)} == {200}
        with opened(url) as engine, writing(engine) as connection:
            keys.revoke(connection, key.id, datetime.now(UTC))
        wait_until(lambda: {status() for _ in range(8)} == {401})


def test_where_others_come_the_last_key_leaves_it_closed(ledgers: Ledgers) -> None:
    with serving(ledgers, Doors(None, faces_others=True)) as client:
        assert client.get("/v1/summary").status_code == 401


def test_what_waits_on_its_own_machine_gets_in_and_nothing_else(ledgers: Ledgers) -> None:
    make_key(ledgers.url())
    with serving(ledgers, Doors(own_key="of-the-server-itself")) as client:
        own = bearing("of-the-server-itself")
        report = make_report()
        path = f"/v1/runs/{report.run_id}"
        assert client.put(path, content=report.model_dump_json(), headers=own).status_code == 201
        assert client.get(path, headers=own).status_code == 403
        assert client.delete(path, headers=own).status_code == 403


async def held_ids(held: HeldKeys) -> list[str]:
    return list((await held.current()).by_id)


@pytest.mark.anyio
async def test_keys_are_read_again_when_they_are_older_than_that(ledgers: Ledgers) -> None:
    clock = Clock()
    with opened(ledgers.url()) as engine:
        held = HeldKeys(engine, clock)
        key, _ = make_key(ledgers.url())
        clock.now_s += FRESH_S
        assert await held_ids(held) == []
        clock.now_s += 0.001
        assert await held_ids(held) == [key.id]


@pytest.mark.anyio
async def test_keys_stay_as_they_were_while_the_database_is_away(
    ledgers: Ledgers, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    key, _ = make_key(ledgers.url())
    with opened(ledgers.url()) as engine:
        held = HeldKeys(engine, clock)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE api_keys RENAME TO elsewhere")
        clock.now_s += FRESH_S + 1
        assert await held_ids(held) == [key.id]
        assert "the API keys were not read again" in caplog.text
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO api_keys")
        make_key(ledgers.url())
        clock.now_s += FRESH_S + 1
        assert len(await held_ids(held)) == 2


def last_used_at(ledgers: Ledgers, key_id: str) -> datetime | None:
    with opened(ledgers.url()) as engine, engine.begin() as connection:
        query = select(KEYS.c.last_used_at).where(KEYS.c.id == key_id)
        found: datetime | None = connection.execute(query).scalar_one()
    return found


def test_it_is_written_down_when_a_key_was_used(ledgers: Ledgers) -> None:
    began = datetime.now(UTC)
    key, text = make_key(ledgers.url())
    unused, _ = make_key(ledgers.url())
    with serving(ledgers) as client:
        client.get("/v1/summary", headers=bearing(text))
        wait_until(lambda: last_used_at(ledgers, key.id) is not None)
        used_at = last_used_at(ledgers, key.id)
        assert used_at is not None
        assert began <= used_at <= datetime.now(UTC)
        client.get("/v1/summary", headers=bearing(text))
    assert last_used_at(ledgers, key.id) == used_at
    assert last_used_at(ledgers, unused.id) is None


# ------------------------------------------------------------------------------------------- logs


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
def test_no_key_gets_into_a_log_but_its_id(formatter: logging.Formatter) -> None:
    secret = "0aB" * 13 + "z"
    for sent in (f"cl_0123456789_{secret}", f"cl_0123456789_{secret[:9]}"):
        try:
            raise ValueError(f"Bearer {sent}")
        except ValueError as error:
            record = logging.LogRecord(
                "api", logging.ERROR, __file__, 1, f"key {sent} and /v1/{sent}?key={sent}", (), None
            )
            record.exc_info = (ValueError, error, error.__traceback__)
            record.fields = {"path": f"/v1/runs/{sent}"}
        line = formatter.format(record)
        assert secret[:9] not in line
        assert line.count("cl_0123456789_***") >= 4
