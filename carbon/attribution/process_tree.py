"""What processes and their descendants use of this host: CPU time and memory."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Used:
    """CPU time in seconds, user and system, since the processes began; resident memory in bytes."""

    cpu_s: float
    memory_b: int


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    used: Used


def used_by(roots: Iterable[int], proc: Path = PROC) -> Used | None:
    """Return what the trees below `roots`, these included, use; None where the kernel won't tell.

    A process in two trees counts once. CPU time of children that have ended counts with the parent
    that waited for them, so the sum does not fall when a worker leaves. Resident memory counts
    pages shared between processes in each of them, as `ps` does. Needs Linux, proc(5).
    """
    found = {process.pid: process for process in _processes(proc)}
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    members: set[int] = set()
    pending = [pid for pid in roots if pid in found]
    while pending:
        pid = pending.pop()
        if pid not in members:
            members.add(pid)
            pending.extend(children.get(pid, ()))
    if not members:
        return None
    return Used(
        cpu_s=sum(found[pid].used.cpu_s for pid in members),
        memory_b=sum(found[pid].used.memory_b for pid in members),
    )


def total_memory_b() -> int:
    """Return how much memory the host has, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _processes(proc: Path) -> Iterator[_Process]:
    ticks_per_s, page_b = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    try:
        names = os.listdir(proc)
    except OSError:
        return
    for name in names:
        if not name.isdecimal():
            continue
        try:
            stat = (proc / name / "stat").read_bytes()
            # Behind the name in parentheses, which may hold anything: field 3 and those after it.
            fields = stat.rpartition(b")")[2].split()
            ticks = sum(int(count) for count in fields[11:15])  # utime, stime, cutime, cstime
            used = Used(ticks / ticks_per_s, int(fields[21]) * page_b)
            yield _Process(int(name), int(fields[1]), used)
        except (OSError, IndexError, ValueError):
            continue  # It has just ended.
