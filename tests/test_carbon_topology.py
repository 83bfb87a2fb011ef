import os
import socket
import subprocess
import sys

import pytest

from carbon.topology import LauncherProcess, Topology, detect, launcher_process

HOST = socket.gethostname()


def place(**fields: object) -> Topology:
    return Topology(hostname=HOST, **fields)  # type: ignore[arg-type]


TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_WORLD_SIZE": "2",
    "TORCHELASTIC_RESTART_COUNT": "1",
    "TORCHELASTIC_RUN_ID": "job",
    "MASTER_ADDR": "node-1",
    "MASTER_PORT": "29500",
}
HOROVOD = {
    "HOROVOD_RANK": "1",
    "HOROVOD_SIZE": "2",
    "HOROVOD_LOCAL_RANK": "1",
    "HOROVOD_LOCAL_SIZE": "2",
    "HOROVOD_CROSS_SIZE": "1",
    "HOROVOD_GLOO_RENDEZVOUS_ADDR": "10.0.0.1",
    "HOROVOD_GLOO_RENDEZVOUS_PORT": "5000",
}
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_SIZE": "8",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
    "PMIX_NAMESPACE": "prterun-1",
}
SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "4",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
}
RAY = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "4711",
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, place(), id="alone"),
        pytest.param(
            TORCHRUN,
            place(
                rank=3,
                world_size=4,
                local_rank=1,
                local_world_size=2,
                n_nodes=2,
                attempt=1,
                launcher="torchrun",
                launch_id="job",
            ),
            id="torchrun",
        ),
        pytest.param(
            HOROVOD,
            place(
                rank=1,
                world_size=2,
                local_rank=1,
                local_world_size=2,
                launcher="horovod",
                launch_id="10.0.0.1/5000",
            ),
            id="horovod",
        ),
        pytest.param(
            OPENMPI,
            place(
                rank=5,
                world_size=8,
                local_rank=1,
                local_world_size=4,
                n_nodes=2,
                launcher="openmpi",
                launch_id="prterun-1",
            ),
            id="openmpi",
        ),
        pytest.param(
            SLURM,
            place(
                rank=2,
                world_size=4,
                local_world_size=None,
                n_nodes=2,
                launcher="slurm",
                launch_id="/77/0",
            ),
            id="slurm",
        ),
        pytest.param(
            RAY,
            place(
                world_size=2, local_world_size=2, launcher="environment", launch_id="10.0.0.1/4711"
            ),
            id="ray",
        ),
        pytest.param(SLURM | TORCHRUN, detect(TORCHRUN), id="torchrun inside slurm"),
        pytest.param({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, place(), id="slurm batch script"),
        pytest.param({"RANK": "zero", "WORLD_SIZE": "2"}, place(), id="not a number"),
        pytest.param({"RANK": "2", "WORLD_SIZE": "2"}, place(), id="rank out of range"),
        pytest.param({"RANK": "0"}, place(), id="half set"),
    ],
)
def test_the_launcher_says_where_a_process_stands(
    environ: dict[str, str], expected: Topology
) -> None:
    assert detect(environ) == expected


def test_processes_with_the_same_parent_name_it_alike_through_a_clock_step() -> None:
    """The second process sees a clock that was set back by a second after the boot."""
    script = """
import sys
import psutil
if sys.argv[1] == "step":
    boot_time = psutil.boot_time()
    psutil._pslinux.boot_time = lambda: boot_time - 1
from carbon.topology import launcher_process
print(launcher_process())
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", script, step], capture_output=True, text=True, check=True
        ).stdout
        for step in ("no", "step")
    ]
    assert said[0] == said[1]
    assert f"identity='{os.getpid()}/" in said[0]


def test_the_first_process_of_a_container_has_a_launcher_nonetheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 2**22 + 1)  # Beyond the largest process id.
    assert launcher_process() == LauncherProcess(f"{2**22 + 1}", 0)


def test_a_process_group_made_by_hand_is_seen_without_any_variable() -> None:
    script = """
import os
import tempfile
import torch.distributed as dist
from carbon.topology import detect
with tempfile.NamedTemporaryFile() as file:
    dist.init_process_group("gloo", init_method=f"file://{file.name}", rank=0, world_size=1)
    place = detect({})
    print(place.launcher, place.rank, place.world_size, place.is_launched)
    dist.destroy_process_group()
    file.file.close()
    open(file.name, "w").close()
"""
    environ = {k: v for k, v in os.environ.items() if k not in TORCHRUN | SLURM}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environ, timeout=60
    )
    assert done.stdout == "torch.distributed 0 1 True\n", done.stderr
