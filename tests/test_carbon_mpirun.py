"""Ranks under a real `mpirun`: `make test` installs Open MPI where it may."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from carbon import units
from carbon.rest.client import Client
from carbon.spool.part import Part, from_line
from tests.fixtures.api import LiveApi
from tests.fixtures.nvml import MakeGpus
from tests.nvml_sim.curve import SquareWave
from tests.patience import PATIENCE_S
from tests.test_carbon_attribution_launcher_process import clean
from tests.test_carbon_tracking_launch import CARBON_RUN

OPENMPI = "mpirun.openmpi"

STEADY = [SquareWave(base_w=w, peak_w=w, period_s=1, duty=0.5) for w in (200.0, 120.0)]

TRAINING = """
import os, time
import carbon
with carbon.track("digits", strategy="ddp") as run:
    for epoch in run.epochs(range(2)):
        time.sleep(0.6)
        run.log(rank=int(os.environ["OMPI_COMM_WORLD_RANK"]))
"""

# A site's own: it picks the rank's GPU and stays around it.
WRAPPER = """#!/bin/sh
export CUDA_VISIBLE_DEVICES=$OMPI_COMM_WORLD_LOCAL_RANK
"$@"
exit $?
"""


def mpirun(name: str) -> list[str]:
    """The beginning of a command that starts two ranks; skips the test where there is none."""
    if shutil.which(name) is None:
        package = {OPENMPI: "openmpi-bin"}.get(name, "mpich")
        pytest.skip(f"{name} is not installed, on Debian: apt-get install {package}")
    as_root = ["--allow-run-as-root", "--oversubscribe"] if name == OPENMPI else []
    return [name, *as_root, "-np", "2"]


@pytest.mark.parametrize("name", [OPENMPI, "mpirun.mpich"])
def test_it_is_understood(name: str) -> None:
    script = "import os; from carbon.attribution.topology import detect; print(detect(os.environ))"
    done = subprocess.run(
        [*mpirun(name), sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=clean(),
    )
    said = sorted(done.stdout.splitlines())
    assert len(said) == 2, done.stderr
    for rank, line in enumerate(said):
        assert f"rank={rank}, world_size=2, local_rank={rank}, local_world_size=2" in line
        assert f"launcher='{name.removeprefix('mpirun.')}'" in line


@pytest.mark.parametrize("around", [[], [*CARBON_RUN, "--"]], ids=["alone", "in carbon run"])
def test_ranks_with_a_gpu_each_are_one_run_that_counts_each_gpu_once(
    around: list[str], simulated_gpus: MakeGpus, live_api: LiveApi, tmp_path: Path
) -> None:
    launch = mpirun(OPENMPI)
    gpus = simulated_gpus(2, waves=STEADY)
    wrapper = tmp_path / "gpu-of-rank.sh"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    spool = tmp_path / "tracker-spool"
    env = clean() | gpus.env | {"CARBON_API_URL": live_api.url, "CARBON_SPOOL_DIR": str(spool)}
    env["PYTHONPATH"] = os.getcwd()
    training = [str(wrapper), sys.executable, "-c", TRAINING]
    for command in ([*around, *launch, *training], [sys.executable, "-m", "carbon", "sync"]):
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
    with Client(live_api.settings) as client:
        (listed,) = client.runs().items
        report = client.run(listed.run_id)
    assert (report.project, report.strategy, report.status) == ("digits", "ddp", "completed")
    assert (report.world_size, report.n_nodes, report.attempts) == (2, 1, 1)
    (node,) = report.nodes
    assert node.ranks == [0, 1]
    assert [device.uuid for device in node.devices] == gpus.uuids
    assert [epoch.metrics for epoch in report.epochs] == [{"rank": 0.0}] * 2
    parts = delivered(spool)
    for rank, device in enumerate(node.devices):
        (measuring,) = [
            p for p in parts if (p.started.is_launcher if around else p.started.rank == rank)
        ]
        began_s = measuring.started.began_s
        true_j = gpus.energy_j(rank, began_s, began_s + measuring.duration_s)
        assert device.energy_kwh is not None
        assert units.joules_from_kwh(device.energy_kwh) == pytest.approx(true_j, rel=0.02)


def delivered(spool: Path) -> list[Part]:
    """The parts of the one run that the spool has delivered."""
    parts = []
    for path in spool.glob("delivered/*/part-*.jsonl"):
        part = Part.replay(map(from_line, path.read_text().splitlines()), is_alive=False)
        assert part is not None
        parts.append(part)
    return parts
