"""The spool: files on this host in which a run outlives its process.

    runs/<run_id>/part-<name>.jsonl   events, appended as they happen; see `Started.part_name`
    runs/<run_id>/series-<name>.dat   what a part recorded over time, rewritten from time to time
    runs/<run_id>/report.json     the parts merged, to be sent
    runs/<run_id>/seq             the highest sequence number given to a report of the run
    runs/<run_id>/claims/<key>    who measures which device
    delivered/<run_id>/           the same, once the API has it
    rejected/<run_id>/            the same, with the API's reason
    id                            tells this spool from all others
    locks/<run_id>                held while a run is merged, sent or moved
    locks/<run_id>.opening        held by `carbon run` until it has claimed what it will measure

A process holds a lock (flock) on its part for as long as it lives, so that a part that is neither
locked nor ended is one whose process was killed, however it was killed. Needs a POSIX system.
"""

import contextlib
import fcntl
import json
import os
import re
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import ValidationError

from carbon.errors import SpoolError
from carbon.schema import RunReport
from carbon.spool.part import Event, Part, from_line, to_line
from carbon.spool.series import PartSeries

DELIVERED_KEPT_S = 7 * 24 * 3600.0
"""How long a delivered run is kept: a restarted attempt within it joins its run."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class HeldFile:
    """A file open for writing under an exclusive lock that ends with this process."""

    _all: ClassVar["weakref.WeakSet[HeldFile]"] = weakref.WeakSet()

    def __init__(self, fd: int, path: Path) -> None:
        self._fd: int | None = fd
        self.path = path
        HeldFile._all.add(self)

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Open and lock `path`, creating it; None where somebody holds it already."""
        held = cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), path)
        try:
            held.lock(wait=False)
        except BlockingIOError:
            held.close()
            return None
        except OSError:
            held.close()
            raise
        return held

    def lock(self, *, wait: bool) -> None:
        """Take the lock; without waiting, raises BlockingIOError where somebody has it."""
        fcntl.flock(self._open_fd(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def append(self, text: str) -> int:
        """Append all of `text` or nothing of it, and return the file's size in bytes."""
        fd = self._open_fd()
        found = os.fstat(fd)
        if found.st_ino != os.stat(self.path).st_ino:
            raise OSError(f"{self.path} was replaced by another file")
        data = rest = text.encode()
        try:
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError:
            os.ftruncate(fd, found.st_size)
            raise
        return found.st_size + len(data)

    def replace(self, text: str) -> int:
        """Put `text` in the place of everything in the file, at once and still locked.

        Returns the new size in bytes.
        """
        successor_path = self.path.with_suffix(".new")
        successor_path.unlink(missing_ok=True)
        successor = HeldFile.open(successor_path)
        if successor is None or successor._fd is None:
            raise OSError(f"{successor_path} is locked")
        try:
            size = successor.append(text)
            successor_path.rename(self.path)
        except OSError:
            successor.close()
            raise
        old, self._fd, successor._fd = self._fd, successor._fd, None
        if old is not None:
            os.close(old)
        return size

    def close(self) -> None:
        """Let go of the lock, also where a forked child has a copy of it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def remove(self) -> None:
        """Let go of the lock and of the file: it was there for the lock alone."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        self.close()

    def _open_fd(self) -> int:
        if self._fd is None:
            raise OSError(f"{self.path} is closed")
        return self._fd

    @classmethod
    def _close_in_child(cls) -> None:
        # A forked child shares the lock; it must not keep the part alive after its parent died.
        for held in list(cls._all):
            fd, held._fd = held._fd, None
            if fd is not None:
                os.close(fd)


os.register_at_fork(after_in_child=HeldFile._close_in_child)


class Spool:
    """The spool directory. Nothing is created before the first part is opened.

    Every method raises `SpoolError` where the directory cannot be read or written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open_part(self, run_id: UUID, name: str) -> HeldFile:
        """Create the file of a new part; a run that was delivered already is taken up again."""
        with self._errors(), self.locked(run_id):
            self._name_itself()
            folder = self._folder("runs", run_id)
            for earlier in ("delivered", "rejected"):
                if not folder.exists() and self._folder(earlier, run_id).exists():
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    self._folder(earlier, run_id).rename(folder)
            (folder / "claims").mkdir(parents=True, exist_ok=True)
            part = HeldFile.open(folder / f"part-{_UNSAFE.sub('_', name)}.jsonl")
        if part is None:
            raise SpoolError(f"part {name!r} of run {run_id} is held by another process")
        return part

    def identity(self) -> str:
        """Return what tells this spool from all others, of hosts with the same name too.

        Empty where no part was ever opened in it.
        """
        try:
            return (self.directory / "id").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""

    def claim(self, run_id: UUID, key: str) -> HeldFile | None:
        """Claim a device of this host for one process of the run; None where it is taken."""
        with self._errors():
            return HeldFile.open(self._folder("runs", run_id) / "claims" / _UNSAFE.sub("_", key))

    def hold_back(self, run_id: UUID) -> HeldFile:
        """Let the run's other processes here wait with their claims until this is closed."""
        with self._errors():
            path = self._opening(run_id)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = HeldFile.open(path)
        if held is None:
            raise SpoolError(f"run {run_id} is being opened by another process")
        return held

    def is_held_back(self, run_id: UUID) -> bool:
        """Tell whether a `carbon run` around this process is about to claim its devices."""
        with self._errors():
            try:
                return is_held(self._opening(run_id))
            except FileNotFoundError:
                return False

    def waiting(self) -> list[UUID]:
        """Return the runs that have not been delivered, oldest first."""
        found = []
        for path in self._folders("runs"):
            with contextlib.suppress(ValueError):
                found.append(UUID(path.name))
        return found

    def rejected(self) -> list[Path]:
        """Return the folders of the runs that the API refused."""
        return self._folders("rejected")

    def parts(self, run_id: UUID) -> list[Part]:
        """Read all parts of a run as they stand; a line that was torn by a kill is left out."""
        found = []
        with self._errors():
            for path in self.part_files(run_id):
                # Asked before it is read: a part that ends in between is then seen to have ended.
                is_alive = is_held(path)
                part = Part.replay(_events(path), is_alive=is_alive)
                if part is not None:
                    found.append(part)
        return found

    def write_series(self, part_path: Path, series: PartSeries) -> None:
        """Put a part's series beside it, whole or not at all.

        It is not waited for until it is on the disk: what a power failure costs are series alone.
        """
        with self._errors():
            path = part_path.with_name(f"series-{part_path.stem.removeprefix('part-')}.dat")
            draft = path.with_suffix(".new")
            draft.write_bytes(series.to_bytes())
            draft.rename(path)

    def series(self, run_id: UUID) -> list[PartSeries]:
        """Read what all parts of a run have recorded over time; what cannot be read is left out."""
        found = []
        with self._errors():
            for path in sorted(self._folder("runs", run_id).glob("series-*.dat")):
                # Without them the run is still whole, and must arrive.
                with contextlib.suppress(ValueError, OSError):
                    found.append(PartSeries.from_bytes(path.read_bytes()))
        return found

    def part_files(self, run_id: UUID) -> list[Path]:
        """Return the files of a run's parts."""
        with self._errors():
            return sorted(self._folder("runs", run_id).glob("part-*.jsonl"))

    def has_living_part(self, run_id: UUID) -> bool:
        """Tell whether a process still holds its part of the run, `carbon run` left aside."""
        with self._errors():
            return any(
                is_held(path)
                for path in self.part_files(run_id)
                if not path.stem.endswith("-launcher")
            )

    def report(
        self, run_id: UUID, state: Literal["runs", "delivered", "rejected"] = "runs"
    ) -> RunReport | None:
        """Read the report written last, or None where there is none that can be read."""
        try:
            text = (self._folder(state, run_id) / "report.json").read_text(encoding="utf-8")
            return RunReport.model_validate_json(text)
        except (OSError, ValidationError):
            return None  # It is made of the parts, so it can be made again.

    def write_report(self, report: RunReport) -> None:
        """Put the report on disk, whole or not at all, and wait until it is there."""
        self.give_seq(report.run_id, report.seq)
        with self._errors():
            path = self._folder("runs", report.run_id) / "report.json"
            self._put_whole(path, report.model_dump_json())

    def given_seq(self, run_id: UUID) -> int:
        """Return the highest sequence number that a report of the run was given; 0 for none."""
        try:
            return int((self._folder("runs", run_id) / "seq").read_text(encoding="ascii"))
        except (OSError, ValueError):
            last = self.report(run_id)
            return 0 if last is None else last.seq

    def give_seq(self, run_id: UUID, seq: int) -> None:
        """Note a sequence number before it is used, and wait until the note is on disk."""
        with self._errors():
            self._put_whole(self._folder("runs", run_id) / "seq", str(seq))

    def move(self, run_id: UUID, to: Literal["delivered", "rejected"], **reason: Any) -> Path:
        """Take a run out of what waits; `reason` is kept beside it."""
        with self._errors():
            target = self._folder(to, run_id)
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove(target)
            if reason:
                text = json.dumps(reason, indent=2)
                (self._folder("runs", run_id) / "reason.json").write_text(text, encoding="utf-8")
            self._folder("runs", run_id).rename(target)
            return target

    def drop_unsaid(self, run_id: UUID) -> None:
        """Remove a run that was killed before it said anything; the caller holds its lock."""
        paths = self.part_files(run_id)
        with self._errors():
            if paths and not any(path.stat().st_size for path in paths):
                _remove(self._folder("runs", run_id))

    def take_back_rejected(self) -> None:
        """Let the runs that the API refused wait for delivery once more."""
        with self._errors():
            for path in self.rejected():
                target = self.directory / "runs" / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    path.rename(target)

    def forget_delivered(self, older_than_s: float = DELIVERED_KEPT_S) -> None:
        """Remove delivered runs whose time has passed."""
        with self._errors():
            for path in self._folders("delivered"):
                if time.time() - path.stat().st_mtime > older_than_s:
                    _remove(path)
                    (self.directory / "locks" / path.name).unlink(missing_ok=True)
                    (self.directory / "locks" / f"{path.name}.opening").unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, run_id: UUID) -> Iterator[None]:
        """Hold the run while it is merged, delivered or moved; waits for whoever has it."""
        with self._errors():
            path = self.directory / "locks" / str(run_id)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = HeldFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), path)
        try:
            with self._errors():
                held.lock(wait=True)
            yield
        finally:
            held.close()

    def _name_itself(self) -> None:
        if self.identity():
            return
        path = self.directory / "locks" / "id"
        held = HeldFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), path)
        try:
            held.lock(wait=True)
            if not self.identity():
                self._put_whole(self.directory / "id", os.urandom(4).hex())
        finally:
            held.close()

    def _opening(self, run_id: UUID) -> Path:
        return self.directory / "locks" / f"{run_id}.opening"

    @staticmethod
    def _put_whole(path: Path, text: str) -> None:
        draft = path.with_suffix(".new")
        with open(draft, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)

    def _folder(self, state: str, run_id: UUID) -> Path:
        return self.directory / state / str(run_id)

    def _folders(self, state: str) -> list[Path]:
        """Return the folders of all runs in a state, oldest first: an id begins with its time."""
        with self._errors():
            try:
                return sorted((self.directory / state).iterdir())
            except FileNotFoundError:
                return []

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(
                f"the spool {self.directory} cannot be used: {error.strerror or error}; "
                "set CARBON_SPOOL_DIR to a directory that can be written"
            ) from error


def encode(events: list[Event]) -> str:
    """Write events as the lines of a part."""
    return "".join(to_line(event) + "\n" for event in events)


def _remove(folder: Path) -> None:
    import shutil  # Not by a training's thread, which has nothing to remove.

    shutil.rmtree(folder, ignore_errors=True)


def _events(path: Path) -> Iterator[Event]:
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                yield from_line(line)


def is_held(path: Path) -> bool:
    """Tell whether a living process holds the lock on a file; a file that is gone nobody holds."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
