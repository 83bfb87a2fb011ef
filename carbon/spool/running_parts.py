"""Reading the parts of a run again and again while they grow: only what is new is read."""

import contextlib
import os
from pathlib import Path
from uuid import UUID

from carbon.spool.part import Part, Started, from_line
from carbon.spool.spool import Spool, is_held


class RunningParts:
    """The parts of a run in a spool, as they stand each time they are asked for."""

    def __init__(self, spool: Spool, run_id: UUID) -> None:
        self._spool = spool
        self._run_id = run_id
        self._files: dict[Path, _Followed] = {}

    def parts(self) -> list[Part]:
        """Return the parts, which later calls change in place.

        Raises:
            SpoolError: the spool cannot be read.
        """
        followed = {}
        for path in self._spool.part_files(self._run_id):
            # Asked before it is read: a part that ends in between is then seen to have ended.
            is_alive = is_held(path)
            file = followed[path] = self._files.get(path) or _Followed(path)
            file.catch_up()
            if file.part is not None:
                file.part.is_alive = is_alive
        self._files = followed
        return [file.part for file in followed.values() if file.part is not None]


class _Followed:
    def __init__(self, path: Path) -> None:
        self.part: Part | None = None
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._read_to = 0

    def catch_up(self) -> None:
        with contextlib.suppress(FileNotFoundError), open(self._path, "rb") as file:
            found = os.fstat(file.fileno())
            identity = (found.st_dev, found.st_ino)
            if identity != self._identity or found.st_size < self._read_to:
                # Another file in its place, rewritten as what it says.
                self._identity, self._read_to, self.part = identity, 0, None
            file.seek(self._read_to)
            whole, newline, _torn = file.read().rpartition(b"\n")
            self._read_to += len(whole) + len(newline)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                self._take(line.decode("utf-8", errors="replace"))

    def _take(self, line: str) -> None:
        event = from_line(line)
        if isinstance(event, Started):
            self.part = Part(event)
        elif self.part is not None:
            self.part.apply(event)
