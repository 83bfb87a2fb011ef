"""`carbon study run` as its user meets it: real runs, failures, interruptions and resumption."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from carbon.rest.client import Client
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.study.folder import read_history
from carbon.study.results import in_spool
from tests.fixtures.api import LiveApi
from tests.fixtures.studies import statuses
from tests.fixtures.tracking import wait_until
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("known_processor")

Env = dict[str, str]

STUDY = [sys.executable, "-m", "carbon", "study", "run"]


def study(*arguments: str, env: Env, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*STUDY, *arguments],
        env=env | {"COLUMNS": "120", "PYTHONPATH": str(Path(__file__).parent.parent)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@contextmanager
def begun(*arguments: str, env: Env, cwd: Path) -> Iterator["subprocess.Popen[str]"]:
    """A study that goes on; it and what it started are gone afterwards in any case."""
    process = subprocess.Popen(
        [*STUDY, *arguments],
        env=env | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def on_ddp(name: str, workers: str = "1,2", repeats: int = 1) -> list[str]:
    said = ["--name", name, "--project", "p", "--strategies", "ddp", "--workers", workers]
    return [*said, "--repeats", str(repeats)]


EPOCHS = """
import sys, time, carbon
from pathlib import Path
if "2" in sys.argv[1] and not Path("mended").exists():
    sys.exit("two workers are too many")
with carbon.track("inside") as run:
    for _ in run.epochs(range(3)):
        time.sleep(0.02)
"""


def test_a_study_from_its_first_run_to_its_table(
    tracked_env: Env, live_api: LiveApi, tmp_path: Path
) -> None:
    """Runs of any command, one that fails, one that is mended, one that is added later."""
    env = tracked_env | {"CARBON_API_URL": live_api.url}
    command = ["--", sys.executable, "-c", EPOCHS, "{workers}"]

    first = study(*on_ddp("s"), *command, env=env, cwd=tmp_path)
    assert first.returncode == 1, first.stderr
    lines = first.stdout.splitlines()
    assert sum("begins" in line for line in lines) == 2
    assert any(
        "ddp x2, repeat 1 FAILED" in line and "studies/s/logs/ddp-x2-r1.log" in line
        for line in lines
    )
    assert any("ddp x1, repeat 1 completed after" in line for line in lines)
    assert "\x1b" not in first.stdout, "plain lines where nobody looks"
    folder = tmp_path / "studies" / "s"
    assert statuses(folder) == {"ddp-x1-r1": ["completed"], "ddp-x2-r1": ["failed"]}
    assert "two workers are too many" in (folder / "logs" / "ddp-x2-r1.log").read_text()

    again = study(*on_ddp("s"), *command, env=env, cwd=tmp_path)
    assert (again.returncode, "begins" in again.stdout) == (1, False), "a failure stays one"

    (tmp_path / "mended").write_text("")
    more = on_ddp("s", repeats=2)
    mended = study(
        "studies/s/study.yaml", "--repeats", "2", "--retry-failed", env=env, cwd=tmp_path
    )
    assert mended.returncode == 0, mended.stderr
    assert {key: found[-1] for key, found in statuses(folder).items()} == dict.fromkeys(
        ["ddp-x1-r1", "ddp-x2-r1", "ddp-x1-r2", "ddp-x2-r2"], "completed"
    )
    assert statuses(folder)["ddp-x1-r1"] == ["completed"], "what was done is not repeated"
    (row_1, row_2) = (line.split() for line in mended.stdout.splitlines() if " 2/2 " in line)
    assert row_1[:4] == ["ddp", "1", "2/2", "0"]
    assert row_2[:4] == ["ddp", "2", "2/2", "0"]

    nothing = study(*more, *command, env=env, cwd=tmp_path)
    assert (nothing.returncode, "begins" in nothing.stdout) == (0, False)
    with Client(live_api.settings) as client:
        points = client.scaling("p", "s").points
        ids = {run.run_id for run in client.all_runs(project="p", status="completed")}
    assert [(p.strategy, p.workers, p.runs) for p in points] == [("ddp", 1, 2), ("ddp", 2, 2)]
    history = read_history(folder)
    assert ids == {history.last(run).run_id for run in history.planned}


APPENDS = "echo {workers}-{repeat} >> begun; while [ ! -e go ]; do sleep 0.05; done; "
APPENDS += "echo {workers}-{repeat} >> ended"


def words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_killed_in_the_middle_every_run_is_made_once(
    settings: Settings, tracked_env: Env, tmp_path: Path
) -> None:
    """The run that was under way outlives the study, and is waited for."""
    arguments = [*on_ddp("k"), "--", "sh", "-c", APPENDS]
    with begun(*arguments, env=tracked_env, cwd=tmp_path) as process:
        wait_until(lambda: len(words(tmp_path / "begun")) == 1, 180)
        process.kill()
        process.wait()
    with begun(*arguments, env=tracked_env, cwd=tmp_path) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        while "goes on from before" not in line:
            assert line
            line = process.stdout.readline()
        assert len(words(tmp_path / "begun")) == 1, "nothing runs beside it"
        (tmp_path / "go").write_text("")
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert sorted(words(tmp_path / "ended")) == ["1-1", "2-1"]
    assert set(map(tuple, statuses(tmp_path / "studies/k").values())) == {("completed",)}
    found = [
        in_spool(Spool(settings.spool_dir), each) for each in Spool(settings.spool_dir).waiting()
    ]
    assert sorted(report.world_size for report in found if report) == [1, 2]


def test_a_run_that_was_killed_with_its_study_is_made_again(
    tracked_env: Env, tmp_path: Path
) -> None:
    arguments = [*on_ddp("d", workers="2"), "--", "sh", "-c", APPENDS]
    with begun(*arguments, env=tracked_env, cwd=tmp_path) as process:
        wait_until(lambda: len(words(tmp_path / "begun")) == 1, 180)
        process.kill()
        process.wait()
        kill_all_of(tmp_path / "studies/d")
    (tmp_path / "go").write_text("")
    done = study(*arguments, env=tracked_env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert words(tmp_path / "ended") == ["2-1"]
    assert statuses(tmp_path / "studies/d") == {"ddp-x2-r1": ["interrupted", "completed"]}


def kill_all_of(folder: Path) -> None:
    from carbon.study.machine import processes_of

    history = read_history(folder)
    for run in history.begun():
        for pid in processes_of(history.last(run).run_id):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda run=run: not processes_of(history.last(run).run_id))  # type: ignore[misc]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_stops_its_run_and_says_how_to_go_on(
    number: signal.Signals, tracked_env: Env, tmp_path: Path
) -> None:
    arguments = [*on_ddp("i", workers="1"), "--", "sh", "-c", APPENDS]
    with begun(*arguments, env=tracked_env, cwd=tmp_path) as process:
        wait_until(lambda: len(words(tmp_path / "begun")) == 1, 180)
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "the same command goes on with what is left" in output
    assert statuses(tmp_path / "studies/i") == {"ddp-x1-r1": ["interrupted"]}
    assert words(tmp_path / "ended") == []


def test_runs_beside_others_are_told_of_and_a_failure_can_stop_the_rest(
    tracked_env: Env, tmp_path: Path
) -> None:
    beside = ["sh", "-c", "echo ready; read line"]
    with subprocess.Popen(
        [sys.executable, "-m", "carbon", "run", "--project", "other", "--", *beside],
        env=tracked_env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        spool = Path(tracked_env["CARBON_SPOOL_DIR"])
        wait_until(lambda: any(spool.glob("sharing/*/*.lock")))
        done = study(
            *on_ddp("b"),
            "--stop-on-failure",
            "--",
            "false",
            "{workers}",
            env=tracked_env,
            cwd=tmp_path,
        )
        other.communicate(b"\n", timeout=PATIENCE_S)
    assert done.returncode == 1
    assert done.stdout.count("another tracked run is on this machine") == 1
    assert sorted(statuses(tmp_path / "studies/b").values()) == [[], ["failed"]]


def test_the_trainers_are_studied_too(tracked_env: Env, tmp_path: Path) -> None:
    said = ["--name", "t", "--task", "digits", "--strategies", "single", "--workers", "1,2"]
    done = study(*said, "--repeats", "1", "--epochs", "1", env=tracked_env, cwd=tmp_path)
    assert done.returncode == 0, (tmp_path / "studies/t/logs/single-x1-r1.log").read_text()
    assert "single x2 is left out" in done.stdout
    (run_id,) = [
        attempt.run_id for (attempt,) in read_history(tmp_path / "studies/t").attempts.values()
    ]
    report = in_spool(Spool(Path(tracked_env["CARBON_SPOOL_DIR"])), run_id)
    assert report is not None
    assert (report.project, report.study, report.strategy) == ("digits", "t", "single")
    assert (report.status, report.world_size, len(report.epochs)) == ("completed", 1, 1)
    names = {series.name for node in report.nodes for series in node.series}
    assert "cpu_frequency" in names or not Path("/sys/devices/system/cpu/cpu0/cpufreq").exists()
