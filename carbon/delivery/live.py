"""Telling the API of a run while it goes on.

A thread of its own sends the run's energy so far from time to time: the whole amount, never what
was added, under a sequence number that grows. Nothing depends on it. What does not arrive is
contained in what is sent next, and in the end in the run's report, whose number is higher.
"""

import logging
import threading
import time
from typing import TYPE_CHECKING

from carbon.attribution.topology import Topology
from carbon.delivery import delivery
from carbon.errors import CarbonError, SpoolError
from carbon.rest import reachability
from carbon.rest.leaving import at_work
from carbon.schema import RunReport
from carbon.settings import Settings
from carbon.spool.journal import Journal
from carbon.spool.merge import merge
from carbon.spool.running_parts import RunningParts
from carbon.spool.spool import HeldFile, Spool

if TYPE_CHECKING:
    from carbon.rest.client import (
        Client,  # httpx takes long to load: it is imported where it is used.
    )

log = logging.getLogger("carbon")

LONGEST_PAUSE_S = 120.0
"""How long an API that fails is left alone at most; after the first, failures double the pause."""

CPU_ALLOWED_S = 0.005
"""How much CPU time one update may take: 0.05 % of the default interval. Where a run of very
many epochs or ranks takes more, its intervals are longer in proportion, and it says so."""

TIMEOUT_S = 5.0
"""How long an update waits at most for the API to take or to give something."""

_CLAIM = "live"


class Live:
    """Tells the API of one run; of its processes that share a spool one does, which claims it."""

    def __init__(
        self, journal: Journal, spool: Spool, settings: Settings, topology: Topology
    ) -> None:
        self._journal = journal
        self._run_id = journal.part.run_id
        self._spool = spool
        self._settings = settings
        self._interval_s = settings.live_interval_s
        self._is_first_on_node = topology.local_rank == 0
        self._is_alone = topology.world_size == 1 and topology.carbon_run_pid is None
        self._stopped = threading.Event()
        self._numbering = threading.Lock()
        self._given_seq = 0
        self._claim: HeldFile | None = None
        self._follower = RunningParts(spool, self._run_id)
        self._client: Client | None = None
        self._told: dict[str | None, RunReport] = {}
        self._failures = 0
        self._pause_s = self._interval_s

    def start(self) -> None:
        """Begin, one interval from now, so that a short run pays nothing."""
        if self._interval_s and not self._stopped.is_set():
            threading.Thread(target=self._run, name="carbon-live", daemon=True).start()

    def stop(self) -> None:
        """Let nothing more be sent but what has its number already; waits for nothing."""
        self._stopped.set()

    def last_seq(self) -> int:
        """Return the highest number that a report was given here; final after `stop`."""
        with self._numbering:
            return self._given_seq

    def tell(self) -> float:
        """Tell of the run if that is for this process to do; return the pause until next time."""
        try:
            if not self._is_ours():
                return self._interval_s
            client = self._client = self._client or self._connected()
            began_s = time.thread_time()
            for document in self._documents():
                client.put_document(self._run_id, document)
        except CarbonError as error:
            log.debug("run %s was not told of: %s", self._run_id, error)
            self._told.clear()
            self._failures += 1
            longest_s = max(LONGEST_PAUSE_S, self._pause_s)
            return float(min(self._pause_s * 2.0 ** min(self._failures - 1, 30), longest_s))
        self._failures = 0
        cpu_s = time.thread_time() - began_s
        # At most doubled: the API was told of the last pause and must not take the run for dead.
        stretched_s = self._interval_s * max(cpu_s / CPU_ALLOWED_S, 1.0)
        self._pause_s = min(stretched_s, 2 * self._pause_s)
        return self._pause_s

    def close(self) -> None:
        """Let go of the claim and of the connection."""
        if self._claim is not None:
            self._claim.close()
        if self._client is not None:
            self._client.close()

    # ------------------------------------------------------------------------- the thread's own

    def _run(self) -> None:
        try:
            # The first process of a node usually makes the claim; another one does once it is gone.
            pause_s = self._interval_s * (1 if self._is_first_on_node else 2)
            while not self._stopped.wait(pause_s):
                pause_s = self.tell()
        except Exception as error:  # noqa: BLE001 - the outermost edge of this thread
            log.debug("run %s is not told of any more: %s", self._run_id, error)
        finally:
            self.close()

    def _is_ours(self) -> bool:
        if self._claim is None:
            try:
                self._claim = self._spool.claim(self._run_id, _CLAIM)
            except SpoolError:
                return self._is_alone
        return self._claim is not None

    def _connected(self) -> "Client":
        # Loading the client takes longer than a minute of measuring; not where nobody listens.
        reachability.check(self._settings, TIMEOUT_S)
        from carbon.rest.client import Client

        return Client(self._settings, timeout_s=TIMEOUT_S)

    def _documents(self) -> list[str]:
        """Return what is to be sent, numbered; nothing once the run has ended."""
        with at_work():
            reports = self._reports()
        if not reports:
            return []
        seq = self._next_seq()
        if seq is None:
            return []
        with at_work():
            return [report.model_copy(update={"seq": seq}).model_dump_json() for report in reports]

    def _next_seq(self) -> int | None:
        """Give the next number out, noted in the spool for whoever finishes the run."""
        with self._numbering:
            try:
                with self._spool.locked(self._run_id):
                    # Asked under the run's lock: its end takes a number under the same one.
                    if self._stopped.is_set():
                        return None
                    seq = max(self._given_seq, self._spool.given_seq(self._run_id)) + 1
                    self._spool.give_seq(self._run_id, seq)
            except SpoolError:
                if self._stopped.is_set() or not self._is_alone:
                    return None
                seq = self._given_seq + 1
            self._given_seq = seq
            return seq

    def _reports(self) -> list[RunReport]:
        """Return the run as it stands: what is running, and what has ended since it was sent."""
        try:
            parts = self._follower.parts()
        except SpoolError:
            parts = []
        alive: set[str | None]
        spool_id = self._spool.identity()
        if not parts:
            if not self._is_alone:
                return []
            own = self._journal.report()
            shares = [delivery.as_share(self._journal.part.started, own, spool_id)]
            alive = {shares[0].reporter}
        else:
            alive = {
                delivery.reporter_of(p.started.hostname, spool_id)
                for p in parts
                if p.is_alive and not p.ended
            }
            shares = delivery.split(parts, merge(parts), spool_id=spool_id)
        reports = []
        for share in shares:
            if alive if share.reporter is None else share.reporter in alive:
                running = {
                    "status": "running",
                    "ended_at": None,
                    "live_interval_s": self._pause_s,
                }
                reports.append(share.model_copy(update=running))
            elif self._told.get(share.reporter) != share:
                reports.append(share)
            self._told[share.reporter] = share
        return reports
