"""Which tracked processes are on this host at the same time, for their runs to share its energy.

    sharing/<host>/<run_id>-<pid>-<n>.json   what a tracked process says of itself
    sharing/<host>/<run_id>-<pid>-<n>.lock   held (flock) for as long as it is there

Each process of each run has a `Card` here. Moments are of the monotonic clock, which all processes
of a host have in common until it restarts; a card of before that is of another boot and ignored.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from carbon.attribution import topology
from carbon.spool.spool import HeldFile, Spool, is_held

log = logging.getLogger("carbon")

KEPT_S = 60.0
"""How long the card of a process that has left is kept for those that were there with it."""

MAX_USAGES = 60
"""How many of the newest usages a card holds: a minute's at the default interval."""

_numbers = count()


@dataclass(frozen=True)
class Usage:
    """CPU seconds since the run's processes here began, and bytes of memory, at the moment."""

    at_s: float
    cpu_s: float
    memory_b: int


@dataclass
class Card:
    """What one process of a run says of itself.

    Attributes:
        keys: what it measures for its run, by the name of the claim, and since when.
        usages: what all processes of its run on this host use, oldest first; said by the one that
            holds the claim on the host, while there are neighbours.
        said_at_s: when it said so.
        left_s: when it left; None while it is there.
    """

    run_id: str
    pid: int
    boot_id: str
    said_at_s: float
    keys: dict[str, float] = field(default_factory=dict)
    usages: list[Usage] = field(default_factory=list)
    left_s: float | None = None


def boot_id() -> str:
    """Return what tells this start of the host from all others; empty where that is unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Neighbours:
    """This process's card, and those of the others; used by one thread.

    Without a spool a process has no neighbours that it knows of. Only processes with the same spool
    on the same host see one another.
    """

    def __init__(self, run_id: UUID, spool: Spool, now_s: float) -> None:
        self.card = Card(str(run_id), os.getpid(), boot_id(), now_s)
        self.others: list[Card] = []
        self._folder = spool.directory / "sharing" / topology.hostname()
        self._name = f"{run_id}-{os.getpid()}-{next(_numbers)}"
        self._lock: HeldFile | None = None
        self._seen_ns = -1

    def enter(self, now_s: float) -> None:
        """Put up the card and look at the others'."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = HeldFile.open(self._folder / f"{self._name}.lock")
        except OSError as error:
            log.debug("other runs on this host are not looked for: %s", error)
            return
        self.say(now_s)
        self.look(now_s)

    def say(self, now_s: float) -> None:
        """Publish the card as it stands."""
        if self._lock is None:
            return
        self.card.said_at_s = now_s
        del self.card.usages[:-MAX_USAGES]
        path = self._folder / f"{self._name}.json"
        try:
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps(asdict(self.card)), encoding="utf-8")
            draft.rename(path)
        except OSError as error:
            log.debug("other runs on this host do not see this one: %s", error)

    def look(self, now_s: float) -> None:
        """Read the others' cards, and clear away those of processes long gone."""
        if self._lock is None:
            return
        try:
            changed_ns = self._folder.stat().st_mtime_ns
            have_left = all(c.left_s and now_s - c.left_s <= KEPT_S for c in self.others)
            if changed_ns == self._seen_ns and have_left:
                return  # Nobody has come since, and nobody is there.
            found = [path for path in self._folder.iterdir() if path.suffix == ".json"]
        except OSError:
            return  # The spool was deleted; there is nobody to be seen.
        self._seen_ns = changed_ns
        self.others = []
        for path in found:
            card = _read(path)
            if path.stem == self._name or card is None:
                continue
            is_of_before = card.boot_id != self.card.boot_id
            if not is_held(path.with_suffix(".lock")):
                if card.left_s is None:  # Killed: it was there until it last said something.
                    card.left_s = card.said_at_s
                if is_of_before or now_s - card.left_s > KEPT_S:
                    path.unlink(missing_ok=True)
                    path.with_suffix(".lock").unlink(missing_ok=True)
                    continue
            if not is_of_before:
                self.others.append(card)

    def pids_of(self, run_id: str) -> set[int]:
        """Return the processes of a run that are here; this one is until it lets go."""
        others = (card for card in self.others if card.left_s is None)
        return {card.pid for card in (self.card, *others) if card.run_id == run_id}

    def are_of_other_runs(self, since_s: float) -> bool:
        """Tell whether another run is, or since a moment has been, on this host."""
        return any(
            card.run_id != self.card.run_id and (card.left_s is None or card.left_s > since_s)
            for card in self.others
        )

    def leave(self, at_s: float) -> None:
        """Say when this process leaves: from then on it takes no share."""
        self.card.left_s = at_s
        self.say(at_s)

    def close(self) -> None:
        """Let go of the card."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def runs_here(spool: Spool) -> set[str]:
    """Return the ids of the runs that are tracked on this host now."""
    folder = spool.directory / "sharing" / topology.hostname()
    try:
        held = [path.stem for path in folder.glob("*.lock") if is_held(path)]
    except OSError:
        return set()
    return {name.rsplit("-", 2)[0] for name in held}


def _read(path: Path) -> Card | None:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        usages = [Usage(**usage) for usage in document.pop("usages")]
        return Card(**document, usages=usages)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # Just gone, or not ours.
