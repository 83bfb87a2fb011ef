"""`python -m api` as a process: where it listens, what it refuses, how it ends."""

import random
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from api import keys
from api.bodies import MAX_BODY_BYTES
from api.db import open_database, writing
from carbon.attribution.run_id import new_run_id
from carbon.errors import ApiRejectedError
from carbon.rest.client import Client
from carbon.schema import Problem, RunReport
from carbon.spool.spool import Spool, encode
from tests.factories import make_report
from tests.fixtures.api import ROOT, SERVE, LiveApi, begun, clean_environment, serving
from tests.fixtures.ledgers import Ledgers
from tests.fixtures.tracking import wait_until
from tests.keys import bearing, make_key
from tests.patience import PATIENCE_S
from tests.test_carbon_spool_part import EVENTS, STARTED


def run(*options: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*SERVE, *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=ROOT,
        env=clean_environment() | environ,
    )


# ------------------------------------------------------------------------------- start and stop


def test_it_says_where_it_is_and_serves_there(live_api: LiveApi, tmp_path: Path) -> None:
    assert live_api.database == tmp_path / "ledger.db"
    assert live_api.database.is_file()
    with Client(live_api.settings) as client:
        report = make_report()
        assert client.put_run(report).seq == 0
        assert client.run(report.run_id) == report
        assert client.summary().runs == 1
    assert httpx.get(f"{live_api.url}/docs", timeout=PATIENCE_S).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_quietly(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*SERVE, "--port", "0", "--database", str(tmp_path / "ledger.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
    )
    with process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        url = ready.split()[4]
        with httpx.Client(timeout=PATIENCE_S) as kept_alive:
            assert kept_alive.get(f"{url}/v1/summary").status_code == 200
            process.send_signal(number)
            rest, errors = process.communicate(timeout=PATIENCE_S)
    assert ready == (
        f"Carbon Ledger API on {url} (docs at /docs), ledger in sqlite:///{tmp_path}/ledger.db\n"
    )
    assert (process.returncode, rest, errors) == (0, "", "")
    assert list(tmp_path.iterdir()) == [tmp_path / "ledger.db"]


def is_listening(server: LiveApi) -> bool:
    host, port = server.url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_what_is_under_way_is_answered_before_it_ends(
    live_api: LiveApi, numbers: list[signal.Signals]
) -> None:
    report = make_report()
    with begun(live_api, report) as connection:
        for number in numbers:
            live_api.process.send_signal(number)
        wait_until(lambda: not is_listening(live_api))
        assert live_api.process.poll() is None
        connection.sendall(report.model_dump_json().encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert live_api.process.wait(PATIENCE_S) == 0
    assert live_api.end() == (0, "")
    # It closed the database, which puts SQLite's log back into the file.
    assert not live_api.database.with_name("ledger.db-wal").exists()
    with closing(sqlite3.connect(live_api.database)) as ledger:
        assert ledger.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_the_same_signal_again_ends_it_at_once(live_api: LiveApi) -> None:
    with begun(live_api, make_report()) as connection:
        live_api.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_listening(live_api))
        live_api.process.send_signal(signal.SIGTERM)
        assert connection.recv(1000) == b""
        # Had it waited for the request as long as it may, it would say so.
        assert live_api.end() == (0, "")


def test_other_names_are_refused_without_a_key_only(tmp_path: Path) -> None:
    evil = {"Host": "evil.example"}
    with serving(tmp_path) as server:
        answer = httpx.get(f"{server.url}/v1/summary", headers=evil, timeout=PATIENCE_S)
        assert answer.status_code == 421
        assert Problem.model_validate_json(answer.content).status == 421
    with serving(tmp_path, CARBON_API_KEY="correct horse") as server:
        answer = httpx.get(f"{server.url}/readyz", headers=evil, timeout=PATIENCE_S)
        assert answer.status_code == 200


def test_help_names_every_option_and_its_default() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for said in ("--host", "--port", "--database", "127.0.0.1", "8787", "CARBON_API_KEY"):
        assert said in shown.stdout


def test_it_serves_other_machines_with_a_key(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0", CARBON_API_KEY="k") as server:
        port = server.url.rsplit(":", 1)[1]
        local = f"http://127.0.0.1:{port}"
        assert server.url == f"http://0.0.0.0:{port}"
        assert httpx.get(f"{local}/v1/summary", timeout=PATIENCE_S).status_code == 401
        with Client(server.settings) as client:
            assert client.summary().runs == 0


def test_it_serves_other_machines_with_a_key_of_the_ledger(tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    key, text = make_key(ledger, "digits")
    with serving(tmp_path, "--host", "0.0.0.0") as server:
        url = f"http://127.0.0.1:{server.url.rsplit(':', 1)[1]}/v1/summary"
        assert httpx.get(url, timeout=PATIENCE_S).status_code == 401
        assert httpx.get(url, headers=bearing(text), timeout=PATIENCE_S).status_code == 200
        engine = open_database(ledger)
        with writing(engine) as connection:
            keys.revoke(connection, key.id, datetime.now(UTC))
        engine.dispose()
        # Without any key it is closed, not open.
        wait_until(lambda: httpx.get(url, headers=bearing(text)).status_code == 401)
        assert httpx.get(url, timeout=PATIENCE_S).status_code == 401


def test_it_serves_anyone_where_that_is_said(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0", "--allow-anyone") as server:
        url = f"http://127.0.0.1:{server.url.rsplit(':', 1)[1]}/v1/summary"
        named = {"Host": "ledger.lab.example"}
        assert httpx.get(url, headers=named, timeout=PATIENCE_S).status_code == 200


def test_what_waits_on_the_servers_machine_gets_in_without_a_key_there(tmp_path: Path) -> None:
    _, text = make_key(f"sqlite:///{tmp_path}/ledger.db")
    spool = Spool(tmp_path / "server-spool")
    run_id = new_run_id()
    started = replace(STARTED, run_id=str(run_id))
    held = spool.open_part(run_id, str(new_run_id()))
    held.append(encode([started, *EVENTS[1:]]))
    held.close()
    with serving(tmp_path) as server:
        url = f"{server.url}/v1/runs/{run_id}"
        wait_until(lambda: httpx.get(url, headers=bearing(text)).status_code == 200)


# ------------------------------------------------------------------------------- what it refuses


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_an_address_in_use_is_one_line(tmp_path: Path, taken_port: int) -> None:
    ended = run("--port", str(taken_port), "--database", str(tmp_path / "ledger.db"))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"carbon serve: cannot listen on 127.0.0.1 port {taken_port}: address already in use; "
        "stop what is there or choose another with --host and --port\n"
    )
    assert ended.stdout == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_are_not_served_without_a_key(tmp_path: Path, host: str) -> None:
    ended = run("--host", host, "--port", "0", "--database", str(tmp_path / "ledger.db"))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"carbon serve: {host} can be reached from other machines and there is no key; make one "
        "with `carbon keys create`, set CARBON_API_KEY, listen on 127.0.0.1, or let whoever comes "
        "read and write with --allow-anyone\n"
    )
    assert list(tmp_path.iterdir()) == []


UNUSABLE: list[tuple[list[str], int, str]] = [
    (["--database", "oracle9://u:secret@h/db"], 1, "oracle9://u:***@h/db is neither a SQLite"),
    (
        ["--database", "postgresql//u:secret@h/db"],
        1,
        "'postgresql//***@h/db' is not a database URL",
    ),
    (["--database", "postgresql://u:secret@h:port/db"], 1, "'postgresql://***@h:port/db' is not a"),
    (["--database", "oracle9://h/db?password=secret"], 1, "oracle9://h/db?password=*** is neither"),
    (["--database", "nonsense:"], 1, "'nonsense:' is not a database URL such as sqlite:////var"),
    (["--database", "/proc/nowhere/ledger.db"], 1, "the directory of sqlite:////proc/nowhere/led"),
    (["--database", __file__], 1, "cannot be the ledger: file is not a database; name another w"),
    (["--host", "no.such.host.invalid"], 1, "--host 'no.such.host.invalid' is not an address:"),
    (["--port", "70000"], 2, "'70000' is not a port, 0 to 65535"),
    (["--port", "http"], 2, "'http' is not a port, 0 to 65535"),
    (["--colour"], 2, "unrecognized arguments: --colour"),
]


@pytest.mark.parametrize(("options", "status", "message"), UNUSABLE)
def test_what_cannot_be_used_is_one_line(options: list[str], status: int, message: str) -> None:
    ended = run("--port", "0", *options)
    assert ended.returncode == status
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
    if status == 1:
        assert ended.stderr.count("\n") == 1


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    ended = run("--database", str(tmp_path / "ledger.db"), CARBON_PUE="0.5")
    assert ended.returncode == 1
    assert ended.stderr.startswith("carbon serve: CARBON_PUE is '0.5': ")
    assert ended.stderr.count("\n") == 1


# ------------------------------------------------------------------------- what the wire may bring


def raw(server: LiveApi, data: bytes) -> bytes:
    """Send bytes as they are, say nothing more, and return what comes back."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_a_body_cut_short_stores_nothing_and_hurts_nobody(live_api: LiveApi) -> None:
    report = make_report()
    body = report.model_dump_json().encode()
    head = (
        f"PUT /v1/runs/{report.run_id} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    for length in (0, 1, len(body) // 2, len(body) - 1):
        assert b" 20" not in raw(live_api, head.encode() + body[:length])
    with Client(live_api.settings) as client:
        assert client.summary().runs == 0
        assert client.put_run(report).seq == 0


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_too_large_is_refused(live_api: LiveApi, chunked: bool) -> None:
    size = MAX_BODY_BYTES + 1
    block = b" " * 65536

    def blocks() -> Iterator[bytes]:
        for _ in range(size // len(block) + 1):
            yield block

    path = f"{live_api.url}/v1/runs/{make_report().run_id}"
    answer = httpx.put(path, content=blocks() if chunked else b" " * size, timeout=PATIENCE_S)
    assert answer.status_code == 413
    assert Problem.model_validate_json(answer.content).detail == (
        "the body is larger than 16 MiB; log fewer metrics or epochs"
    )
    with Client(live_api.settings) as client:
        assert client.is_healthy()


def test_the_client_gets_the_servers_reasons(live_api: LiveApi) -> None:
    with Client(live_api.settings) as client:
        with pytest.raises(ApiRejectedError, match="there is no project 'none' in this ledger"):
            client.summary("none")
        with pytest.raises(ApiRejectedError) as caught:
            client.runs(cursor="nonsense")
        assert caught.value.problem["errors"][0]["field"] == "cursor"


# ------------------------------------------------------------------------------ nothing is lost


def put(server: LiveApi, report: RunReport) -> httpx.Response:
    return httpx.put(
        f"{server.url}/v1/runs/{report.run_id}",
        content=report.model_dump_json(),
        timeout=PATIENCE_S,
    )


def test_writers_of_one_run_on_two_servers_leave_the_highest_seq(ledgers: Ledgers) -> None:
    writers, rounds = 8, 10
    with (
        serving(ledgers.directory, database_url=ledgers.url()) as one,
        serving(ledgers.directory, database_url=ledgers.url()) as two,
        ThreadPoolExecutor(writers) as pool,
    ):
        together = threading.Barrier(writers)

        def deliver(report: RunReport) -> tuple[int, int]:
            together.wait(PATIENCE_S)
            answer = put((one, two)[report.seq % 2], report)
            return answer.status_code, answer.json()["seq"]

        for _ in range(rounds):
            first = make_report(status="running")
            reports = [first.model_copy(update={"seq": seq}) for seq in range(writers)]
            random.shuffle(reports)
            answers = list(pool.map(deliver, reports))
            assert sorted(status for status, _ in answers) == [200] * (writers - 1) + [201]
            for report, (_, held) in zip(reports, answers, strict=True):
                assert held >= report.seq
            with Client(two.settings) as client:
                assert client.run(first.run_id).seq == writers - 1
        with Client(one.settings) as client:
            assert client.summary().runs == rounds


def test_what_was_acknowledged_survives_a_kill(ledgers: Ledgers) -> None:
    acknowledged: dict[UUID, str] = {}
    for kept in (1, 7):
        with (
            serving(ledgers.directory, database_url=ledgers.url()) as server,
            Client(server.settings) as client,
        ):
            for _ in range(kept):
                report = make_report()
                client.put_run(report)
                acknowledged[report.run_id] = report.model_dump_json()
            server.process.send_signal(signal.SIGKILL)
            assert server.process.wait(PATIENCE_S) == -signal.SIGKILL
    with (
        serving(ledgers.directory, database_url=ledgers.url()) as server,
        Client(server.settings) as client,
    ):
        assert client.summary().runs == len(acknowledged)
        for run_id, text in acknowledged.items():
            assert client.run(run_id).model_dump_json() == text
