"""The process that the ranks of a launch on this node come from: mpirun, torchrun, slurmstepd."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from carbon.attribution.topology import Topology, said_in

if TYPE_CHECKING:
    import psutil

_SESSION_FOR_EACH_RANK = frozenset({"horovod"})
"""Launchers that put processes without the rank's variables around each rank, the first of them
the leader of a session: horovod/runner/common/util/safe_shell_exec.py, `_exec_middleman`."""


@dataclass(frozen=True)
class LauncherProcess:
    """What the ranks of a launch on this node have in common.

    Attributes:
        identity: tells it from every other process that this host has had.
        started_at_ms: about when it started, Unix time, the same for all who ask.
    """

    identity: str
    started_at_ms: int


def launcher_process(place: Topology) -> LauncherProcess:
    """Return the nearest process above this one that is not this rank's own.

    A rank's own are those that its launcher gave the same place: a script that picks its GPU,
    `conda run`, a container. Programs that such a script starts one after the other, with the same
    names, are therefore one run. The start is counted in ticks since boot, which a clock step
    leaves be.
    """
    import psutil

    try:
        process = _launcher(place)
        created_s = process.create_time()
    except psutil.Error:
        return LauncherProcess(f"{os.getppid()}", 0)  # Process 1 of a container has no parent.
    ticks = repr(created_s)
    try:
        # proc(5): field 22, counted behind the name in parentheses, which may hold anything.
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        ticks = f"{boot_id}/{stat.rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        pass  # Not Linux.
    # Coarse, about 17 minutes, so that ranks that see the clock before and after a step agree.
    return LauncherProcess(f"{process.pid}/{ticks}", int(created_s * 1000) >> 20 << 20)


def launch_day_ms(place: Topology) -> int:
    """Return about when this launch began, Unix time in ms, as coarse as all its nodes can know.

    In steps of a day and a half, from the start of the launcher's process: launches whose names
    come back after that are told apart, and a launch during which a step falls, within the second
    or so that its nodes need to start, is one run a node.
    """
    return launcher_process(place).started_at_ms >> 27 << 27


def _launcher(place: Topology) -> "psutil.Process":
    import psutil

    if place.launcher in _SESSION_FOR_EACH_RANK:
        leader = psutil.Process(os.getsid(0))
        return leader.parent() or leader
    process = psutil.Process(os.getppid())
    while _is_of_rank(process, place) and (above := process.parent()) is not None:
        process = above
    return process


def _is_of_rank(process: "psutil.Process", place: Topology) -> bool:
    import psutil

    try:
        said = said_in(process.environ())
    except (psutil.Error, OSError):
        return False  # Another user's: what starts the ranks of many, such as slurmstepd.
    return said == replace(place, carbon_run_pid=None)
