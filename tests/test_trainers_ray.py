"""The strategies whose workers Ray Train starts: here, and in a cluster that is there already."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from carbon import local_ray
from carbon.settings import Settings
from carbon.spool.merge import merge
from carbon.spool.spool import Spool
from tests.fixtures.processes import below, kill
from tests.fixtures.tracking import closed_port, wait_until
from tests.patience import PATIENCE_S
from tests.test_trainers_strategies import SHARED_TRAINING, assert_close
from trainers import ray_launch

pytest.importorskip("ray", reason="Ray is not installed: pip install 'carbon-ledger[ray]'")

TRAIN = (sys.executable, "-m", "trainers.train", "--task", "digits", "--workers", "2")
RAY = str(Path(sys.executable).parent / "ray")
ON_CPU = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

# Workers import this by its name and are given the words; the driver is given what rank 0 returns.
FOR_WORKERS = f"""
import os, sys

SHARED_TRAINING = {SHARED_TRAINING!r}

def shared(words):
    sys.argv[1:] = words
    exec(compile(SHARED_TRAINING, "shared_training", "exec"), {{"__name__": "__main__"}})

def failing(words):
    import time
    print("rank", os.environ["RANK"], "begins")
    if os.environ["RANK"] == "1":
        raise ValueError("there is no such file")
    time.sleep(600)  # Whoever waits for a worker that has failed.
"""
DRIVER = """
import sys
from carbon.errors import CarbonError
from trainers.ray_launch import on_workers
try:
    on_workers("for_workers", sys.argv[1], sys.argv[2:], 2)
except CarbonError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of who works in a Ray cluster of one node, with a folder for modules."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "for_workers.py").write_text(FOR_WORKERS)
    environ = os.environ | ON_CPU | {"PYTHONPATH": f"{modules}:{Path(__file__).parent.parent}"}
    environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environ |= local_ray.SETTINGS
    port = closed_port()
    head = subprocess.Popen(
        [
            *(RAY, "start", "--head", "--block", "--num-cpus=2", "--include-dashboard=false"),
            *("--node-ip-address=127.0.0.1", f"--port={port}", "--disable-usage-stats"),
            f"--object-store-memory={local_ray.OBJECT_STORE_BYTES}",
        ],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield environ | {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        # Told to end, it takes half a minute.
        for process in below(head.pid):
            kill(process)
        head.kill()
        head.wait()


def drive(
    cluster: dict[str, str], function: str, *words: str
) -> "subprocess.CompletedProcess[str]":
    """Call a function of FOR_WORKERS on two workers in the cluster."""
    return subprocess.run(
        [sys.executable, "-c", DRIVER, function, *words],
        env=cluster,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.fixture(scope="module")
def trainings(
    cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What each worker saw: `ray-ddp-double-2-1` is the second of two."""
    folder = tmp_path_factory.mktemp("ray")
    alone = [sys.executable, "-c", SHARED_TRAINING, str(folder), "single", ""]
    subprocess.run(alone, env=cluster, check=True, timeout=PATIENCE_S)
    done = drive(cluster, "shared", str(folder), "ray-ddp,ray-deepspeed", "")
    assert done.returncode == 0, done.stderr
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


@pytest.mark.parametrize(
    ("strategy", "kind"), [("ray-ddp", "double"), ("ray-ddp", "float"), ("ray-deepspeed", "float")]
)
def test_two_workers_reach_the_weights_and_metrics_of_one(
    trainings: dict[str, dict[str, Any]], strategy: str, kind: str
) -> None:
    alone = trainings[f"single-{kind}-1-0"]
    first, second = (trainings[f"{strategy}-{kind}-2-{rank}"] for rank in range(2))
    assert_close(first["state"], alone["state"], kind)
    assert_close(first["metrics"], alone["metrics"], kind)
    assert second["metrics"] == first["metrics"]
    assert second["state"] is None
    resumed = trainings[f"resumed-{strategy}-{kind}-2-0"]
    assert_close(resumed["state"], first["state"], kind)


def test_a_failing_worker_ends_the_others_and_is_named(cluster: dict[str, str]) -> None:
    done = drive(cluster, "failing")
    assert done.returncode == 1
    assert done.stdout.splitlines().count("rank 1 begins") == 1
    first, *tail = done.stderr.splitlines()
    assert first.startswith("WorkersError: worker 1 failed: ValueError: there is no such file; ")
    assert any(line.strip() == "ValueError: there is no such file" for line in tail)
    assert len(tail) <= ray_launch.TAIL_LINES


def test_what_a_worker_refuses_is_one_line_and_exit_code_2(
    cluster: dict[str, str], settings: Settings, tracked_env: dict[str, str]
) -> None:
    done = subprocess.run(
        [*TRAIN, "--strategy", "ray-ddp", "--batch-size", "97"],
        env=tracked_env | cluster,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trainers.train: a global batch of 97 cannot be shared evenly")
    assert done.stderr.count("\n") == 1
    assert not settings.spool_dir.exists()


def test_a_study_runs_on_the_cluster(
    cluster: dict[str, str], settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "carbon", "study", "run", "--name", "on-ray"]
    command += ["--task", "digits", "--epochs", "2", "--launcher", "ray"]
    command += ["--strategies", "ray-ddp", "--workers", "1,2", "--repeats", "1"]
    done = subprocess.run(
        command,
        env=tracked_env | cluster,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    spool = Spool(settings.spool_dir)
    reports = [merge(spool.parts(run_id)) for run_id in spool.waiting()]
    assert sorted(report.world_size for report in reports) == [1, 2]
    for report in reports:
        assert (report.project, report.study, report.strategy) == ("digits", "on-ray", "ray-ddp")
        assert (report.status, len(report.epochs)) == ("completed", 2)


def test_workers_on_this_machine_are_one_run_until_an_interrupt_ends_them(
    settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    training = subprocess.Popen(
        [*TRAIN, "--strategy", "ray-ddp", "--epochs", "100000"],
        env=tracked_env | ON_CPU | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert training.stdout is not None
    said = [training.stdout.readline() for _ in range(2)]
    assert [line.partition("/")[0] for line in said] == ["epoch 1", "epoch 2"]
    spool = Spool(settings.spool_dir)
    (run_id,) = spool.waiting()
    started = below(training.pid)
    assert len(started) > 2
    training.send_signal(signal.SIGINT)
    assert training.wait(PATIENCE_S) == 128 + signal.SIGINT
    training.stdout.close()
    wait_until(lambda: not any(process.is_running() for process in started))

    report = merge(spool.parts(run_id))
    assert (report.status, report.strategy) == ("interrupted", "ray-ddp")
    assert (report.world_size, report.n_nodes) == (2, 1)
    assert [node.ranks for node in report.nodes] == [[0, 1]]
    assert "ray" in report.software
    assert [epoch.index for epoch in report.epochs[:2]] == [0, 1]


@pytest.mark.parametrize("strategy", ["single", "ddp"])
def test_workers_are_asked_for_only_where_ray_starts_them(
    strategy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainers import train

    assert train.main(["--task", "digits", "--strategy", strategy, "--workers", "2"]) == 2
    assert f"the launcher says how many strategy {strategy!r} has" in capsys.readouterr().err
