"""The recorder: one thread a run that reads the meters and keeps the spool.

The training thread only ever puts something into a queue. Everything slow (opening a meter, asking
git, writing to disk, delivering) happens here or in a helper thread, and nothing that goes wrong
in either reaches the training.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from uuid import UUID

from carbon.attribution.topology import Topology
from carbon.delivery.reporting import Reporter
from carbon.errors import SpoolError
from carbon.schema import RunReport, Status, StepProfile
from carbon.settings import Settings
from carbon.spool.following import Follower
from carbon.spool.journal import Journal
from carbon.spool.part import (
    Committed,
    Described,
    Ended,
    EpochBegan,
    Event,
    Logged,
    Profiled,
    RunBy,
    Started,
)
from carbon.spool.spool import HeldFile, Spool
from carbon.tracking import surroundings
from carbon.tracking.bell import Bell
from carbon.tracking.epochs import Epoch, Epochs
from carbon.tracking.metering import Metering, Sources
from carbon.tracking.series_recorder import SeriesRecorder

log = logging.getLogger("carbon")

MIN_GAP_S = 0.02
"""Readings asked for by the edges of very short epochs are not taken more often than this."""

OPENING_WAIT_S = 30.0
"""How long a process inside of `carbon run` leaves the meters to it at most."""

FOLLOWED_KEPT_S = 30.0
"""How long readings are kept for epochs of other processes, which are heard of late."""

FORGET_SAMPLES = 8
"""After so many samples the readings that no epoch needs are freed; not at each, it takes time."""

FOLLOW_WAIT_S = 0.3
"""How long the energy at the end of a run is found out at most, off the training thread."""

COMMIT_WAIT_S = 1.0
"""How long the end of a run waits for git, off the training thread."""


@dataclass(frozen=True)
class _Stop:
    status: Status
    at_s: float


class Recorder:
    """Records one process's part of a run, from `start` until `stop`.

    Attributes:
        written: set when the end of the part is on disk.
        settled: set when `report` is final as far as this process can tell.
        delivered: set when a delivery has been tried.
    """

    def __init__(
        self,
        started: Started,
        began_s: float,
        settings: Settings,
        topology: Topology,
        sources: Sources,
        find_run_id: Callable[[], UUID] | None = None,
        held_back: HeldFile | None = None,
    ) -> None:
        """Prepare to record.

        Args:
            started: the part's first event.
            began_s: the moment of it, on the monotonic clock.
            settings: for the spool, the API, the place and the intervals.
            topology: this process's place in the run.
            sources: where meters come from.
            find_run_id: asked, off the training thread, for the run's id; without it the id in
                `started` stands.
            held_back: what keeps other processes of the run from claiming meters, to be removed
                once this one has.
        """
        self.written = threading.Event()
        self.settled = threading.Event()
        self.delivered = threading.Event()
        self._began_s = began_s
        self._settings = settings
        self._topology = topology
        self._sources = sources
        self._find_run_id = find_run_id
        self._started = started
        self._is_known = threading.Event()
        self._series = SeriesRecorder(settings.series, started, began_s, settings.sample_interval_s)
        self._spool = Spool(settings.spool_dir)
        self._held_back = held_back
        self._inbox: SimpleQueue[
            EpochBegan | Epoch | _Stop | Logged | Profiled | Committed | RunBy
        ] = SimpleQueue()
        self._wake = Bell()
        self._stopping = threading.Event()
        self._may_run = threading.Event()
        if find_run_id is None:
            self._know(UUID(started.run_id))
        self._report: RunReport | None = None
        self._stop: _Stop | None = None
        self._epochs = Epochs()
        self._sampled_s = began_s
        self._forgot_s = began_s
        self._edge_s = began_s  # When an epoch's end was last read.
        self._has_edge = False
        self._thread = threading.Thread(target=self._run, name="carbon-recorder", daemon=True)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    # ------------------------------------------------------------ called by the training thread

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()
        self._may_run.set()

    def epoch_began(self, index: int, began_s: float) -> None:
        """Note that an epoch begins, for the meters to keep what they count then."""
        self._inbox.put(EpochBegan(index, began_s))

    def epoch_ended(
        self, index: int, began_s: float, ended_s: float, metrics: dict[str, float | None]
    ) -> None:
        """Note an epoch by its two moments; its energy is worked out later."""
        self._inbox.put(Epoch(index, began_s, ended_s, metrics))
        self._wake.ring()

    def logged(self, metrics: dict[str, float | None]) -> None:
        """Note metrics that belong to no epoch."""
        self._inbox.put(Logged(metrics))

    def profiled(self, profile: StepProfile) -> None:
        """Note where the time of some steps went."""
        self._inbox.put(Profiled(profile.model_dump(mode="json")))

    def stop(self, status: Status, at_s: float) -> None:
        """End the part at the moment `at_s`."""
        self._stopping.set()
        self._inbox.put(_Stop(status, at_s))
        self._wake.ring()

    @property
    def run_id(self) -> UUID:
        """The run's id; waits while it is being found."""
        self._is_known.wait()
        return self._run_id

    @property
    def is_kept(self) -> bool:
        """Whether the spool has what the run has said: a later process can deliver it then."""
        return self._is_known.is_set() and self._journal.is_on_disk

    def report(self) -> RunReport:
        """Return the report: the final one once `settled` is set, until then what is known."""
        self._is_known.wait()
        return self._report or self._journal.report()

    # --------------------------------------------------------------------- the recorder's thread

    def _run(self) -> None:
        # Whoever starts a thread waits until it runs, and it would not let go soon.
        self._may_run.wait()
        try:
            if self._find_run_id is not None:
                self._know(self._find_run_id())
            self._record()
        except Exception:  # The outermost edge: a fault of ours must not disturb the training.
            log.exception("tracking run %s stopped early", self._started.run_id)
        finally:
            if not self._is_known.is_set():
                self._know(UUID(self._started.run_id))
            self._let_others_claim()
            self._reporter.live.stop()
            for event in (self.written, self.settled, self.delivered):
                event.set()

    def _know(self, run_id: UUID) -> None:
        """Open what goes by the run's id."""
        self._run_id = run_id
        self._started = replace(self._started, run_id=str(run_id))
        spool = self._spool
        self._follower = (
            Follower(spool, run_id, self._started.hostname) if self._started.is_launcher else None
        )
        self._journal = Journal(self._started, spool)
        self._reporter = Reporter(self._journal, spool, self._settings, self._topology)
        self._metering = Metering(run_id, spool, self._sources, self._topology, self._began_s)
        self._metering.on_host_opened = self._wake.ring
        self._is_known.set()

    def _record(self) -> None:
        self._journal.say([])  # That it has begun.
        self._await_launcher()
        # As soon as can be: what was drawn before the first look is worked out from what came
        # after, and what else there is to find out has to be imported first.
        opened = self._metering.open()
        self._journal.say([self._described(), *opened])
        self._let_others_claim()
        threading.Thread(target=self._look_around, name="carbon-look", daemon=True).start()
        self._reporter.live.start()
        while self._stop is None:
            self._wait()
            self._receive()
            self._journal.say(self._metering.adopt_host())
            if self._stop is None:
                self._read(time.monotonic())
        self._finish(self._stop)

    def _wait(self) -> None:
        """Sleep until a sample or a poll is due or something came in."""
        due_s = min(
            self._sampled_s + self._settings.sample_interval_s, self._metering.next_poll_s()
        )
        if self._wake.wait(max(due_s - time.monotonic(), 0.0)):
            # Edges of very short epochs arrive faster than meters are worth reading.
            until_s = min(self._edge_s + MIN_GAP_S, due_s)
            self._stopping.wait(max(until_s - time.monotonic(), 0.0))

    def _receive(self) -> None:
        """Take in what the training thread and the helper have sent."""
        said: list[Event] = []
        while not self._inbox.empty():
            message = self._inbox.get_nowait()
            match message:
                case EpochBegan():
                    self._epochs.begin(message)
                case Epoch():
                    self._epochs.end(message)
                    self._has_edge = True
                case _Stop():
                    self._stop = message
                case Logged() | Profiled() | Committed() | RunBy():
                    said.append(message)
        if said:
            self._journal.say(said)

    def _read(self, now_s: float) -> None:
        """Read what is due: everything at a sample, else what an edge or a poll asks for."""
        is_sample = now_s - self._sampled_s >= self._settings.sample_interval_s
        has_edge, self._has_edge = self._has_edge, False
        if has_edge:
            self._metering.follow(now_s)
            self._edge_s = now_s
        if is_sample or has_edge:
            self._metering.read(hosts_too=is_sample)
        else:
            self._metering.poll()
        if not is_sample:
            return
        self._metering.sample_utilization(now_s - self._sampled_s)
        self._metering.divide(now_s)
        from_s, self._sampled_s = self._sampled_s, now_s
        self._hear_of_epochs()
        self._journal.say([*self._epochs.measure(self._metering), self._metering.sampled(now_s)])
        self._series.sample(self._metering, from_s, now_s)
        self._series.write(self._journal, now_s)
        self._forget(now_s)
        self._journal.say(self._metering.claim(now_s))

    def _forget(self, now_s: float) -> None:
        """Free the readings that no epoch will need, now and then."""
        if now_s - self._forgot_s < FORGET_SAMPLES * self._settings.sample_interval_s:
            return
        self._forgot_s = now_s
        if self._metering.is_shared:  # What others take of a reading is asked of those kept.
            self._series.catch_up()
        kept_s = 2 * self._settings.sample_interval_s
        needed = self._epochs.needed_s()
        if self._follower is not None:
            kept_s = max(kept_s, FOLLOWED_KEPT_S)
            needed += self._follower.open_since_s()
        self._metering.forget_before(now_s - kept_s, needed)

    def _hear_of_epochs(self) -> None:
        """Take in the epochs that the processes started by `carbon run` have noted."""
        if self._follower is not None:
            for epoch in self._follower.poll():
                self._epochs.end(Epoch(epoch.index, epoch.began_s, epoch.ended_s, {}, epoch.part))

    def _await_launcher(self) -> None:
        """Let a `carbon run` around this process claim the meters that it has begun to open."""
        give_up_s = time.monotonic() + OPENING_WAIT_S
        try:
            while (
                self._held_back is None
                and self._stop is None
                and self._spool.is_held_back(self._run_id)
                and time.monotonic() < give_up_s
            ):
                time.sleep(0.02)
                self._receive()
        except SpoolError:
            pass  # The journal has said so.

    def _let_others_claim(self) -> None:
        if self._held_back is not None:
            self._held_back.remove()

    def _finish(self, stop: _Stop) -> None:
        self._metering.leave(stop.at_s)  # First: what begins now is not to share with this.
        self._reporter.live.stop()
        self._metering.follow(stop.at_s, is_end=True)
        self._metering.read(hosts_too=True)
        self._hear_of_epochs()
        self._metering.sample_utilization(stop.at_s - self._sampled_s)
        self._metering.divide(stop.at_s)
        self._journal.say(
            [
                *self._epochs.measure(self._metering, is_end=True),
                self._metering.sampled(stop.at_s),
                Ended(stop.status, stop.at_s - self._began_s),
            ]
        )
        self.written.set()
        if self._await_ticks():
            said_again = self._epochs.measure(self._metering, is_end=True)
            self._journal.say([*said_again, self._metering.sampled(stop.at_s)])
        self._series.sample(self._metering, self._sampled_s, stop.at_s, at_end=True)
        self._series.write(self._journal, stop.at_s, at_end=True)
        if self._metering.host_is_opening:
            log.warning(
                "run %s ended before CodeCarbon had found out this machine's processor: its CPU "
                "and RAM energy is unknown; a run of some seconds finds it out for all later ones",
                self._run_id,
            )
        self._metering.close()
        self._journal.say([self._described()])
        self._await_commit()
        self._journal.close()
        self._reporter.await_others()
        self._report = self._reporter.settle()
        self.settled.set()
        self._reporter.deliver(self._report)

    def _await_ticks(self) -> bool:
        """Find out the energy at the end, which by now is safe but for the last of a counter's
        ticks; return whether there was anything to find out."""
        if not self._metering.is_following:
            return False
        give_up_s = time.monotonic() + FOLLOW_WAIT_S
        while self._metering.is_following and time.monotonic() < give_up_s:
            time.sleep(max(min(self._metering.next_poll_s(), give_up_s) - time.monotonic(), 0.0))
            self._metering.poll()
        return True

    # ---------------------------------------------------------------------------- surroundings

    def _described(self) -> Described:
        return Described(surroundings.place(self._settings), surroundings.software())

    def _look_around(self) -> None:
        try:
            # The directory that names accounts may be far away, as git may be slow.
            self._inbox.put(RunBy(surroundings.user(self._settings.user)))
            self._inbox.put(Committed(surroundings.git_commit()))
            self._reporter.deliver_what_waited()
        except Exception as error:  # noqa: BLE001 - the outermost edge of this thread
            log.warning("what waits in the spool was not delivered: %s", error)

    def _await_commit(self) -> None:
        """Give what is found out a moment where the run was shorter than that takes."""
        give_up_s = time.monotonic() + COMMIT_WAIT_S
        while self._journal.part.committed is None and time.monotonic() < give_up_s:
            try:
                message = self._inbox.get(timeout=0.05)
            except Empty:
                continue
            if isinstance(message, Committed | RunBy):
                self._journal.say([message])
