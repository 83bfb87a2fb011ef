"""Tracked processes of one host see one another, and their runs add up to what it drew."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carbon import units
from carbon.attribution.neighbours import KEPT_S, Neighbours, runs_here
from carbon.attribution.run_id import new_run_id
from carbon.schema import RunReport
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.tracking.tracker import track
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.spools import settled
from tests.fixtures.tracking import joules, steady_sources
from tests.patience import PATIENCE_S

POWER_W = 300 + 60 + 10  # A GPU that all runs use, the CPU and the RAM of `steady_sources`.

SCRIPT = """
import sys, time
import carbon
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.tracking import steady_sources
time.sleep(float(sys.argv[1]))
with carbon.track(sys.argv[3], sources=steady_sources([300.0])) as run:
    end_s = time.monotonic() + float(sys.argv[2])
    for epoch in run.epochs(range(4)):
        while time.monotonic() < end_s - (3 - epoch) * float(sys.argv[2]) / 4:
            if sys.argv[3] != "busy":
                time.sleep(0.05)
"""


def neighbours(tmp_path: Path, now_s: float = 1.0) -> Neighbours:
    entered = Neighbours(new_run_id(), Spool(tmp_path), now_s)
    entered.enter(now_s)
    return entered


def test_the_runs_of_a_host_are_those_that_are_there(tmp_path: Path) -> None:
    assert runs_here(Spool(tmp_path)) == set()
    one, other = neighbours(tmp_path), neighbours(tmp_path)
    assert runs_here(Spool(tmp_path)) == {one.card.run_id, other.card.run_id}
    one.close()
    assert runs_here(Spool(tmp_path)) == {other.card.run_id}
    other.close()


def test_processes_see_one_another_until_long_after_they_left(tmp_path: Path) -> None:
    one, other = neighbours(tmp_path, 1.0), neighbours(tmp_path, 2.0)
    assert other.are_of_other_runs(0.0)
    one.look(3.0)
    assert [card.run_id for card in one.others] == [other.card.run_id]
    other.leave(4.0)
    other.close()
    one.look(5.0)
    assert [card.left_s for card in one.others] == [4.0]
    assert one.are_of_other_runs(3.5)
    assert not one.are_of_other_runs(4.0)
    one.look(5.0 + KEPT_S)
    assert one.others == []
    one.leave(6.0)
    one.close()
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_a_killed_process_was_there_until_it_last_said_something(tmp_path: Path) -> None:
    one, killed = neighbours(tmp_path), neighbours(tmp_path)
    killed.say(7.0)
    assert killed._lock is not None
    killed._lock.close()
    one.look(8.0)
    assert [card.left_s for card in one.others] == [7.0]


def test_another_start_of_the_host_is_another_time(tmp_path: Path) -> None:
    gone = neighbours(tmp_path)
    gone.leave(2.0)
    gone.close()
    (path,) = tmp_path.rglob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot_id": "another"}))
    assert neighbours(tmp_path).others == []
    assert not path.exists()


def test_what_cannot_be_read_is_nobody(tmp_path: Path) -> None:
    one, _ = neighbours(tmp_path), neighbours(tmp_path)
    for path in tmp_path.rglob("*.json"):
        path.write_text('{"torn')
    one._seen_ns = 0
    one.look(2.0)
    assert one.others == []


def test_without_a_spool_nobody_is_seen(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    alone = neighbours(tmp_path / "file")
    alone.look(2.0)
    alone.leave(3.0)
    assert not alone.are_of_other_runs(0.0)


def together_s(reports: list[RunReport]) -> float:
    """From the first start to the last end, the runs leaving no gap."""
    ends = [report.ended_at for report in reports if report.ended_at is not None]
    return (max(ends) - min(report.started_at for report in reports)).total_seconds()


def test_runs_within_one_another_add_up(settings: Settings) -> None:
    sources = steady_sources([300.0])
    with track("outer", settings=settings, sources=sources) as outer:
        time.sleep(0.3)
        with track("inner", settings=settings, sources=sources) as inner:
            time.sleep(0.8)
        time.sleep(0.3)
    assert inner.report.gpu_energy_kwh == pytest.approx(
        units.kwh_from_joules(150 * inner.report.duration_s), rel=0.05
    )
    total_j = joules(outer.report) + joules(inner.report)
    assert total_j == pytest.approx(POWER_W * outer.report.duration_s, rel=0.02)


def test_a_run_shares_nothing_from_its_end_on_though_it_still_follows_its_ticks(
    settings: Settings, simulated_gpus_here: MakeGpus
) -> None:
    simulated_gpus_here(1, counter_step_ms=100)
    with track("first", settings=settings) as run:
        time.sleep(0.1)
    (path,) = settings.spool_dir.rglob(f"sharing/*/{run.run_id}-*.json")
    left_s = json.loads(path.read_text())["left_s"]
    assert left_s is not None
    assert left_s <= time.monotonic()


def test_runs_of_several_processes_add_up_and_the_busy_one_has_more(
    tracked_env: dict[str, str], settings: Settings
) -> None:
    arguments = [("0", "4", "busy"), ("0.7", "4", "idle"), ("1.4", "1.5", "short")]
    children = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, *one], env=tracked_env) for one in arguments
    ]
    assert [child.wait(PATIENCE_S) for child in children] == [0, 0, 0]
    spool = Spool(settings.spool_dir)
    reports: dict[str, RunReport] = {}
    for run_id in spool.waiting():
        report = settled(spool, run_id)
        reports[report.project] = report
    total_j = sum(joules(report) for report in reports.values())
    assert total_j == pytest.approx(POWER_W * together_s(list(reports.values())), rel=0.02)
    for report in reports.values():
        epochs = [units.joules_from_kwh(epoch.energy_kwh or 0) for epoch in report.epochs]
        between_s = report.duration_s - sum(epoch.duration_s for epoch in report.epochs)
        between_j = joules(report) - sum(epochs)
        assert -0.5 <= between_j <= POWER_W * between_s + 0.5

    def cpu_to_gpu(project: str) -> float:
        report = reports[project]
        return (report.cpu_energy_kwh or 0.0) / (report.gpu_energy_kwh or 1.0)

    # The GPU is divided equally, whoever uses it.
    assert cpu_to_gpu("busy") > cpu_to_gpu("idle")
