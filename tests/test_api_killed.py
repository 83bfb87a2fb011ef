"""A server that is killed again and again under load: what it acknowledged is there, once."""

import http.client
import multiprocessing
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from uuid import UUID

import pytest
from sqlalchemy import select

from api import derived
from api.db import open_database
from api.rollups import totals
from api.tables import EVERYTHING, RUNS
from carbon.schema import BatchAnswer, RunReport
from carbon.settings import Settings
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers

KILLS = {"sqlite": 50, "postgresql": 3}
CLIENTS = 4
_WAIT_S = 60.0

# One process loads everything once; the servers are its copies, there in a moment.
_copies = multiprocessing.get_context("forkserver")
_copies.set_forkserver_preload(["api.app", "api.server"])


def serve(settings: Settings, ready: Connection) -> None:
    """Serve a ledger on a free port and say on which."""
    from api.app import create_app
    from api.server import Server

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    Server(create_app(settings), lambda: ready.send(port)).serve_on(listener)


@contextmanager
def served(settings: Settings) -> Iterator[tuple[int, int]]:
    """Give the port and the process id of a server, which is killed at the end."""
    ours, theirs = _copies.Pipe(duplex=False)
    process = _copies.Process(target=serve, args=(settings, theirs))
    process.start()
    try:
        assert ours.poll(_WAIT_S)
        assert process.pid is not None
        yield ours.recv(), process.pid
    finally:
        process.kill()
        process.join()


class Sender:
    """A client that sends new runs, news of them and batches, and again what had no answer."""

    def __init__(self, number: int) -> None:
        self._chance = random.Random(number)
        self._unanswered: list[RunReport] = []
        self.answers = 0
        self.sent: set[UUID] = set()
        self.acknowledged: dict[UUID, int] = {}
        """The highest number that a server said it holds."""

    def send_until_killed(self, port: int) -> None:
        """Send to a server as fast as it answers, until it is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WAIT_S)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            while True:
                if not self._unanswered:
                    self._unanswered = self._next()
                self._send(connection)

    def _next(self) -> list[RunReport]:
        known = list(self.acknowledged)
        if known and self._chance.random() < 0.3:
            run_id = self._chance.choice(known)
            seq = self.acknowledged[run_id] + 1
            return [make_report(run_id=run_id, seq=seq, gpu_energy_kwh=0.01 * seq)]
        count = self._chance.choice([1, 1, 1, 20])
        made = [make_report(project=f"p{self._chance.randrange(3)}") for _ in range(count)]
        self.sent |= {report.run_id for report in made}
        return made

    def _send(self, connection: http.client.HTTPConnection) -> None:
        reports = self._unanswered
        if len(reports) == 1:
            body = reports[0].model_dump_json()
            connection.request("PUT", f"/v1/runs/{reports[0].run_id}", body)
        else:
            items = ",".join(report.model_dump_json() for report in reports)
            connection.request("POST", "/v1/runs/batch", f'{{"items":[{items}]}}')
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise AssertionError(content)
        if len(reports) > 1:
            results = BatchAnswer.model_validate_json(content).items
            assert [result.status for result in results if result.status > 201] == []
        self.acknowledged |= {report.run_id: report.seq for report in reports}
        self._unanswered = []
        self.answers += 1


def press(senders: list[Sender], port: int, pid: int, answers: int) -> None:
    """Let all send at once, and kill the server in the middle of it, after some answers."""
    enough = answers + sum(each.answers for each in senders)
    give_up_s = time.monotonic() + _WAIT_S
    threads = [threading.Thread(target=each.send_until_killed, args=(port,)) for each in senders]
    for thread in threads:
        thread.start()
    while sum(each.answers for each in senders) < enough and time.monotonic() < give_up_s:
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_killed_server_loses_nothing_and_doubles_nothing(ledgers: Ledgers) -> None:
    chance = random.Random(1)
    senders = [Sender(number) for number in range(CLIENTS)]
    for _ in range(KILLS[ledgers.backend]):
        with served(ledgers.settings()) as (port, pid):
            press(senders, port, pid, answers=chance.randint(0, 12))
    acknowledged = {run: seq for sender in senders for run, seq in sender.acknowledged.items()}
    sent = set().union(*(sender.sent for sender in senders))
    engine = open_database(ledgers.url())
    with engine.begin() as connection:
        rows = connection.execute(select(RUNS.c.run_id, RUNS.c.seq))
        held = {row.run_id: row.seq for row in rows}
        counted = sum(total.tally.runs for total in totals(connection, [EVERYTHING]))
        assert derived.differences(connection) == []
    engine.dispose()
    assert len(acknowledged) >= KILLS[ledgers.backend]
    lost = {run: seq for run, seq in acknowledged.items() if held.get(run, -1) < seq}
    assert lost == {}
    assert held.keys() <= sent
    assert counted == len(held)
