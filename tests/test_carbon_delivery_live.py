"""Runs that tell the API of themselves while they go on, as their users run them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import pytest

from carbon.attribution.run_id import new_run_id
from carbon.attribution.topology import Topology
from carbon.delivery import delivery
from carbon.delivery.live import Live
from carbon.errors import ApiError
from carbon.rest.client import Client
from carbon.schema import RunFields
from carbon.settings import Settings
from carbon.spool.journal import Journal
from carbon.spool.part import Ended, EpochEnded, Metered, Sampled, Started
from carbon.spool.spool import Spool
from tests.fixtures.api import LiveApi, serving
from tests.fixtures.tracking import closed_port, joules, wait_until
from tests.patience import PATIENCE_S

WATTS = 370.0
TRAINING = """
import os, sys, time
import carbon
from pathlib import Path
from tests.fixtures.tracking import steady_sources
with carbon.track("digits", sources=steady_sources([300.0])) as run:
    for epoch in run.epochs(range(100_000)):
        time.sleep(0.05)
        run.log(loss=float(epoch))
        if Path(sys.argv[1]).exists():
            break
"""


class Training:
    """A training in a process of its own, until `finish` or `kill`."""

    def __init__(self, env: dict[str, str], directory: Path) -> None:
        self._stop_file = directory / f"stop-{os.urandom(4).hex()}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(self._stop_file)],
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def finish(self) -> float:
        """End the training and return how long the process then took to be gone, in seconds."""
        self._stop_file.touch()
        began_s = time.monotonic()
        output, errors = self.process.communicate(timeout=PATIENCE_S)
        took_s = time.monotonic() - began_s
        assert (self.process.returncode, output, errors) == (0, "", "")
        return took_s

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE_S)


@contextmanager
def training(env: dict[str, str], directory: Path) -> Iterator[Training]:
    started = Training(env, directory)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.communicate(timeout=PATIENCE_S)


def live_env(env: dict[str, str], url: str, interval_s: float = 0.2) -> dict[str, str]:
    return env | {"CARBON_API_URL": url, "CARBON_LIVE_INTERVAL_S": str(interval_s)}


def only_run(client: Client) -> RunFields | None:
    """The one run that the server has, or None where it has none or does not answer."""
    try:
        items = client.runs().items
    except ApiError:
        return None
    assert len(items) <= 1
    return items[0] if items else None


def the_run(client: Client) -> RunFields:
    found: list[RunFields] = []

    def is_there() -> bool:
        run = only_run(client)
        found.extend([run] if run else [])
        return bool(found)

    wait_until(is_there)
    return found[-1]


def test_energy_grows_while_the_run_goes_on(
    tracked_env: dict[str, str], shared_api: LiveApi, tmp_path: Path
) -> None:
    with (
        Client(shared_api.settings) as client,
        training(live_env(tracked_env, shared_api.url), tmp_path) as started,
    ):
        seen = [the_run(client)]
        while len(seen) < 4:
            wait_until(lambda: the_run(client).seq > seen[-1].seq)
            seen.append(the_run(client))
        for run in seen:
            assert (run.status, run.ended_at) == ("running", None)
            assert run.live_interval_s is not None
            assert (run.energy_kwh or 0) * 3.6e6 == pytest.approx(WATTS * run.duration_s, rel=1e-3)
        energies = [run.energy_kwh or 0.0 for run in seen]
        assert energies == sorted(energies)
        assert energies[0] < energies[-1]
        so_far = client.run(seen[0].run_id)
        assert so_far.epochs
        assert so_far.nodes[0].devices[0].energy_kwh
        summary = client.summary()
        assert (summary.runs, summary.runs_by_status["running"]) == (1, 1)
        started.finish()
        wait_until(lambda: the_run(client).status == "completed")
        final = client.run(seen[0].run_id)
        assert final.seq > seen[-1].seq
        assert final.live_interval_s is None
        assert joules(final) == pytest.approx(WATTS * final.duration_s, rel=1e-3)
        assert client.summary().energy_kwh == final.energy_kwh
    assert Spool(shared_api.settings.spool_dir).waiting() == []


def test_a_killed_run_is_interrupted_and_then_finished_from_its_spool(
    settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    with (
        serving(tmp_path, CARBON_INTERRUPTED_AFTER_S="1") as server,
        Client(server.settings) as client,
        training(live_env(tracked_env, server.url), tmp_path) as started,
    ):
        run_id = the_run(client).run_id
        wait_until(lambda: the_run(client).seq > 2)
        started.kill()
        told = the_run(client)
        wait_until(lambda: the_run(client).status == "interrupted")
        marked = the_run(client)
        assert marked.seq >= told.seq
        assert marked.energy_kwh == client.summary().energy_kwh
        assert marked.ended_at is not None
        # What the next run, `carbon sync` or the server of the same machine does.
        outcome = delivery.deliver(Spool(settings.spool_dir), client)
        assert [report.run_id for report in outcome.delivered] == [run_id]
        final = client.run(run_id)
        assert (final.status, client.summary().runs) == ("interrupted", 1)
        assert final.seq > marked.seq
        assert final.energy_kwh is not None
        assert final.energy_kwh >= (marked.energy_kwh or 0)
        assert joules(final) == pytest.approx(WATTS * final.duration_s, rel=1e-3)
        # What was sent before and comes late, changes nothing.
        late = final.model_copy(update={"seq": marked.seq, "status": "running", "ended_at": None})
        for _ in range(3):
            assert client.put_run(late).seq == final.seq
        assert client.run(run_id) == final


def test_a_run_goes_on_being_told_of_after_the_api_was_away(
    tracked_env: dict[str, str], tmp_path: Path
) -> None:
    port = str(closed_port())
    env = live_env(tracked_env, f"http://127.0.0.1:{port}")
    with training(env, tmp_path) as started:
        with (
            serving(tmp_path, "--port", port) as server,
            Client(server.settings) as client,
        ):
            before = the_run(client)
        time.sleep(0.5)  # Some updates find nobody.
        with (
            serving(tmp_path, "--port", port, CARBON_INTERRUPTED_AFTER_S="1") as server,
            Client(server.settings) as client,
        ):
            assert the_run(client).status == "running"
            statuses = set()

            def went_on() -> bool:
                run = the_run(client)
                statuses.add(run.status)
                return run.seq > before.seq + 1

            wait_until(went_on)
            assert statuses == {"running"}
            started.finish()
            wait_until(lambda: the_run(client).status == "completed")
            final = client.run(before.run_id)
            assert joules(final) == pytest.approx(WATTS * final.duration_s, rel=1e-3)
            assert client.summary().runs == 1
            assert client.summary().energy_kwh == final.energy_kwh


class _Bad(BaseHTTPRequestHandler):
    """Takes a request and answers 500, late or never."""

    delay_s = 0.0
    asked: list[str]

    def do_PUT(self) -> None:
        self.asked.append(self.path)
        time.sleep(self.delay_s)
        try:
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except OSError:
            pass  # Nobody waits any more.

    def log_request(self, code: object = "-", size: object = "-") -> None: ...


@contextmanager
def bad_api(delay_s: float) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (_Bad,), {"delay_s": delay_s, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("delay_s", [0.0, 3.0, 3600.0], ids=["fails", "slow", "hangs"])
def test_an_api_that_does_not_work_leaves_the_training_alone(
    delay_s: float,
    settings: Settings,
    tracked_env: dict[str, str],
    shared_api: LiveApi,
    tmp_path: Path,
) -> None:
    # A handler that sleeps cannot be ended; a socket that nobody reads hangs as well.
    bad = deaf_api() if delay_s > 60 else bad_api(delay_s)
    with bad as (url, asked), training(live_env(tracked_env, url), tmp_path) as started:
        wait_until(lambda: bool(asked))
        time.sleep(1.0)
        assert started.finish() < 15, "it waits 5 s for the delivery"
    assert not Spool(settings.spool_dir).rejected()
    with Client(shared_api.settings) as client:
        (report,) = delivery.deliver(Spool(settings.spool_dir), client).delivered
        assert client.run(report.run_id).status == "completed"
    assert joules(report) == pytest.approx(WATTS * report.duration_s, rel=1e-3)
    # Each epoch sleeps 50 ms; one that waited for the API would show.
    steps = sorted(epoch.duration_s for epoch in report.epochs)
    assert steps[-1] < 2.5


@contextmanager
def deaf_api() -> Iterator[tuple[str, list[str]]]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", ["connected, as far as one can see"]


def test_nothing_is_told_where_it_is_turned_off(
    tracked_env: dict[str, str], shared_api: LiveApi, tmp_path: Path
) -> None:
    with (
        Client(shared_api.settings) as client,
        training(live_env(tracked_env, shared_api.url, 0), tmp_path) as started,
    ):
        time.sleep(2.0)
        assert only_run(client) is None
        started.finish()
        assert the_run(client).seq == 1


def test_a_run_that_is_never_left_does_not_disturb_the_end_of_the_process(
    tracked_env: dict[str, str], shared_api: LiveApi
) -> None:
    """The interpreter goes while the run is being told of, with much to tell."""
    script = """
import time
import carbon
from tests.fixtures.tracking import steady_sources
run = carbon.track("digits", sources=steady_sources([300.0])).__enter__()
for epoch in run.epochs(range(3000)):
    run.log(loss=float(epoch))
time.sleep(0.35)
"""
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=live_env(tracked_env, shared_api.url, 0.1),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Client(shared_api.settings) as client:
        delivery.deliver(Spool(shared_api.settings.spool_dir), client)
        assert {run.status for run in client.runs().items} == {"interrupted"}


def test_a_rank_goes_on_telling_when_the_first_one_has_left(
    tracked_env: dict[str, str], shared_api: LiveApi, tmp_path: Path
) -> None:
    env = live_env(tracked_env, shared_api.url) | {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }

    def rank(number: str) -> dict[str, str]:
        return env | {"RANK": number, "LOCAL_RANK": number}

    with (
        Client(shared_api.settings) as client,
        training(rank("0"), tmp_path) as first,
        training(rank("1"), tmp_path) as second,
    ):
        wait_until(lambda: the_run(client).seq >= 2)
        run = client.run(the_run(client).run_id)
        assert (run.world_size, run.status) == (2, "running")
        first.finish()
        at_leaving = the_run(client).seq
        wait_until(lambda: the_run(client).seq > at_leaving + 1)
        assert the_run(client).status == "running"
        second.finish()
        wait_until(lambda: the_run(client).status == "completed")
        final = client.run(run.run_id)
        assert final.nodes[0].ranks == [0, 1]
        assert client.summary().energy_kwh == final.energy_kwh


# ------------------------------------------------------------------------- several processes


class Node:
    """One process of a run, as its recorder sees it."""

    def __init__(
        self,
        settings: Settings,
        run_id: UUID,
        rank: int,
        hostname: str,
        n_nodes: int = 1,
        world_size: int = 2,
    ) -> None:
        self.spool = Spool(settings.spool_dir)
        local_rank = 0 if n_nodes > 1 else rank
        place = Topology(hostname, rank, world_size, local_rank, n_nodes=n_nodes)
        started = Started(
            run_id=str(run_id),
            started_at="2026-03-01T12:00:00+00:00",
            spec={"project": "digits", "strategy": "ddp"},
            hostname=hostname,
            pid=100 + rank,
            rank=rank,
            world_size=world_size,
            n_nodes=n_nodes,
            attempt=0,
        )
        self.journal = Journal(started, self.spool)
        self.journal.say([Metered("gpu:x", "gpu", "steady", 0.1, f"GPU-{rank}", 0)])
        self.live = Live(self.journal, self.spool, settings, place)

    def gone(self) -> None:
        """What the end of its process does."""
        self.live.close()
        self.journal.close()

    def drew(self, energy_kwh: float) -> None:
        at_s = self.journal.part.sampled.at_s + 1.0
        self.journal.say([Sampled(at_s, {"gpu:x": energy_kwh * 3.6e6}, {}, {})])


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    """The processes of a test, to be put here; they are gone at its end."""
    made: list[Node] = []
    yield made
    for node in made:
        node.gone()


def test_one_process_tells_of_all_and_another_takes_its_place(
    shared_api: LiveApi, nodes: list[Node]
) -> None:
    run_id = new_run_id()
    nodes += (Node(shared_api.settings, run_id, rank, "node-1") for rank in range(2))
    first, second = nodes
    first.drew(1.0)
    second.drew(2.0)
    with Client(shared_api.settings) as client:
        first.live.tell()
        second.live.tell()
        run = client.run(run_id)
        assert (run.seq, run.energy_kwh, run.status) == (1, 3.0, "running")
        second.drew(2.5)
        first.live.tell()
        assert client.run(run_id).energy_kwh == 3.5
        first.gone()
        second.live.tell()
        assert client.run(run_id).seq == 3


@pytest.mark.parametrize("shared_spool", [True, False])
def test_two_nodes_are_one_run_while_it_goes_on_and_when_it_has_ended(
    shared_spool: bool, shared_api: LiveApi, tmp_path: Path, nodes: list[Node]
) -> None:
    run_id = new_run_id()
    for rank in range(2):
        spool = tmp_path / ("spool" if shared_spool else f"spool-{rank}")
        settings = shared_api.settings.model_copy(update={"spool_dir": spool})
        nodes.append(Node(settings, run_id, rank, f"node-{rank}", n_nodes=2))
    with Client(shared_api.settings) as client:
        for energy_kwh in (1.0, 2.0):
            for node in nodes:
                node.drew(energy_kwh)
            for node in nodes:
                node.live.tell()
            run = client.run(run_id)
            assert (run.energy_kwh, run.status, run.reporter) == (
                2 * energy_kwh,
                "running",
                None,
            )
            assert [node.hostname for node in run.nodes] == ["node-0", "node-1"]
        for node in nodes:
            node.live.stop()
            node.journal.say([Ended("completed", 3.0)])
            node.journal.close()
        for node in nodes:
            delivery.deliver(node.spool, client)
        for _ in range(3):
            delivery.deliver(nodes[0].spool, client)
        run = client.run(run_id)
        assert (run.energy_kwh, run.status) == (4.0, "completed")
        assert client.summary().runs == 1
        assert client.summary().energy_kwh == 4.0


def test_a_run_of_very_many_epochs_is_told_of_less_often(
    shared_api: LiveApi, nodes: list[Node]
) -> None:
    run_id = new_run_id()
    node = Node(
        shared_api.settings.model_copy(update={"live_interval_s": 1.0}), run_id, 0, "node-1"
    )
    nodes.append(node)
    node.journal.say([EpochEnded(i, 1.0, 1.0, {"loss": 1.0}) for i in range(5000)])
    announced = []
    with Client(shared_api.settings) as client:
        for _ in range(4):
            pause_s = node.live.tell()
            announced.append(client.run(run_id).live_interval_s or 0.0)
            assert pause_s <= 2 * announced[-1] + 1e-6
    assert announced[0] == 1.0
    assert announced[-1] > announced[0]


def test_an_ended_run_is_told_of_no_more(shared_api: LiveApi, nodes: list[Node]) -> None:
    node = Node(shared_api.settings, new_run_id(), 0, "node-1")
    nodes.append(node)
    node.live.tell()
    node.live.stop()
    assert node.live.last_seq() == 1
    node.live.tell()
    with Client(shared_api.settings) as client:
        assert the_run(client).seq == 1


def test_numbers_go_on_where_the_spool_was_deleted(shared_api: LiveApi, nodes: list[Node]) -> None:
    node = Node(shared_api.settings, new_run_id(), 0, "node-1")
    nodes.append(node)
    for _ in range(3):
        node.live.tell()
    shutil.rmtree(shared_api.settings.spool_dir)
    node.drew(1.0)
    node.drew(2.0)
    node.live.tell()
    report = delivery.settle(node.spool, node.journal.part.run_id, node.live.last_seq())
    assert report is not None
    assert report.seq == 5


def test_an_api_that_is_away_is_asked_less_and_less_often(
    settings: Settings, nodes: list[Node]
) -> None:
    node = Node(settings, new_run_id(), 0, "node-1")
    nodes.append(node)
    node.drew(1.0)
    assert [node.live.tell() for _ in range(6)] == [10.0, 20.0, 40.0, 80.0, 120.0, 120.0]
    assert node.live.last_seq() == 0, "no number for what nobody could hear"


def test_without_a_spool_a_process_alone_is_told_of_from_memory(
    shared_api: LiveApi, tmp_path: Path, nodes: list[Node]
) -> None:
    (tmp_path / "file").touch()
    unusable = shared_api.settings.model_copy(update={"spool_dir": tmp_path / "file" / "spool"})
    for world_size in (1, 2):
        node = Node(unusable, new_run_id(), 0, "node-1", world_size=world_size)
        nodes.append(node)
        node.drew(float(world_size))
        node.live.tell()
    with Client(shared_api.settings) as client:
        # Of two processes that cannot see each other, neither may speak for the run.
        assert the_run(client).energy_kwh == 1.0
