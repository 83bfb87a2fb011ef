"""What happens to a run when everything around it fails: kills, clocks, crowds."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from carbon import units
from carbon.attribution.run_id import new_run_id
from carbon.delivery import delivery
from carbon.rest.client import Client
from carbon.schema import RunReport
from carbon.settings import Settings
from carbon.spool.part import Part
from carbon.spool.spool import Spool
from carbon.tracking.tracker import track
from tests.fixtures.api import LiveApi
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.tracking import steady_sources
from tests.nvml_sim.gpus import SimulatedGpus
from tests.patience import PATIENCE_S

KILLS = 100
INTERVAL_S = 0.1
BUSY_S = 0.15
"""How late a sample may be on a machine whose cores are busy with four trainings at once, beyond
what others of the same training were."""

SWING_W = 2 * 240
"""Until a meter is read first, what two GPUs draw can only be inferred, and they may be at their
base or at their peak;"""
TICK_S = 0.05
"""until it has followed their counters for a while, it takes them to move in steps."""

# One process imports everything once and forks the trainings, so that a hundred take a minute. Its
# argument says how long each is left alone before it is killed; it prints the two moments of each.
KILLER = """
import json, os, signal, sys, time
import carbon.tracking.tracker
from carbon.tracking.metering import Sources
from carbon.meters import nvml
from carbon.settings import load

def train(spool, tell):
    settings = load(spool_dir=spool)
    sources = Sources(lambda: nvml.open_meters(os.environ), lambda: [])
    os.write(tell, repr(time.monotonic()).encode())
    with carbon.tracking.tracker.track("digits", settings=settings, sources=sources) as run:
        for _ in run.epochs(range(10**9)):
            time.sleep(0.05)

def start(number, alone_s):
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        train(f"{sys.argv[2]}/{number}", tell)
    began_s = float(os.read(told, 100))
    os.close(told), os.close(tell)
    return number, pid, began_s, began_s + alone_s

pending, running = list(enumerate(json.loads(sys.argv[1]))), []
while pending or running:
    while pending and len(running) < 4:
        running.append(start(*pending.pop(0)))
    number, pid, began_s, kill_s = min(running, key=lambda one: one[3])
    running.remove((number, pid, began_s, kill_s))
    time.sleep(max(kill_s - time.monotonic(), 0))
    killed_s = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print(json.dumps([number, began_s, killed_s]), flush=True)
"""


@dataclass(frozen=True)
class Kill:
    """One training: when it entered `track`, when it was killed, and what its spool still says."""

    began_s: float
    killed_s: float
    spool: Spool
    report: RunReport | None
    part: Part | None
    sampled_at_s: list[float]

    @property
    def lost_s(self) -> float:
        """How much of its time is not in the last sample."""
        return self.killed_s - self.began_s - self.sampled_at_s[-1]

    @property
    def longest_gap_s(self) -> float:
        """The longest time without a sample before: a busy machine lets none of them be in time."""
        return max(self._gaps_s)

    @property
    def shortest_gap_s(self) -> float:
        return min(self._gaps_s)

    @property
    def _gaps_s(self) -> list[float]:
        return [late - early for early, late in pairwise([0.0, *self.sampled_at_s])]


@pytest.fixture
def gpus(simulated_gpus: MakeGpus) -> SimulatedGpus:
    return simulated_gpus(2)


@pytest.fixture
def kills(gpus: SimulatedGpus, tracked_env: dict[str, str], tmp_path: Path) -> list[Kill]:
    chance = random.Random(20261121)
    alone_s = [chance.uniform(0, 1.2) for _ in range(KILLS)]
    done = subprocess.run(
        [sys.executable, "-c", KILLER, json.dumps(alone_s), str(tmp_path / "spools")],
        env=tracked_env | gpus.env | {"CARBON_SAMPLE_INTERVAL_S": str(INTERVAL_S)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.splitlines():
        number, began_s, killed_s = json.loads(line)
        spool = Spool(tmp_path / "spools" / str(number))
        part = next((p for run_id in spool.waiting() for p in spool.parts(run_id)), None)
        sampled_at_s = list(samples(spool))
        found.append(Kill(began_s, killed_s, spool, finished(spool), part, sampled_at_s))
    assert len(found) == KILLS
    return found


def samples(spool: Spool) -> Iterator[float]:
    """Read when the samples in the spool were taken, in seconds since the run began."""
    for run_id in spool.waiting():
        for path in spool.part_files(run_id):
            for line in path.read_text().splitlines():
                with suppress(ValueError):  # Torn by the kill.
                    event = json.loads(line)
                    if event["kind"] == "sampled" and event["energy_j"]:
                        yield event["at_s"]


def finished(spool: Spool) -> RunReport | None:
    run_ids = spool.waiting()
    assert len(run_ids) <= 1
    for run_id in run_ids:
        with spool.locked(run_id):
            return delivery.settle(spool, run_id)
    return None


def test_a_hundred_kills_lose_a_sample_each_at_most(
    kills: list[Kill], gpus: SimulatedGpus, live_api: LiveApi
) -> None:
    for kill in kills:
        report, part = kill.report, kill.part
        if report is None or part is None:
            continue
        assert report.status == "interrupted"
        # What is on disk is what the GPUs drew until the last sample, no more and no less.
        began_s = part.started.began_s
        true_j = gpus.total_energy_j(began_s, began_s + report.duration_s)
        energy_j = units.joules_from_kwh(report.energy_kwh or 0.0)
        unseen_s = max((meter.unseen_s for meter in part.meters.values()), default=0.0)
        assert abs(energy_j - true_j) <= 0.02 * true_j + (unseen_s + TICK_S) * SWING_W
    sampled = [kill for kill in kills if kill.sampled_at_s]
    assert len(sampled) >= KILLS // 4
    assert min(kill.shortest_gap_s for kill in sampled) < 1.5 * INTERVAL_S
    late_s = sorted(kill.lost_s - kill.longest_gap_s for kill in sampled)
    assert late_s[len(sampled) * 9 // 10] <= BUSY_S
    # Every run arrives once, also when everything is delivered three times.
    expected = [kill.report for kill in kills if kill.report is not None]
    with Client(live_api.settings) as client:
        for report in expected * 3:
            client.put_run(report)
        for kill in kills:
            delivery.deliver(kill.spool, client)
            assert kill.spool.waiting() == []
        total = client.summary()
    assert total.runs == len(expected) >= KILLS // 2
    assert total.energy_kwh == pytest.approx(
        sum(report.energy_kwh or 0.0 for report in expected), abs=1e-12
    )
    assert total.runs_by_status["interrupted"] == len(expected)


RANK = """
import os, sys, time
import carbon
from tests.fixtures.tracking import steady_sources
with carbon.track("digits", sources=steady_sources([300.0, 200.0])) as run:
    for epoch in run.epochs(range(20)):
        time.sleep(0.05)
        run.log(loss=float(epoch))
"""


def test_eight_ranks_write_at_once_and_are_one_run(
    tracked_env: dict[str, str], settings: Settings
) -> None:
    shared = tracked_env | {
        "CARBON_RUN_ID": str(new_run_id()),
        "WORLD_SIZE": "8",
        "LOCAL_WORLD_SIZE": "8",
    }
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(8)
    ]
    assert [rank.wait(PATIENCE_S) for rank in ranks] == [0] * 8
    report = finished(Spool(settings.spool_dir))
    assert report is not None
    assert report.run_id == UUID(shared["CARBON_RUN_ID"])
    assert (report.status, report.world_size) == ("completed", 8)
    assert [node.ranks for node in report.nodes] == [list(range(8))]
    assert [epoch.metrics for epoch in report.epochs] == [{"loss": float(i)} for i in range(20)]
    # Each device and the host once, from when the first rank came until the last one left.
    energy_j = units.joules_from_kwh(report.energy_kwh or 0.0)
    assert 0.7 * 570 * report.duration_s < energy_j < 1.01 * 570 * report.duration_s


def test_nodes_of_the_same_name_with_a_spool_each_both_count(
    tracked_env: dict[str, str], live_api: LiveApi, tmp_path: Path
) -> None:
    shared = tracked_env | {
        "CARBON_API_URL": live_api.url,
        "CARBON_LIVE_INTERVAL_S": "0.2",
        "CARBON_RUN_ID": str(new_run_id()),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
    }
    nodes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK],
            env=shared | {"RANK": str(rank), "CARBON_SPOOL_DIR": str(tmp_path / f"spool-{rank}")},
        )
        for rank in range(2)
    ]
    assert [node.wait(PATIENCE_S) for node in nodes] == [0, 0]
    with Client(live_api.settings) as client:
        report = client.run(UUID(shared["CARBON_RUN_ID"]))
    assert (report.status, report.n_nodes) == ("completed", 2)
    assert sorted(rank for node in report.nodes for rank in node.ranks) == [0, 1]
    assert len({node.hostname for node in report.nodes}) == 1
    energy_j = units.joules_from_kwh(report.energy_kwh or 0.0)
    assert 0.7 * 2 * 570 * report.duration_s < energy_j < 1.01 * 2 * 570 * report.duration_s


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(days=400)])
def test_a_clock_that_jumps_changes_no_figure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    jumped: list[bool] = []

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + (jump if jumped else timedelta())

    monkeypatch.setattr("carbon.tracking.clocks.datetime", Clock)
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + (jump.total_seconds() if jumped else 0.0))
    began_s = time.monotonic()
    with track("digits", settings=settings, sources=steady_sources([300.0])) as run:
        time.sleep(0.2)
        jumped.append(True)
        time.sleep(0.3)
    took_s = time.monotonic() - began_s
    report = run.report
    assert 0.5 <= report.duration_s <= took_s
    assert report.ended_at is not None
    assert (report.ended_at - report.started_at).total_seconds() == pytest.approx(
        report.duration_s, abs=1e-5
    )
    energy_j = units.joules_from_kwh(report.energy_kwh or 0.0)
    assert energy_j == pytest.approx(370 * report.duration_s, rel=1e-3)
