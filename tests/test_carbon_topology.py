import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace

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
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "4",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
}
# As `srun -N1 -n2 : -N1 -n1` of Slurm 22.05 has it in the third process.
SLURM_HET = SLURM | {
    "SLURM_HET_SIZE": "2",
    "SLURM_NTASKS": "3",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
}
# What a script of `sbatch -N2 -n4` has before any `srun`.
SLURM_BATCH = {
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_NNODES": "2",
    "SLURM_JOB_ID": "77",
}
RAY = {
    "RANK": "1",
    "WORLD_SIZE": "3",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "NODE_RANK": "0",
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
                local_world_size=2,
                n_nodes=2,
                launcher="slurm",
                launch_id="/77/0",
            ),
            id="slurm",
        ),
        pytest.param(
            SLURM_HET,
            place(
                rank=2,
                world_size=3,
                local_world_size=1,
                n_nodes=2,
                launcher="slurm",
                launch_id="/77/0",
            ),
            id="slurm heterogeneous step",
        ),
        pytest.param(
            MPICH,
            place(rank=1, world_size=2, local_rank=1, local_world_size=2, launcher="mpich"),
            id="mpich and intel mpi",
        ),
        pytest.param(
            RAY,
            place(
                rank=1,
                world_size=3,
                local_rank=1,
                local_world_size=2,
                n_nodes=2,
                launcher="environment",
                launch_id="10.0.0.1/4711",
            ),
            id="ray",
        ),
        pytest.param(SLURM | TORCHRUN, detect(TORCHRUN), id="torchrun inside slurm"),
        pytest.param(SLURM | RAY, detect(RAY), id="ray inside slurm"),
        pytest.param(SLURM | OPENMPI, detect(OPENMPI), id="open mpi inside slurm"),
        pytest.param(SLURM | MPICH, detect(MPICH), id="mpich inside slurm"),
        pytest.param(OPENMPI | TORCHRUN, detect(TORCHRUN), id="torchrun inside open mpi"),
        pytest.param(
            SLURM | {"PMI_RANK": "2", "PMI_SIZE": "4"}, detect(SLURM), id="slurm that speaks pmi2"
        ),
        pytest.param(
            SLURM | {"WORLD_SIZE": "4", "RANK": "2"}, detect(SLURM), id="slurm and env://"
        ),
        pytest.param(
            {"WORLD_SIZE": "4", "RANK": "2"},
            place(
                rank=2, world_size=4, local_world_size=None, launcher="environment", launch_id="/"
            ),
            id="env:// alone",
        ),
        pytest.param(SLURM_BATCH, place(), id="slurm batch script"),
        pytest.param(SLURM_BATCH | TORCHRUN, detect(TORCHRUN), id="torchrun in a batch script"),
        pytest.param(
            SLURM | {"SLURM_STEP_NUM_TASKS": "many"},
            detect(SLURM),
            id="slurm names no step's tasks",
        ),
        pytest.param(
            SLURM | {"SLURM_STEP_TASKS_PER_NODE": "2(x"},
            replace(detect(SLURM), local_world_size=None),
            id="slurm's list of tasks is torn",
        ),
        pytest.param(
            SLURM | {"SLURM_NODEID": "9"},
            replace(detect(SLURM), local_world_size=None),
            id="slurm's node is not in its list",
        ),
        pytest.param(
            TORCHRUN | {"GROUP_WORLD_SIZE": "900"},
            replace(detect(TORCHRUN), n_nodes=4),
            id="more nodes than processes",
        ),
        pytest.param(
            TORCHRUN | {"LOCAL_WORLD_SIZE": "0", "GROUP_WORLD_SIZE": ""},
            replace(detect(TORCHRUN), n_nodes=1, local_world_size=None),
            id="no process on this node",
        ),
        pytest.param({"RANK": "-1", "WORLD_SIZE": "2"}, place(), id="negative"),
        pytest.param({"RANK": "0", "WORLD_SIZE": "9" * 5000}, place(), id="far too large"),
        pytest.param({"RANK": "0", "WORLD_SIZE": "99999999"}, place(), id="too large for a report"),
        pytest.param({"RANK": "0", "WORLD_SIZE": "0"}, place(), id="nobody"),
        pytest.param(
            {"RANK": "\u00b2", "WORLD_SIZE": "4"}, place(), id="a digit that is no number"
        ),
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


@pytest.mark.parametrize("mpirun", ["mpirun.openmpi", "mpirun.mpich"])
def test_the_real_mpirun_is_understood(mpirun: str) -> None:
    if shutil.which(mpirun) is None:
        pytest.skip(f"{mpirun} is not installed")
    script = "import os; from carbon.topology import detect; print(detect(os.environ))"
    oversubscribe = ["--allow-run-as-root", "--oversubscribe"] if "openmpi" in mpirun else []
    known = TORCHRUN | SLURM_HET | HOROVOD
    done = subprocess.run(
        [mpirun, *oversubscribe, "-np", "2", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={k: v for k, v in os.environ.items() if k not in known},
    )
    said = sorted(done.stdout.splitlines())
    assert len(said) == 2, done.stderr
    for rank, line in enumerate(said):
        assert f"rank={rank}, world_size=2, local_rank={rank}, local_world_size=2" in line
        assert f"launcher='{mpirun.removeprefix('mpirun.')}'" in line
