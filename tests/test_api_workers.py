"""Several workers in front of one ledger: they answer alike, are replaced, and end together."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from carbon.schema import RunReport
from tests.factories import make_report
from tests.fixtures.api import LiveApi, serving
from tests.fixtures.ledgers import Ledgers
from tests.fixtures.tracking import wait_until

TIMEOUT_S = 30
WORKERS = 2


def workers_of(server: LiveApi) -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process(server.process.pid).children()
    return children


def test_workers_answer_with_what_any_of_them_has_stored(ledgers: Ledgers) -> None:
    options = ("--workers", str(WORKERS))
    with serving(ledgers.directory, *options, database_url=ledgers.url()) as server:
        reports = [make_report(seq=1, gpu_energy_kwh=0.5) for _ in range(40)]

        def deliver_and_read(report: RunReport) -> None:
            # Each request on a connection of its own: whichever worker is free takes it.
            path = f"{server.url}/v1/runs/{report.run_id}"
            for answer, status in (
                (httpx.put(path, content=report.model_dump_json(), timeout=TIMEOUT_S), 201),
                (httpx.put(path, content=report.model_dump_json(), timeout=TIMEOUT_S), 200),
                (httpx.get(path, timeout=TIMEOUT_S), 200),
            ):
                assert answer.status_code == status, answer.text
            assert answer.text == report.model_dump_json()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(deliver_and_read, reports))
        sums = {httpx.get(f"{server.url}/v1/summary", timeout=TIMEOUT_S).text for _ in range(20)}
        assert len(sums) == 1
        assert '"runs":40,' in sums.pop()
        assert len(workers_of(server)) == WORKERS


def test_a_worker_that_is_killed_is_replaced_and_all_end_together(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", str(WORKERS)) as server:
        killed, other = workers_of(server)
        killed.kill()
        wait_until(lambda: len(set(workers_of(server)) - {killed}) == WORKERS)
        assert httpx.get(f"{server.url}/healthz", timeout=TIMEOUT_S).status_code == 200
        last = workers_of(server)
        assert other in last
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(TIMEOUT_S) == 0
        assert not any(worker.is_running() for worker in last)


def test_workers_do_not_outlive_the_process_that_started_them(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", str(WORKERS)) as server:
        left = workers_of(server)
        assert len(left) == WORKERS
        os.kill(server.process.pid, signal.SIGKILL)
        assert psutil.wait_procs(left, timeout=TIMEOUT_S)[1] == []


@pytest.mark.parametrize("number", ["0", "-1", "65", "two"])
def test_a_wrong_number_of_workers_is_told(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    from api.__main__ import main

    with pytest.raises(SystemExit, match="2"):
        main(["--workers", number])
    assert f"'{number}' is not a number from 1 to 64" in capsys.readouterr().err
