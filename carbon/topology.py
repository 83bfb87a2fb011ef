"""Which run, node and rank this process is, as its launcher says.

Read from the environment of torchrun, Horovod, Open MPI and Slurm, then from `torch.distributed`
where a script set it up by itself, in that order; a process without any of them is alone.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ALONE = "alone"

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

    @property
    def is_launched(self) -> bool:
        """Whether other processes may belong to the same run."""
        return self.launcher != _ALONE

    @property
    def has_shared_id(self) -> bool:
        """Whether `launch_id` is the same on all nodes and no other launch's of about that time."""
        return self.launcher in _NAMED and bool(self.launch_id.strip("/"))


@dataclass(frozen=True)
class _Launcher:
    """The names of one launcher's variables. `launch_id` are joined to one name."""

    name: str
    rank: str
    world_size: str
    local_rank: str
    local_world_size: str | None = None
    n_nodes: str | None = None
    attempt: str | None = None
    launch_id: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


# The first whose `rank`, `world_size` and `needs` are all set speaks for the process.
_LAUNCHERS = (
    _Launcher(
        "torchrun",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "GROUP_WORLD_SIZE",
        "TORCHELASTIC_RESTART_COUNT",
        # Not MASTER_PORT: it changes when an elastic job restarts, and that stays one run.
        ("TORCHELASTIC_RUN_ID",),
        needs=("TORCHELASTIC_RUN_ID",),
    ),
    _Launcher(
        "horovod",
        "HOROVOD_RANK",
        "HOROVOD_SIZE",
        "HOROVOD_LOCAL_RANK",
        "HOROVOD_LOCAL_SIZE",
        "HOROVOD_CROSS_SIZE",
        launch_id=("HOROVOD_GLOO_RENDEZVOUS_ADDR", "HOROVOD_GLOO_RENDEZVOUS_PORT"),
    ),
    _Launcher(
        "openmpi",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        launch_id=("PMIX_NAMESPACE",),
    ),
    _Launcher(
        "slurm",
        "SLURM_PROCID",
        "SLURM_NTASKS",
        "SLURM_LOCALID",
        n_nodes="SLURM_STEP_NUM_NODES",
        attempt="SLURM_RESTART_COUNT",
        launch_id=("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_STEP_ID"),
        # A batch script sees the job's task count too, but only `srun` starts that many tasks.
        needs=("SLURM_STEP_ID",),
    ),
    # Ray Train, Lightning and hand-written launchers set these without naming the launch.
    _Launcher(
        "environment",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        launch_id=("MASTER_ADDR", "MASTER_PORT"),
    ),
)


def detect(environ: Mapping[str, str]) -> Topology:
    """Return this process's place; values that are not numbers are taken as not set."""
    node = hostname()
    for launcher in _LAUNCHERS:
        rank = _number(environ, launcher.rank)
        world_size = _number(environ, launcher.world_size)
        if rank is None or not world_size or rank >= world_size:
            continue
        if not all(environ.get(name) for name in launcher.needs):
            continue
        local_world_size = _number(environ, launcher.local_world_size)
        return Topology(
            hostname=node,
            rank=rank,
            world_size=world_size,
            local_rank=_number(environ, launcher.local_rank) or 0,
            local_world_size=local_world_size,
            n_nodes=_number(environ, launcher.n_nodes) or _nodes_from(world_size, local_world_size),
            attempt=_number(environ, launcher.attempt) or 0,
            launcher=launcher.name,
            launch_id="/".join(environ.get(name, "") for name in launcher.launch_id),
        )
    return _from_torch(environ, node) or Topology(hostname=node)


def hostname() -> str:
    """Return this node's name, as `socket` would; loading that takes milliseconds."""
    return os.uname().nodename


@dataclass(frozen=True)
class LauncherProcess:
    """The parent of this process, which it has in common with the other ranks on the node.

    Attributes:
        identity: tells it from every other process that this host has had.
        started_at_ms: about when it started, Unix time, the same for all who ask.
    """

    identity: str
    started_at_ms: int


def launcher_process() -> LauncherProcess:
    """Return the parent; its start is counted in ticks since boot, which a clock step leaves be."""
    import psutil

    pid = os.getppid()
    try:
        parent = psutil.Process(pid)
        created_s = parent.create_time()
    except psutil.Error:
        return LauncherProcess(f"{pid}", 0)  # Process 1 of a container has no parent in it.
    ticks = repr(created_s)
    try:
        # proc(5): field 22, counted behind the name in parentheses, which may hold anything.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        ticks = f"{boot_id}/{stat.rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        pass  # Not Linux.
    # Coarse, about 17 minutes, so that ranks that see the clock before and after a step agree.
    return LauncherProcess(f"{pid}/{ticks}", int(created_s * 1000) >> 20 << 20)


def launch_day_ms() -> int:
    """Return about when this launch began, Unix time in ms, as coarse as all its nodes can know.

    In steps of a day and a half, from the start of this process's parent: launches whose names come
    back after that are told apart, and a launch during which a step falls, within the second or so
    that its nodes need to start, is one run a node.
    """
    return launcher_process().started_at_ms >> 27 << 27


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
    text = environ.get(name, "") if name else ""
    return int(text) if text.isdecimal() else None


def _nodes_from(world_size: int, local_world_size: int | None) -> int:
    return max(1, -(-world_size // local_world_size)) if local_world_size else 1
