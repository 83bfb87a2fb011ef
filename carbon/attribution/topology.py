"""Which run, node and rank this process is, as its launcher says.

Read from the environment of torchrun, Horovod, Ray Train and others like it, Open MPI, MPICH and
Intel MPI, and Slurm, then from `torch.distributed` where a script set it up by itself, in that
order; a process without any of them is alone. A launcher started by another one inherits what that
has set, so the inner ones come first: torchrun, Ray and mpirun run under Slurm, not the reverse.

Every step of a Slurm job, each `srun` in its script, is a launch of its own, so that trainings that
a job starts one after the other or side by side are a run each. Under `carbon run`, or with a
CARBON_RUN_ID of the job's own, all of its steps are one run. A job that was requeued counts its
steps anew, and each of them goes on with its run as another attempt.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from carbon.attribution import enclosing_run
from carbon.schema.fields import MAX_WORLD_SIZE

_ALONE = "alone"
_TASKS = re.compile(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?")

# Job and step of a cluster, a name with host and process number in it, an address with a port that
# the system chose. torchrun's own id is the user's to choose, and often the same every time.
_NAMED = frozenset({"slurm", "openmpi", "horovod"})


@dataclass(frozen=True)
class Topology:
    """This process's place in its run.

    Attributes:
        hostname: the node's name.
        rank, world_size: of all processes of the run.
        local_rank, local_world_size: of those on this node; `local_world_size` is None where the
            launcher does not say.
        n_nodes: how many nodes the run has.
        attempt: how often the launcher restarted the run before this time.
        launcher: which launcher said so, "alone" for none.
        launch_id: what the launcher calls this launch; empty where it has no name for it.
        carbon_run_pid: the `carbon run` around this process on this node, None for none.
    """

    hostname: str
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int | None = 1
    n_nodes: int = 1
    attempt: int = 0
    launcher: str = _ALONE
    launch_id: str = ""
    carbon_run_pid: int | None = None

    @property
    def is_measured_around(self) -> bool:
        """Whether a `carbon run` around this process lives, which measures this node."""
        return self.carbon_run_pid is not None and enclosing_run.is_alive(self.carbon_run_pid)

    @property
    def is_launched(self) -> bool:
        """Whether other processes may belong to the same run."""
        return self.launcher != _ALONE

    @property
    def has_shared_id(self) -> bool:
        """Whether `launch_id` is the same on all nodes and no other launch's of about that time."""
        return self.launcher in _NAMED and bool(self.launch_id.strip("/"))

    @property
    def has_lasting_id(self) -> bool:
        """Whether `launch_id` also stays when the launch begins anew, on this node or another."""
        return self.launcher == "slurm" and self.has_shared_id


@dataclass(frozen=True)
class _Launcher:
    """The names of one launcher's variables; the documents named are where they are explained.

    The first name of `world_size` counts whose value is a number above the rank. `tasks_per_node`
    are the names of a list of tasks by node and of the node's place in it. `launch_id` are joined
    to one name.
    """

    name: str
    rank: str
    world_size: tuple[str, ...]
    local_rank: str
    local_world_size: str | None = None
    n_nodes: str | None = None
    attempt: str | None = None
    launch_id: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    tasks_per_node: tuple[str, str] | None = None


# The first whose `rank`, `world_size` and `needs` are all set speaks for the process.
_LAUNCHERS = (
    # docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables".
    _Launcher(
        "torchrun",
        "RANK",
        ("WORLD_SIZE",),
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "GROUP_WORLD_SIZE",
        "TORCHELASTIC_RESTART_COUNT",
        # Not MASTER_PORT: it changes when an elastic job restarts, and that stays one run.
        ("TORCHELASTIC_RUN_ID",),
        needs=("TORCHELASTIC_RUN_ID",),
    ),
    # horovod/runner/gloo_run.py, `create_slot_env_vars`; with MPI, horovodrun starts mpirun.
    _Launcher(
        "horovod",
        "HOROVOD_RANK",
        ("HOROVOD_SIZE",),
        "HOROVOD_LOCAL_RANK",
        "HOROVOD_LOCAL_SIZE",
        "HOROVOD_CROSS_SIZE",
        launch_id=("HOROVOD_GLOO_RENDEZVOUS_ADDR", "HOROVOD_GLOO_RENDEZVOUS_PORT"),
    ),
    # Ray Train, DeepSpeed, Accelerate and hand-written launchers: what torch's env:// reads, and
    # the local rank. They name no launch.
    _Launcher(
        "environment",
        "RANK",
        ("WORLD_SIZE",),
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        launch_id=("MASTER_ADDR", "MASTER_PORT"),
        needs=("LOCAL_RANK",),
    ),
    # docs.open-mpi.org, "Environment variables set by mpirun"; the same in versions 4 and 5.
    _Launcher(
        "openmpi",
        "OMPI_COMM_WORLD_RANK",
        ("OMPI_COMM_WORLD_SIZE",),
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        launch_id=("PMIX_NAMESPACE",),
    ),
    # The Hydra process manager of both. `srun --mpi=pmi2` sets the first two alone, and is Slurm.
    _Launcher(
        "mpich",
        "PMI_RANK",
        ("PMI_SIZE",),
        "MPI_LOCALRANKID",
        "MPI_LOCALNRANKS",
        needs=("MPI_LOCALRANKID",),
    ),
    # slurm.schedmd.com/srun.html, "OUTPUT ENVIRONMENT VARIABLES". SLURM_NTASKS is the job's where
    # a step was given a number of tasks of its own.
    _Launcher(
        "slurm",
        "SLURM_PROCID",
        ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
        "SLURM_LOCALID",
        n_nodes="SLURM_STEP_NUM_NODES",
        attempt="SLURM_RESTART_COUNT",
        # With the host, as many clusters have the same name and count their jobs from 1.
        launch_id=("SLURM_CLUSTER_NAME", "SLURM_SUBMIT_HOST", "SLURM_JOB_ID", "SLURM_STEP_ID"),
        # A batch script sees the job's task count too, but only `srun` starts that many tasks.
        needs=("SLURM_STEP_ID",),
        tasks_per_node=("SLURM_STEP_TASKS_PER_NODE", "SLURM_NODEID"),
    ),
    # The same without a local rank, which says less than any of those above.
    _Launcher(
        "environment",
        "RANK",
        ("WORLD_SIZE",),
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        launch_id=("MASTER_ADDR", "MASTER_PORT"),
    ),
)


def detect(environ: Mapping[str, str]) -> Topology:
    """Return this process's place; values that are not numbers are taken as not set."""
    node = hostname()
    place = said_in(environ) or _from_torch(environ, node) or Topology(hostname=node)
    return replace(place, carbon_run_pid=enclosing_run.pid_in(environ, node))


def said_in(environ: Mapping[str, str]) -> Topology | None:
    """Return the place that a launcher gave the processes with these variables; None without it."""
    for launcher in _LAUNCHERS:
        rank = _number(environ, launcher.rank)
        world_size = _world_size(environ, launcher, rank)
        if rank is None or world_size is None:
            continue
        if not all(environ.get(name) for name in launcher.needs):
            continue
        local_world_size = (
            _number(environ, launcher.local_world_size)
            or _tasks_here(environ, launcher.tasks_per_node)
            or None
        )
        n_nodes = _number(environ, launcher.n_nodes) or _nodes_from(world_size, local_world_size)
        return Topology(
            hostname=hostname(),
            rank=rank,
            world_size=world_size,
            local_rank=_number(environ, launcher.local_rank) or 0,
            local_world_size=local_world_size,
            n_nodes=min(n_nodes, world_size),
            attempt=_number(environ, launcher.attempt) or 0,
            launcher=launcher.name,
            launch_id="/".join(environ.get(name, "") for name in launcher.launch_id),
        )
    return None


def hostname() -> str:
    """Return this node's name, as `socket` would; loading that takes milliseconds."""
    return os.uname().nodename


def _from_torch(environ: Mapping[str, str], node: str) -> Topology | None:
    """Ask `torch.distributed` where the script loaded and initialised it; never import it."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    world_size = int(distributed.get_world_size())
    return Topology(
        hostname=node,
        rank=int(distributed.get_rank()),
        world_size=world_size,
        local_rank=int(distributed.get_rank()),
        local_world_size=None,
        launcher="torch.distributed",
        launch_id=f"{environ.get('MASTER_ADDR', '')}/{environ.get('MASTER_PORT', '')}",
    )


def _number(environ: Mapping[str, str], name: str | None) -> int | None:
    text = environ.get(name, "").strip() if name else ""
    return int(text) if text.isdecimal() and len(text) <= 9 else None


def _world_size(environ: Mapping[str, str], launcher: _Launcher, rank: int | None) -> int | None:
    for name in launcher.world_size:
        # What no report can hold is garbage.
        size = _number(environ, name)
        if rank is not None and size is not None and rank < size <= MAX_WORLD_SIZE:
            return size
    return None


def _tasks_here(environ: Mapping[str, str], names: tuple[str, str] | None) -> int | None:
    """Read Slurm's list of tasks by node, "2(x3),1" for three nodes of two and one of one."""
    node = _number(environ, names[1]) if names else None
    if names is None or node is None:
        return None
    for group in environ.get(names[0], "").split(","):
        found = _TASKS.fullmatch(group.strip())
        if found is None:
            return None
        node -= int(found[2] or 1)
        if node < 0:
            return int(found[1])
    return None


def _nodes_from(world_size: int, local_world_size: int | None) -> int:
    return max(1, -(-world_size // local_world_size)) if local_world_size else 1
