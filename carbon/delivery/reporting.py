"""What becomes of a run once its part is written: merged with the others, and delivered."""

import logging
import time
from typing import TYPE_CHECKING
from uuid import UUID

from carbon.attribution.topology import Topology
from carbon.delivery import delivery
from carbon.delivery.live import Live
from carbon.errors import ApiError, ApiUnreachableError, SpoolError
from carbon.rest import reachability
from carbon.schema import RunReport
from carbon.settings import Settings
from carbon.spool.journal import Journal
from carbon.spool.part import Part
from carbon.spool.spool import Spool

if TYPE_CHECKING:
    from carbon.rest.client import (
        Client,  # httpx takes long to load: it is imported where it is used.
    )

log = logging.getLogger("carbon")

OTHERS_WAIT_S = 2.0
"""How long a report waits for the run's other processes on the node, off the training thread."""


CONNECT_WAIT_S = 5.0
"""How long the API is given to take a connection."""


class Reporter:
    """Settles and delivers one process's run; used off the training thread alone.

    Attributes:
        live: tells the API of the run until it ends.
    """

    def __init__(self, journal: Journal, spool: Spool, settings: Settings, place: Topology) -> None:
        self.live = Live(journal, spool, settings, place)
        self._journal = journal
        self._run_id = journal.part.run_id
        self._spool = spool
        self._settings = settings
        self._place = place
        self._is_first_on_node = place.local_rank == 0
        self._has_others = place.world_size > 1

    def deliver_what_waited(self) -> None:
        """Finish and deliver what earlier processes on this host left behind; one a node does."""
        if not (self._is_first_on_node and (others := self._others_waiting())):
            return
        try:
            reachability.check(self._settings, CONNECT_WAIT_S)
        except ApiUnreachableError:
            return  # They go on waiting.
        from carbon.rest.client import Client

        with Client(self._settings) as client:
            delivery.deliver(self._spool, client, others)

    def await_others(self) -> None:
        """Give the run's other processes here a moment: they leave at about the same time."""
        if not self._journal.is_on_disk or not self._has_others:
            return
        if self._journal.part.status == "failed":
            return  # The launcher waits for this process, to stop the others.
        give_up_s = time.monotonic() + OTHERS_WAIT_S
        while time.monotonic() < give_up_s and self._spool.has_living_part(self._run_id):
            time.sleep(0.02)

    def settle(self) -> RunReport:
        """Merge the run's parts, on disk where that is possible, and return the report."""
        report = None
        # Noted there by whichever process of the run has told of it.
        told_seq = max(self.live.last_seq(), self._spool.given_seq(self._run_id))
        if self._journal.is_on_disk:
            try:
                with self._spool.locked(self._run_id):
                    report = delivery.settle(self._spool, self._run_id, told_seq)
            except SpoolError as error:
                log.warning("run %s is not merged on disk: %s", self._run_id, error)
        return report or self._journal.report(told_seq + 1, self._others_on_disk())

    def deliver(self, report: RunReport) -> None:
        """Try to deliver the run, and with it what else waits here."""
        if self._journal.is_on_disk:
            try:
                reachability.check(self._settings, CONNECT_WAIT_S)
            except ApiUnreachableError as error:
                log.info("run %s waits in the spool: %s", self._run_id, error)
                return
        from carbon.rest.client import Client

        with Client(self._settings) as client:
            if not self._journal.is_on_disk:
                self._deliver_from_memory(client, report)
                return
            try:
                outcome = delivery.deliver(self._spool, client, [self._run_id])
                if self._is_first_on_node and not outcome.unreachable:
                    delivery.deliver(self._spool, client, self._others_waiting())
            except SpoolError as error:  # A full disk, say: there are the parts, but no report.
                log.warning("run %s waits in the spool: %s", self._run_id, error)
                return
        for run_id, reason, folder in outcome.rejected:
            log.error("run %s was refused and is kept in %s: %s", run_id, folder, reason)
        if outcome.unreachable:
            log.info("run %s waits in the spool: %s", self._run_id, outcome.unreachable)

    def _deliver_from_memory(self, client: "Client", report: RunReport) -> None:
        if not self._is_first_on_node:
            return  # Without a spool that one reads every device of the node, and reports it.
        started = self._journal.part.started
        if self._place.is_measured_around:
            report = delivery.as_inner_share(started, self._journal.report(report.seq))
        else:
            report = delivery.as_share(started, report, self._spool.identity())
        try:
            client.put_run(report)
        except ApiError as error:
            log.error(
                "run %s is neither in the spool nor delivered: %s. Its report, to be PUT to "
                "/v1/runs/%s: %s",
                self._run_id,
                error,
                self._run_id,
                report.model_dump_json(),
            )

    def _others_on_disk(self) -> list[Part]:
        """Return what can be read of the run's other parts where this one cannot be written."""
        own_name = self._journal.part.started.part_name
        try:
            found = self._spool.parts(self._run_id)
        except SpoolError:
            return []
        return [part for part in found if part.started.part_name != own_name]

    def _others_waiting(self) -> list[UUID]:
        return [run_id for run_id in self._spool.waiting() if run_id != self._run_id]
