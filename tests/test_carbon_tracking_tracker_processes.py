"""Runs in processes of their own: how they end, what they leave behind, and several as one run."""

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from carbon.attribution.run_id import new_run_id
from carbon.rest.client import Client
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.tracking.tracker import track
from tests.fixtures.api import LiveApi
from tests.fixtures.spools import the_report
from tests.fixtures.tracking import joules, steady_sources, wait_until
from tests.patience import PATIENCE_S

SCRIPT = """
import os, sys, time
import carbon
from tests.fixtures.tracking import steady_sources
with carbon.track("digits", strategy={strategy!r}, sources=steady_sources([300.0, 200.0])) as run:
    for epoch in run.epochs(range(3)):
        time.sleep(0.1)
        run.log(loss=float(epoch))
    {then}
"""

# As from a terminal, also where the tests' own shell ignores it.
INTERRUPT = "from signal import *; signal(SIGINT, default_int_handler); raise_signal(SIGINT)"


def start(env: dict[str, str], then: str = "pass") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(then=then, strategy=None)],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def torchrun(script: str, env: dict[str, str], directory: Path) -> None:
    """Run a script in two processes under torchrun, to its good end."""
    path = directory / "train.py"
    path.write_text(script)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(path)]
    done = subprocess.run(
        [sys.executable, *launch],
        env=env | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("then", "code", "status"),
    [
        ("pass", 0, "completed"),
        ("sys.exit(3)", 3, "failed"),
        ("raise ValueError('mine')", 1, "failed"),
        (INTERRUPT, -2, "interrupted"),
        ("time.sleep(0.2); os._exit(7)", 7, "interrupted"),
        ("time.sleep(0.2); os.kill(os.getpid(), 9)", -9, "interrupted"),
        ("time.sleep(0.2); os.kill(os.getpid(), 15)", -15, "interrupted"),
    ],
)
def test_however_a_process_ends_its_run_is_there(
    then: str, code: int, status: str, settings: Settings, tracked_env: dict[str, str]
) -> None:
    with start(tracked_env, then) as process:
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, errors
    assert "carbon" not in output
    report = the_report(settings)
    assert report.status == status
    assert len(report.epochs) == 3
    # At most one sampling interval (0.05 s) is lost, with room for a slow machine.
    assert report.duration_s > 0.3
    assert joules(report) == pytest.approx(570 * report.duration_s, rel=1e-3)


def test_a_killed_run_is_delivered_by_the_next_one(
    settings: Settings, tracked_env: dict[str, str], shared_api: LiveApi
) -> None:
    with start(tracked_env, "os.kill(os.getpid(), 9)") as process:
        process.communicate(timeout=PATIENCE_S)
    (killed,) = Spool(settings.spool_dir).waiting()
    with start(tracked_env | {"CARBON_API_URL": shared_api.url}) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    with Client(shared_api.settings) as client:
        wait_until(lambda: len(client.runs().items) == 2)
        assert client.run(killed).status == "interrupted"
    assert Spool(settings.spool_dir).waiting() == []


def test_a_full_disk_stops_neither_the_training_nor_the_report(
    tracked_env: dict[str, str], shared_api: LiveApi
) -> None:
    """No file of the process may grow at all, as on a full disk."""
    full = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    full += "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    done = subprocess.run(
        [sys.executable, "-c", full + SCRIPT.format(then="pass", strategy=None)],
        env=tracked_env | {"CARBON_API_URL": shared_api.url},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 1
    assert "is kept in memory only for now" in done.stderr
    with Client(shared_api.settings) as client:
        report = client.run(client.runs().items[0].run_id)
    assert (report.status, len(report.epochs)) == ("completed", 3)
    assert joules(report) == pytest.approx(570 * report.duration_s, rel=1e-3)


def test_two_ranks_of_torchrun_are_one_run_counted_once(
    settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    torchrun(SCRIPT.format(then="time.sleep(0.3)", strategy="ddp"), tracked_env, tmp_path)
    report = the_report(settings)
    assert (report.world_size, report.n_nodes, report.strategy) == (2, 1, "ddp")
    assert report.status == "completed"
    (node,) = report.nodes
    assert node.ranks == [0, 1]
    assert [device.uuid for device in node.devices] == ["GPU-0", "GPU-1"]
    # One rank may enter the run a little before the other; a doubled device would be off by 100 %.
    assert joules(report) == pytest.approx(570 * report.duration_s, rel=0.25)
    assert [e.index for e in report.epochs] == [0, 1, 2]


def test_two_ranks_record_no_series_twice(
    settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    script = SCRIPT.format(then="time.sleep(2)", strategy="ddp")
    torchrun(script, tracked_env | {"CARBON_SERIES": "all"}, tmp_path)
    spool = Spool(settings.spool_dir)
    (run_id,) = spool.waiting()
    told: dict[tuple[str, str | None], list[tuple[float, float]]] = {}
    for part in spool.series(run_id):
        for one in part.recorded:
            began_s = part.started_at.timestamp() + one.series.start_s
            until_s = began_s + len(one.series.means()) * one.series.interval_s
            told.setdefault((one.name, one.device_uuid), []).append((began_s, until_s))
    assert {("gpu_power", "GPU-0"), ("gpu_power", "GPU-1"), ("ram_used", None)} <= set(told)
    # The rank that leaves last may have taken over from the other for the end.
    for spans in told.values():
        for earlier, later in pairwise(sorted(spans)):
            assert earlier[1] <= later[0] + 1.0, "told by both for most of two seconds"
    (node,) = the_report(settings).nodes
    assert {(one.name, one.device_uuid) for one in node.series} == set(told)


def test_a_rank_that_leaves_hands_its_devices_on(
    settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    """The rank that came first claims every device; the other goes on measuring them."""
    script = """
import os, time
import carbon
from tests.fixtures.tracking import steady_sources
rank = int(os.environ["RANK"])
time.sleep(0.0 if rank == 1 else 0.5)
with carbon.track("digits", strategy="ddp", sources=steady_sources([300.0])) as run:
    time.sleep(1.0 if rank == 1 else 2.0)
"""
    torchrun(script, tracked_env, tmp_path)
    report = the_report(settings)
    assert report.duration_s > 2.2
    # Lost: at most one sampling interval between the two, and half a second of no meter at all.
    assert joules(report) == pytest.approx(370 * report.duration_s, rel=0.15)


def test_epochs_are_there_after_a_kill_before_the_hosts_meters_are(
    settings: Settings, tracked_env: dict[str, str]
) -> None:
    script = """
import os, time
import carbon
from carbon.tracking.metering import Sources
with carbon.track("digits", sources=Sources(list, lambda: time.sleep(60))) as run:
    for epoch in run.epochs(range(3)):
        time.sleep(0.1)
        run.log(loss=float(epoch))
    time.sleep(0.5)
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], env=tracked_env, timeout=PATIENCE_S)
    report = the_report(settings)
    assert [epoch.metrics["loss"] for epoch in report.epochs] == [0, 1, 2]


def test_a_child_of_multiprocessing_waits_for_its_delivery(
    tracked_env: dict[str, str], shared_api: LiveApi
) -> None:
    script = """
import multiprocessing, time
import carbon
from tests.fixtures.tracking import steady_sources
def work():
    with carbon.track("digits", sources=steady_sources()):
        time.sleep(0.2)
if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
"""
    subprocess.run(
        [sys.executable, "-c", script],
        env=tracked_env | {"CARBON_API_URL": shared_api.url},
        check=True,
        timeout=PATIENCE_S,
    )
    with Client(shared_api.settings) as client:
        assert [run.status for run in client.runs().items] == ["completed"]


def test_a_forked_child_does_not_wait_for_its_parents_delivery(
    tracked_env: dict[str, str],
) -> None:
    script = """
import os, sys, time
import carbon
from tests.fixtures.tracking import steady_sources
with carbon.track("digits", sources=steady_sources()):
    pass
took_s = []
for _ in range(3):  # A machine that stands still does so once.
    child = os.fork()
    if child == 0:
        sys.exit(0)
    began_s = time.monotonic()
    os.waitpid(child, 0)
    took_s.append(time.monotonic() - began_s)
print(min(took_s))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=tracked_env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert float(done.stdout) < 4, "it waits 5 s for what it cannot see happen"


def test_nothing_is_printed_and_nothing_waited_for_when_no_api_runs(
    tracked_env: dict[str, str],
) -> None:
    with start(tracked_env) as process:
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output, errors) == (0, "", "")


def test_a_run_too_short_for_the_processor_to_be_found_out_spares_the_next_one_the_wait(
    settings: Settings, tracked_env: dict[str, str]
) -> None:
    script = "import carbon\nwith carbon.track('p'): pass"
    subprocess.run([sys.executable, "-c", script], env=tracked_env, check=True, timeout=PATIENCE_S)
    wait_until((settings.spool_dir / "host.json").exists)


def test_without_a_spool_the_first_process_of_a_node_reports_for_all(
    shared_api: LiveApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    unusable = shared_api.settings.model_copy(update={"spool_dir": tmp_path / "file" / "spool"})
    monkeypatch.setenv("CARBON_RUN_ID", str(new_run_id()))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        with track("p", settings=unusable, sources=steady_sources([300.0])) as run:
            time.sleep(0.1)
        assert run._recorder.delivered.wait(PATIENCE_S)
    with Client(shared_api.settings) as client:
        report = client.run(run.run_id)
    assert report.energy_kwh is not None
    assert report == run.report
