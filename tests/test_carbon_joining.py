"""`carbon.track` inside of `carbon run`, and wherever CARBON_RUN_ID is set: one run of it all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import carbon
from carbon import units
from carbon.schema import RunReport
from carbon.settings import Settings
from carbon.spool.part import Part
from carbon.spool.spool import Spool
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.spools import the_report
from tests.fixtures.tracking import joules, steady_sources, wait_until
from tests.nvml_sim.curve import SquareWave
from tests.patience import PATIENCE_S
from tests.test_carbon_tracking_launch import CARBON_RUN, the_parts

pytestmark = pytest.mark.usefixtures("known_processor")

Env = dict[str, str]

GIVEN = "01936f5e-8d3a-7c41-9b52-3f6a7e81c0d4"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

# Steady, so that nothing but counting twice or not at all makes a difference.
STEADY = [SquareWave(base_w=w, peak_w=w, period_s=1, duty=0.5) for w in (200.0, 120.0)]

TRACKED = """
import sys, time
import carbon
from carbon.tracking.metering import Sources
with carbon.track(sys.argv[1], sources=Sources({gpus}, list)) as run:
    for epoch in run.epochs(range(2)):
        time.sleep(0.4)
        run.log(loss=float(epoch))
"""


def measured(command: list[str], env: Env, *options: str) -> None:
    """Let `carbon run` measure a command to its good end."""
    done = subprocess.run(
        [*CARBON_RUN, *options, "--", *command],
        env=env | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr


def gpu_joules(report: RunReport) -> float:
    assert report.gpu_energy_kwh is not None
    return units.joules_from_kwh(report.gpu_energy_kwh)


def launcher_of(parts: list[Part]) -> Part:
    (launcher,) = [part for part in parts if part.started.is_launcher]
    return launcher


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A training of two epochs that is tracked, on the machine's own GPUs."""
    path = tmp_path / "train.py"
    path.write_text(
        TRACKED.format(gpus="machine_gpus").replace(
            "from carbon.tracking.metering import Sources",
            "from carbon.tracking.metering import Sources, machine_sources\n"
            "machine_gpus = machine_sources(None).accelerators",
        )
    )
    return str(path)


@pytest.mark.parametrize("launch", [[sys.executable], TORCHRUN], ids=["plain", "torchrun"])
def test_its_energy_is_counted_once_and_its_epochs_are_measured(
    launch: list[str],
    script: str,
    simulated_gpus: MakeGpus,
    settings: Settings,
    tracked_env: Env,
) -> None:
    gpus = simulated_gpus(2, waves=STEADY)
    measured([*launch, script, "inner"], tracked_env | gpus.env)
    n_ranks = 2 if launch is TORCHRUN else 1
    report = the_report(settings)
    assert (report.project, report.status) == ("digits", "completed")
    assert (report.world_size, report.n_nodes, report.attempts) == (n_ranks, 1, 1)
    (node,) = report.nodes
    assert node.ranks == list(range(n_ranks))
    assert [device.uuid for device in node.devices] == gpus.uuids
    parts = the_parts(settings)
    assert len(parts) == n_ranks + 1
    launcher = launcher_of(parts)
    began_s, ended_s = launcher.started.began_s, launcher.started.began_s + launcher.duration_s
    assert gpu_joules(report) == pytest.approx(gpus.total_energy_j(began_s, ended_s), rel=0.03)
    assert [epoch.metrics for epoch in report.epochs] == [{"loss": 0.0}, {"loss": 1.0}]
    lead = min((p for p in parts if p is not launcher), key=lambda p: p.started.rank)
    for epoch, noted in zip(report.epochs, lead.epochs.values(), strict=True):
        assert noted.began_s is not None
        true_j = gpus.total_energy_j(noted.began_s, noted.began_s + noted.duration_s)
        host_j = 400 * epoch.duration_s  # At most; the launcher measures this machine's too.
        assert epoch.energy_kwh is not None
        assert true_j * 0.9 < units.joules_from_kwh(epoch.energy_kwh) < true_j * 1.1 + host_j
    assert sum(units.joules_from_kwh(e.energy_kwh or 0) for e in report.epochs) < joules(report)


def test_what_the_command_line_says_wins_and_the_rest_comes_from_inside(
    settings: Settings, tracked_env: Env
) -> None:
    inside = """
import carbon
tags, config = {"who": "inner", "host": "a"}, {"lr": 0.1, "layers": 3}
with carbon.track("inner", strategy="fsdp", study="mine", name="n", tags=tags, config=config):
    pass
"""
    options = ["--study", "theirs", "--tag", "who=outer", "--config", "lr=0.5"]
    measured([sys.executable, "-c", inside], tracked_env, *options)
    report = the_report(settings)
    assert (report.project, report.study, report.name) == ("digits", "theirs", "n")
    assert report.strategy == "fsdp"
    assert report.tags == {"who": "outer", "host": "a"}
    assert report.config == {"lr": 0.5, "layers": 3}


def test_programs_one_after_the_other_are_one_run_whose_epochs_go_on(
    settings: Settings, tracked_env: Env, script: str
) -> None:
    twice = f"{sys.executable} {script} one && {sys.executable} {script} two"
    measured(["sh", "-c", twice], tracked_env)
    report = the_report(settings)
    assert [(e.index, e.metrics["loss"]) for e in report.epochs] == [(0, 0), (1, 1), (2, 0), (3, 1)]
    assert report.attempts == 1


@pytest.mark.parametrize(
    ("inside", "shell", "status"),
    [
        ("raise ValueError", "true", "failed"),
        ("sys.exit(0)", "exit 1", "failed"),
        ("os._exit(0)", "true", "completed"),
        ("raise KeyboardInterrupt", "true", "completed"),
    ],
)
def test_the_commands_exit_decides_and_a_failure_inside_counts(
    inside: str, shell: str, status: str, settings: Settings, tracked_env: Env
) -> None:
    code = f"import carbon, os, sys\nwith carbon.track('inner'):\n    {inside}"
    command = ["sh", "-c", f'"{sys.executable}" -c "{code}"; {shell}']
    subprocess.run(
        [*CARBON_RUN, "--", *command], env=tracked_env, capture_output=True, timeout=PATIENCE_S
    )
    assert the_report(settings).status == status


def test_what_is_tracked_inside_reports_at_once_what_is_known(
    settings: Settings, tracked_env: Env
) -> None:
    inside = """
import os, time
import carbon
with carbon.track("inner") as run:
    for _ in run.epochs(range(1)):
        time.sleep(0.1)
began_s = time.monotonic()
report = run.report
assert time.monotonic() - began_s < 1.9, "it waited for carbon run"
assert str(report.run_id) == os.environ["CARBON_RUN_ID"]
assert (report.status, report.project, len(report.epochs)) == ("running", "digits", 1), report
"""
    measured([sys.executable, "-c", inside], tracked_env)
    assert the_report(settings).status == "completed"


def test_tracked_processes_measure_on_where_carbon_run_was_killed(
    settings: Settings, tracked_env: Env, simulated_gpus: MakeGpus
) -> None:
    gpus = simulated_gpus(2, waves=STEADY)
    inside = """
import sys
import carbon
with carbon.track("inner") as run:
    print("ready", flush=True)
    sys.stdin.readline()
"""
    process = subprocess.Popen(
        [*CARBON_RUN, "--", sys.executable, "-c", inside],
        env=tracked_env | gpus.env | {"CARBON_SAMPLE_INTERVAL_S": "0.5"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    wait_until(lambda: len(the_parts(settings)) == 2)
    wait_until(
        lambda: set(launcher_of(the_parts(settings)).sampled.energy_j) >= gpu_keys(gpus.uuids)
    )

    def inner() -> Part:
        return next(part for part in the_parts(settings) if not part.started.is_launcher)

    wait_until(lambda: inner().sampled.at_s > 0)  # By then it has asked for the meters in vain.
    process.kill()
    process.wait()
    wait_until(lambda: set(inner().sampled.energy_j) >= gpu_keys(gpus.uuids))
    assert the_report(settings).status == "running"
    process.stdin.write(b"\n")
    process.stdin.close()
    wait_until(lambda: not inner().is_alive)
    process.stdout.close()
    report = the_report(settings)
    assert report.status == "interrupted"
    (node,) = report.nodes
    assert [device.uuid for device in node.devices] == gpus.uuids
    parts = the_parts(settings)
    began_s = min(part.started.began_s for part in parts)
    ended_s = max(part.started.began_s + part.duration_s for part in parts)
    true_j = gpus.total_energy_j(began_s, ended_s)
    # Also what was drawn between the last sample before the kill and the claim after it, but for
    # a counter's tick: that of a meter that was not read from its opening on is not known.
    assert gpu_joules(report) == pytest.approx(true_j, abs=0.1 * 320)


def gpu_keys(uuids: list[str]) -> set[str]:
    return {f"gpu:{uuid}" for uuid in uuids}


ELASTIC = """
import os, sys, time
import carbon
from carbon.tracking.metering import machine_sources, Sources
attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
sources = Sources(machine_sources(None).accelerators, list)
with carbon.track("inner", strategy="ddp", sources=sources) as run:
    for epoch in run.epochs(range(2)):
        time.sleep(0.3)
        run.log(loss=10.0 * attempt + epoch)
    if attempt < 1:
        sys.exit(1)
"""


@pytest.mark.parametrize("around", [[], [*CARBON_RUN, "--"]], ids=["alone", "in carbon run"])
def test_attempts_of_an_elastic_job_are_one_run_and_all_of_them_count(
    around: list[str],
    settings: Settings,
    tracked_env: Env,
    simulated_gpus: MakeGpus,
    tmp_path: Path,
) -> None:
    gpus = simulated_gpus(2, waves=STEADY)
    path = tmp_path / "train.py"
    path.write_text(ELASTIC)
    done = subprocess.run(
        [*around, *TORCHRUN, "--max-restarts", "2", str(path)],
        env=tracked_env | gpus.env | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    report = the_report(settings)
    assert (report.status, report.attempts, report.world_size) == ("completed", 2, 2)
    told = [(e.attempt, e.index, e.metrics["loss"]) for e in report.epochs]
    assert told == [(0, 0, 0.0), (0, 1, 1.0), (1, 0, 10.0), (1, 1, 11.0)]
    assert all(epoch.energy_kwh for epoch in report.epochs)
    parts = the_parts(settings)
    # Those that were measuring: `carbon run` all the time, else the ranks of each attempt.
    true_j = 0.0
    for attempt in (0, 1):
        measuring = [p for p in parts if p.started.is_launcher is bool(around)]
        those = [p for p in measuring if p.started.attempt == attempt]
        if those:
            began_s = min(p.started.began_s for p in those)
            ended_s = max(p.started.began_s + p.duration_s for p in those)
            true_j += gpus.total_energy_j(began_s, ended_s)
    # Ranks enter and leave one after the other, and the first to come has the devices.
    assert gpu_joules(report) == pytest.approx(true_j, rel=0.03 if around else 0.25)


# ------------------------------------------------------------------- without a `carbon run`


@pytest.fixture
def given_id(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CARBON_RUN_ID", GIVEN)
    return GIVEN


def test_the_id_alone_makes_one_run_and_the_tracked_processes_measure(
    settings: Settings, tracked_env: Env
) -> None:
    script = TRACKED.format(gpus="lambda: steady_sources([300.0]).accelerators()").replace(
        "import carbon\n", "import carbon\nfrom tests.fixtures.tracking import steady_sources\n", 1
    )
    env = tracked_env | {"CARBON_RUN_ID": GIVEN}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script, "p"], env=env, check=True, timeout=PATIENCE_S)
    report = the_report(settings)
    assert str(report.run_id) == GIVEN
    assert [e.index for e in report.epochs] == [0, 1, 2, 3]
    for epoch in report.epochs:
        assert epoch.energy_kwh is not None
        assert units.joules_from_kwh(epoch.energy_kwh) == pytest.approx(300 * epoch.duration_s)


def test_tracks_of_one_process_are_parts_of_the_run(given_id: str, settings: Settings) -> None:
    """One after the other and one inside of another."""
    sources = steady_sources([300.0], None, None)
    for _ in range(2):
        with carbon.track("p", settings=settings, sources=sources) as run:
            for epoch in run.epochs(range(2)):
                run.log(loss=epoch)
            with carbon.track("p", settings=settings, sources=sources) as inner:
                pass
    report = run.report
    assert str(report.run_id) == str(inner.run_id) == given_id
    assert [e.index for e in report.epochs] == [0, 1, 2, 3]
    assert len(Spool(settings.spool_dir).parts(run.run_id)) == 4
    assert joules(report) <= 300 * report.duration_s * 1.01


@pytest.mark.parametrize("value", ["mine", GIVEN.replace("-7", "-4"), GIVEN[:-1]])
def test_a_bad_id_is_named_and_the_training_is_a_run_of_its_own(
    value: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CARBON_RUN_ID", value)
    with carbon.track("p", settings=settings, sources=steady_sources()) as run:
        pass
    assert f"CARBON_RUN_ID is {value!r}" in caplog.text
    assert (run.report.status, run.run_id.version) == ("completed", 7)
    assert str(run.run_id) != value


def test_an_empty_id_is_none(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARBON_RUN_ID", "")
    with carbon.track("p", settings=settings, sources=steady_sources()) as run:
        pass
    assert run.run_id.version == 7
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "no handlers in a training"
