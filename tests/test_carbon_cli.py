import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from carbon.rest.client import Client
from carbon.settings import Settings
from carbon.spool.spool import Spool
from tests.fixtures.api import LiveApi
from tests.fixtures.tracking import closed_port, wait_until
from tests.patience import PATIENCE_S
from tests.test_api_migrate import WITHOUT_SHARES
from tests.test_carbon_tracking_tracker_processes import start

Env = dict[str, str]


def carbon(*arguments: str, env: Env) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "carbon", *arguments],
        env={**env, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@contextmanager
def running(*arguments: str, env: Env) -> Iterator["subprocess.Popen[str]"]:
    """A command that goes on until it is told to stop, and is gone afterwards in any case."""
    process = subprocess.Popen(
        [sys.executable, "-m", "carbon", *arguments],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text


def test_the_commands_are_named_and_the_version_told(tracked_env: Env) -> None:
    shown = carbon("--help", env=tracked_env)
    assert shown.returncode == 0
    assert all(command in shown.stdout for command in ("run", "serve", "ui", "up", "sync"))
    assert carbon("--version", env=tracked_env).stdout.startswith("carbon-ledger ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["db", "upgrde"],
        ["db", "upgrade", "x"],
        ["serve", "--workers", "0"],
        ["srve"],
        ["serve", "--prot", "1"],
        ["serve", "--port", "70000"],
        ["sync", "x"],
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(arguments: list[str], tracked_env: Env) -> None:
    done = carbon(*arguments, env=tracked_env)
    assert done.returncode == 2
    assert "Usage: carbon" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_setting_is_one_line(tracked_env: Env) -> None:
    done = carbon("sync", env=tracked_env | {"CARBON_PUE": "much"})
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done.stderr)
    assert "CARBON_PUE is 'much'" in done.stderr


def test_sync_of_nothing(tracked_env: Env) -> None:
    done = carbon("sync", env=tracked_env)
    assert done.returncode == 0
    assert "0 delivered, 0 still running, 0 refused, 0 waiting" in done.stdout


def test_sync_delivers_what_waits_once_the_api_is_there(
    settings: Settings, tracked_env: Env, live_api: LiveApi
) -> None:
    start(tracked_env).communicate(timeout=PATIENCE_S)
    start(tracked_env, "os.kill(os.getpid(), 9)").communicate(timeout=PATIENCE_S)
    done = carbon("sync", env=tracked_env)
    assert done.returncode == 1
    assert is_one_line(done.stderr)
    assert "carbon serve" in done.stderr
    assert "0 delivered, 0 still running, 0 refused, 2 waiting" in done.stdout
    done = carbon("sync", env=tracked_env | {"CARBON_API_URL": live_api.url})
    assert done.returncode == 0, done.stderr
    assert "2 delivered" in done.stdout
    with Client(live_api.settings) as client:
        assert sorted(run.status for run in client.runs().items) == ["completed", "interrupted"]


def test_sync_leaves_a_living_run_alone(settings: Settings, tracked_env: Env) -> None:
    with start(tracked_env, "time.sleep(60)") as process:
        wait_until(lambda: bool(Spool(settings.spool_dir).waiting()))
        done = carbon("sync", env=tracked_env)
        process.kill()
    assert "1 still running" in done.stdout
    assert done.returncode == 0


def test_sync_of_an_unusable_spool_is_one_line(tracked_env: Env, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = carbon("sync", env=tracked_env | {"CARBON_SPOOL_DIR": str(tmp_path / "file/spool")})
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done.stderr)
    assert "CARBON_SPOOL_DIR" in done.stderr


@pytest.fixture
def server_env(tracked_env: Env, tmp_path: Path) -> Env:
    return tracked_env | {"CARBON_DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.db'}"}


def test_serve_takes_over_what_waits_on_its_machine(settings: Settings, server_env: Env) -> None:
    start(server_env, "os.kill(os.getpid(), 9)").communicate(timeout=PATIENCE_S)
    port = settings.base_url.rsplit(":", 1)[1]
    with running("serve", "--port", port, env=server_env) as server:
        with Client(settings) as client:
            wait_until(client.is_healthy)
            wait_until(lambda: len(client.runs().items) == 1)
            assert client.runs().items[0].status == "interrupted"
        server.send_signal(signal.SIGTERM)
        output, errors = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 0, errors
    assert f"http://127.0.0.1:{port}" in output
    assert Spool(settings.spool_dir).waiting() == []


def test_a_ledger_that_is_not_up_to_date_is_mended_by_the_command_that_serve_names(
    server_env: Env, tmp_path: Path
) -> None:
    done = carbon("db", "upgrade", env=server_env)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"sqlite:///{tmp_path}/ledger.db was empty, and is a ledger now" in done.stdout
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as earlier:
        for statement in WITHOUT_SHARES:
            earlier.execute(statement)
        earlier.commit()
    refused = carbon("serve", "--port", str(closed_port()), env=server_env)
    assert refused.returncode == 1
    assert is_one_line(refused.stderr)
    assert "run `carbon db upgrade`" in refused.stderr
    done = carbon("db", "upgrade", "--database", str(tmp_path / "ledger.db"), env=server_env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is upgraded to " in done.stdout
    done = carbon("db", "upgrade", env=server_env)
    assert "is up to date, at " in done.stdout


def test_serve_on_an_address_in_use_is_one_line(server_env: Env) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = carbon("serve", "--port", port, env=server_env)
    assert done.returncode == 1
    assert is_one_line(done.stderr)
    assert port in done.stderr


def test_serve_on_another_address_wants_a_key(server_env: Env) -> None:
    done = carbon("serve", "--host", "0.0.0.0", "--port", str(closed_port()), env=server_env)
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert "CARBON_API_KEY" in done.stderr


def test_up_starts_both_and_stops_both(server_env: Env) -> None:
    port, ui_port = closed_port(), closed_port()
    arguments = ["up", "--port", str(port), "--ui-port", str(ui_port)]
    with running(*arguments, env=server_env) as both:
        wait_until(lambda: is_listening(port) and is_listening(ui_port))
        both.send_signal(signal.SIGINT)
        output, errors = both.communicate(timeout=PATIENCE_S)
    assert both.returncode == 0, errors
    assert f"http://127.0.0.1:{port}" in output
    assert f"http://127.0.0.1:{ui_port}" in output
    wait_until(lambda: not is_listening(port) and not is_listening(ui_port))


def test_up_ends_when_the_api_cannot_start(server_env: Env) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = carbon("up", "--port", port, "--ui-port", str(closed_port()), env=server_env)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert port in done.stderr
    assert "the API ended" in done.stderr


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
