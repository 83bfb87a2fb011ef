"""Following the epochs of other processes: `carbon run` holds the meters, they tell the moments.

All processes of a host share its monotonic clock, so that an epoch noted by one of them can be
measured by another.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from carbon.errors import SpoolError
from carbon.spool.part import EpochBegan, EpochEnded, Started, from_line
from carbon.spool.spool import Spool, is_held

log = logging.getLogger("carbon")


@dataclass(frozen=True)
class FollowedEpoch:
    """An epoch that the part of the name `part` has gone through."""

    part: str
    index: int
    began_s: float
    ended_s: float


class Follower:
    """Reads what the other parts of a run on this host go on saying of their epochs.

    Of the ranks of a launch, the lowest one's epochs are the run's. Parts that were there before
    are left out: they may be of the time before a reboot, when the clock began anew.
    """

    def __init__(self, spool: Spool, run_id: UUID, hostname: str) -> None:
        self._spool = spool
        self._run_id = run_id
        self._hostname = hostname
        self._followed: dict[Path, _FollowedPart] = {}
        # By part: its attempt and rank, and the end of its last epoch.
        self._taken: dict[str, tuple[int, int, float]] = {}
        try:
            self._earlier = set(spool.part_files(run_id))
        except SpoolError:
            self._earlier = set()  # It says so itself where it is needed.

    def poll(self) -> list[FollowedEpoch]:
        """Return the epochs that have ended since this was last asked, each once.

        Processes that are tracked at the same time without being ranks of one launch have epochs
        that overlap. Energy is counted once, for the epoch that ended first.
        """
        found = [(part, epoch) for part in self._parts() for epoch in part.read()]
        chosen = []
        for part, epoch in sorted(found, key=lambda pair: pair[1].ended_s):
            if part.rank > self._lead_rank(part.attempt):
                continue
            others = [
                end_s
                for name, (attempt, rank, end_s) in self._taken.items()
                # Of another rank's epoch, heard of before the lowest one's, the report takes one.
                if name != epoch.part and (attempt != part.attempt or rank == part.rank)
            ]
            if epoch.began_s >= max(others, default=epoch.began_s):
                self._taken[epoch.part] = part.attempt, part.rank, epoch.ended_s
                chosen.append(epoch)
        return chosen

    def open_since_s(self) -> list[float]:
        """Return the moments at which the epochs began that still go on."""
        return [part.open_s for part in self._followed.values() if part.open_s is not None]

    def _parts(self) -> list["_FollowedPart"]:
        try:
            paths = self._spool.part_files(self._run_id)
        except SpoolError as error:
            log.debug("the epochs of run %s are not read: %s", self._run_id, error)
            return []
        for path in paths:
            if path not in self._earlier and path not in self._followed:
                self._followed[path] = _FollowedPart(path)
        return [
            part
            for part in self._followed.values()
            if part.identify() and part.hostname == self._hostname
        ]

    def _lead_rank(self, attempt: int) -> int:
        return min(
            (p.rank for p in self._followed.values() if p.attempt == attempt and p.has_epochs),
            default=0,
        )


class _FollowedPart:
    """The file of a part, read up to some place."""

    def __init__(self, path: Path) -> None:
        self.hostname: str | None = None
        self.attempt = 0
        self.rank = 0
        self.has_epochs = False
        self.open_s: float | None = None
        self._path = path
        self._name = ""
        self._inode = 0
        self._offset = 0
        self._next_index = 0

    def identify(self) -> bool:
        """Tell whether this is a tracked process, as its first line says."""
        if self.hostname is None:
            try:
                with open(self._path, encoding="utf-8") as file:
                    started = from_line(file.readline())
            except (OSError, ValueError):
                return False  # Not there yet, or not any more.
            if isinstance(started, Started):
                self.hostname = "" if started.is_launcher else started.hostname
                self.attempt, self.rank = started.attempt, started.rank
                self._name = started.part_name
        return bool(self.hostname)

    def read(self) -> list[FollowedEpoch]:
        """Return the epochs that the file has gained."""
        try:
            lines = self._new_lines()
            if not lines and self.open_s is not None and not is_held(self._path):
                self.open_s = None  # Its process is gone, and the epoch with it.
        except OSError:
            return []
        found = []
        for line in lines:
            if not line.startswith(b'{"kind":"epoch'):
                continue
            try:
                event = from_line(line.decode())
            except ValueError:
                continue  # Torn by a full disk or a kill.
            if isinstance(event, EpochBegan):
                self.has_epochs = True
                if event.index >= self._next_index:
                    self.open_s = event.began_s
            elif isinstance(event, EpochEnded) and event.index >= self._next_index:
                self.has_epochs = True
                self.open_s = None
                self._next_index = event.index + 1
                if event.began_s is not None:
                    ended_s = event.began_s + event.duration_s
                    found.append(FollowedEpoch(self._name, event.index, event.began_s, ended_s))
        return found

    def _new_lines(self) -> list[bytes]:
        with open(self._path, "rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:  # The part was rewritten as what it says.
                self._inode, self._offset = inode, 0
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return whole.split(b"\n") if whole else []
