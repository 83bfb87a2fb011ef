"""The meters of one process's part in a run: which it holds, since when, and what they say."""

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from carbon.attribution import process_tree, sharing
from carbon.attribution.neighbours import Neighbours, Usage
from carbon.attribution.topology import Topology
from carbon.errors import SpoolError
from carbon.meters.base import Meter
from carbon.settings import Settings
from carbon.spool.part import Metered, Sampled
from carbon.spool.spool import HeldFile, Spool
from carbon.tracking.window import MeterWindow

if TYPE_CHECKING:
    from carbon.meters import jetson
    from carbon.tracking.baseline import (
        Baseline,  # Imported by the recorder's thread, not the training's.
    )

log = logging.getLogger("carbon")

HOST = "host"
"""The claim on the host's own energy, CPU and RAM together,"""

HOSTS_OWN = frozenset({"cpu", "ram"})
"""and the names of its meters."""

PATIENCE_S = 5.0
"""How long a run that shares a device is waited for before what it used last is taken to go on."""

NOTICE_S = 1.0
"""How long after it began to measure a process may be seen first, on a machine that is busy."""
FOLLOWING_CPU_SHARE = 1.5e-4
"""How much of a CPU following the edges of epochs may take."""

WAKING_CPU_S = 5e-5
"""What a wake-up costs beside the reading itself."""

STARTING_S = 1.0
"""For so long the meters find out about themselves, which they do once and not for an epoch."""


@dataclass(frozen=True)
class Sources:
    """Where the meters come from: the machine's, unless a test brings its own."""

    accelerators: Callable[[], Sequence[Meter]]
    host: Callable[[], Sequence[Meter]]
    """May take seconds; called in a thread of its own."""


def machine_sources(settings: Settings, environ: Mapping[str, str] | None = None) -> Sources:
    """Return the meters of this machine.

    Args:
        settings: for the spool, beside which the processor's finding is kept.
        environ: says which devices may be seen; by default the process's own variables.
    """
    seen_by = os.environ if environ is None else environ

    @functools.cache
    def board() -> "jetson.Board | None":
        from carbon.meters import jetson

        return jetson.open_board()

    def accelerators() -> Sequence[Meter]:
        from carbon.meters import amd, jetson, nvml

        # A Jetson's driver answers to NVML as well, but knows no energy.
        if jetson.is_jetson():
            rails = board()
            return [*rails.accelerators()] if rails else []
        return [*nvml.open_meters(seen_by), *amd.open_meters(seen_by)]

    def host() -> Sequence[Meter]:
        from carbon.meters import host as host_meters

        return host_meters.open_meters(settings.spool_dir / "host.json", board())

    return Sources(accelerators, host)


class Metering:
    """The meters that this process reads for the run; used by the recorder's thread alone.

    Every device of the host is claimed by one process of the run, by UUID. What another process
    holds is asked for again at every sample, so that a device whose process has left is read on.
    """

    def __init__(
        self,
        run_id: UUID,
        spool: Spool,
        sources: Sources,
        topology: Topology,
        began_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.windows: dict[str, MeterWindow] = {}
        self.on_host_opened: Callable[[], None] = lambda: None
        """Called in another thread once `adopt_host` has something to return."""
        self._run_id = run_id
        self._spool = spool
        self._sources = sources
        self._topology = topology
        self._began_s = began_s
        self._baseline: Baseline | None = None
        self._clock = clock
        self._rested_s = began_s
        self._asked_s: float | None = None  # When claims were last asked for.
        self._following_cpu_s = 0.0
        self._unclaimed: dict[str, Meter] = {}
        self._claims: dict[str, HeldFile | None] = {}
        self._host: list[Meter] | None = None  # Set once, by the thread that opens it.
        self._host_since_s: float | None = None
        self._neighbours = Neighbours(run_id, spool, began_s)
        self._capacity = sharing.capacity()
        self._divided_s = began_s  # Up to here nobody has anything more to say.

    @property
    def host_is_opening(self) -> bool:
        """Whether the host's meters are claimed and not yet there."""
        return self._host_since_s is not None

    @property
    def holds_host(self) -> bool:
        """Whether this process is the one of the run that reads the host."""
        return HOST in self._claims

    @property
    def is_shared(self) -> bool:
        """Whether another run ever took a share of what is measured here."""
        return any(window.is_shared for window in self.windows.values())

    @property
    def read_until_s(self) -> float:
        """The moment up to which every meter answers."""
        return min((w.covers_until_s for w in self.windows.values()), default=float("inf"))

    @property
    def final_until_s(self) -> float:
        """The moment up to which that stands: no other run can still turn out to have a share."""
        return min(self.read_until_s, self._divided_s)

    def open(self) -> list[Metered]:
        """Open what can be opened at once and begin to open the rest."""
        self._neighbours.enter(self._began_s)
        accelerators = self._sources.accelerators()
        from carbon.tracking.baseline import key_of, load

        self._baseline = load(self._spool.directory, self._topology.hostname)
        self._unclaimed |= {key_of(meter): meter for meter in accelerators}
        return self.claim(self._began_s)

    def claim(self, since_s: float) -> list[Metered]:
        """Claim what no process of this run reads and return the meters taken over.

        They are read from `since_s` on, or from where another process of the run has left off.
        """
        taken = []
        for key, meter in list(self._unclaimed.items()):
            if self._claimed(key):
                del self._unclaimed[key]
                taken.append(self._open_window(key, meter, self._left_off_s({key}, since_s)))
        if HOST not in self._claims and self._claimed(HOST):
            self._host_since_s = self._left_off_s(HOSTS_OWN, since_s)
            threading.Thread(target=self._open_host, name="carbon-host", daemon=True).start()
        self._asked_s = since_s
        entered = {key: since_s for key in self._claims if key not in self._neighbours.card.keys}
        if entered:
            self._neighbours.card.keys |= entered
            self._neighbours.say(since_s)
        return taken

    def adopt_host(self) -> list[Metered]:
        """Return the host's meters if they have been opened since this was last asked."""
        if self._host is None or self._host_since_s is None:
            return []
        since_s, self._host_since_s = self._host_since_s, None
        return [self._open_window(meter.component, meter, since_s) for meter in self._host]

    def read(self, *, hosts_too: bool) -> None:
        """Read the accelerators, and the host's meters where asked for or where one is due.

        A host's estimate averages the load since the last reading: short stretches are noise.
        """
        now_s = self._clock()
        for window in self.windows.values():
            if hosts_too or window.meter.component == "gpu" or window.next_poll_s <= now_s:
                window.read()

    def divide(self, now_s: float) -> None:
        """Work out what other runs on this host take of what is measured here, up to now."""
        self._neighbours.look(now_s)
        if not self._neighbours.are_of_other_runs(self._divided_s):
            self._divided_s = max(self._divided_s, now_s - NOTICE_S)
            return
        card = self._neighbours.card
        if HOST in self._claims:
            used = process_tree.used_by(self._neighbours.pids_of(card.run_id))
            if used is not None:
                card.usages.append(Usage(now_s, used.cpu_s, used.memory_b))
        self._neighbours.say(now_s)
        cards = [card, *self._neighbours.others]
        known_s = now_s - NOTICE_S
        for key, window in self.windows.items():
            claim = key if window.meter.component == "gpu" else HOST
            component, between_s = window.meter.component, (self._divided_s, now_s)
            shares = sharing.divide(cards, card.run_id, claim, component, self._capacity, between_s)
            window.share(self._divided_s, shares)
            if component != "gpu":
                known_s = min(known_s, sharing.known_until_s(cards, claim, now_s, PATIENCE_S))
        self._divided_s = max(known_s, self._divided_s)

    def sample_utilization(self, covers_s: float) -> None:
        """Take the utilisation of this moment to stand for the last `covers_s` seconds."""
        for window in self.windows.values():
            window.sample_utilization(covers_s)

    def follow(self, at_s: float, *, is_end: bool = False) -> None:
        """Let the accelerators find out their energy at a moment, by polls for about a period.

        At the end of the run always; in between as often as their driver's answers are cheap.
        """
        allowed_s = FOLLOWING_CPU_SHARE * (self._clock() - self._began_s)
        if is_end or self._following_cpu_s <= allowed_s:
            for window in self.windows.values():
                window.follow(at_s)

    @property
    def is_following(self) -> bool:
        """Whether an accelerator is still finding out its energy at a moment."""
        return any(window.is_following for window in self.windows.values())

    def poll(self) -> None:
        """Read the meters that want to be read by now.

        However long a driver takes to answer, as long is waited until it is asked again.
        """
        begin_s, begin_cpu_s = self._clock(), time.thread_time()
        is_following = self.is_following
        for window in self.windows.values():
            if window.next_poll_s <= begin_s:
                window.read()
        end_s = self._clock()
        self._rested_s = end_s + (end_s - begin_s)
        if is_following and end_s > self._began_s + STARTING_S:
            self._following_cpu_s += time.thread_time() - begin_cpu_s + WAKING_CPU_S

    def next_poll_s(self) -> float:
        """Return the moment by which a meter wants to be read again."""
        due_s = min([w.next_poll_s for w in self.windows.values()], default=float("inf"))
        return max(due_s, self._rested_s)

    def sampled(self, at_s: float) -> Sampled:
        """Return what every meter has counted up to the moment `at_s`."""
        energy_j, idle_j, utilization_percent, notes = {}, {}, {}, {}
        for key, window in self.windows.items():
            total_j = window.total_j(at_s)
            if total_j is not None:
                energy_j[key] = total_j
            if (idle := window.idle_j(at_s)) is not None:
                idle_j[key] = idle
            if (percent := window.mean_utilization_percent) is not None:
                utilization_percent[key] = percent
            if (note := window.meter.note) is not None:
                notes[key] = note
        return Sampled(at_s - self._began_s, energy_j, utilization_percent, notes, idle_j)

    def energy_j(self, from_s: float, until_s: float) -> float | None:
        """Return the energy of all meters between two moments; None where none of them knows."""
        known = [window.energy_j(from_s, until_s) for window in self.windows.values()]
        energies = [energy_j for energy_j in known if energy_j is not None]
        return sum(energies) if energies else None

    def forget_before(self, t_s: float, needed: Collection[float] = ()) -> None:
        """Free the readings before a moment, but for what was counted at the moments `needed`."""
        for window in self.windows.values():
            window.forget_before(min(t_s, self._divided_s), needed)

    def leave(self, at_s: float) -> None:
        """Tell the other runs on this host that this one ends, before its last ticks are known."""
        self._neighbours.leave(at_s)

    def close(self) -> None:
        """Release every device, for another process of the run to claim."""
        self._neighbours.close()
        for meter in (*(w.meter for w in self.windows.values()), *self._unclaimed.values()):
            meter.close()
        for claim in self._claims.values():
            if claim is not None:
                claim.close()

    def _claimed(self, key: str) -> bool:
        held = None
        try:
            # Nodes may share the spool, and each has a host to measure.
            held = self._spool.claim(self._run_id, f"{self._topology.hostname}-{key}")
        except SpoolError:
            # Without a spool processes cannot agree; the first of a node then reads all of it,
            # or the `carbon run` around them.
            if self._topology.local_rank != 0 or self._topology.is_measured_around:
                return False
        else:
            if held is None:
                return False
        self._claims[key] = held
        return True

    def _left_off_s(self, keys: Set[str], now_s: float) -> float:
        """Return the moment up to which the last holder of a claim, killed maybe, has told of it.

        Never further back than is likely: it was there when it was asked for in vain, and had told
        of what was a sample before that. Where other runs share the host, the time in between
        was theirs.
        """
        if self._asked_s is None:
            return now_s
        try:
            told_s = [
                part.started.began_s + part.sampled.at_s
                for part in self._spool.parts(self._run_id)
                if part.started.hostname == self._topology.hostname
                and keys & part.sampled.energy_j.keys()
            ]
        except SpoolError:
            return now_s
        likely_s = self._asked_s - (now_s - self._asked_s)
        left_off_s = max(max((s for s in told_s if s <= now_s), default=now_s), likely_s)
        return now_s if self._neighbours.are_of_other_runs(left_off_s) else left_off_s

    def _open_window(self, key: str, meter: Meter, since_s: float) -> Metered:
        known = self._baseline
        idle_power_w = known.power_w(key, meter.method) if known is not None else None
        window = MeterWindow(meter, since_s, idle_power_w, self._clock)
        window.read()
        self.windows[key] = window
        return window.describe(key)

    def _open_host(self) -> None:
        try:
            self._host = list(self._sources.host())
        except Exception as error:  # noqa: BLE001 - the outermost edge of this thread
            log.warning("CPU and RAM energy is not measured: %s", error)
            self._host = []
        self.on_host_opened()
