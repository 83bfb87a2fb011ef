import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from carbon.attribution.topology import Topology, detect
from tests.patience import PATIENCE_S

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
# As `horovodrun --gloo -np 2` of 0.28.1 has it in the second process.
HOROVOD = {
    "HOROVOD_HOSTNAME": "localhost",
    "HOROVOD_CROSS_RANK": "0",
    "HOROVOD_CONTROLLER": "gloo",
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
# As `mpirun -np 2` of Open MPI 4.1.4 has it in the second process.
OPENMPI_ONE_NODE = {
    "OMPI_APP_CTX_NUM_PROCS": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_NODE_RANK": "1",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_UNIVERSE_SIZE": "2",
    "PMIX_ID": "1897332737.1",
    "PMIX_NAMESPACE": "1897332737",
    "PMIX_RANK": "1",
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
# As `srun -n2` of Slurm 22.05 has it in the second process, without --gres: no SLURM_STEP_GPUS.
SLURM_ONE_NODE = {
    "SLURM_CLUSTER_NAME": "lab",
    "SLURM_JOB_ID": "2",
    "SLURM_JOB_NUM_NODES": "1",
    "SLURM_LOCALID": "1",
    "SLURM_NNODES": "1",
    "SLURM_NODEID": "0",
    "SLURM_NPROCS": "2",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2",
    "SLURM_SUBMIT_HOST": "vm",
    "SLURM_TASKS_PER_NODE": "2",
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
# What Ray Train 2.60 adds in the second of three workers.
RAY = {
    "ACCELERATE_TORCH_DEVICE": "cpu",
    "RAY_JOB_ID": "01000000",
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
            OPENMPI_ONE_NODE,
            place(
                rank=1,
                world_size=2,
                local_rank=1,
                local_world_size=2,
                launcher="openmpi",
                launch_id="1897332737",
            ),
            id="open mpi on one node",
        ),
        pytest.param(
            SLURM_ONE_NODE,
            place(
                rank=1,
                world_size=2,
                local_rank=1,
                local_world_size=2,
                launcher="slurm",
                launch_id="lab/vm/2/0",
            ),
            id="slurm on one node",
        ),
        pytest.param(
            SLURM,
            place(
                rank=2,
                world_size=4,
                local_world_size=2,
                n_nodes=2,
                launcher="slurm",
                launch_id="//77/0",
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
                launch_id="//77/0",
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


def test_a_process_group_made_by_hand_is_seen_without_any_variable() -> None:
    script = """
import os
import tempfile
import torch.distributed as dist
from carbon.attribution.topology import detect
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
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environ,
        timeout=PATIENCE_S,
    )
    assert done.stdout == "torch.distributed 0 1 True\n", done.stderr
