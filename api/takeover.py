"""Taking over what waits in the spool of the server's own machine.

A training that was killed, or that ended while no server ran, left its run there. Nothing else on
the machine need run for it to arrive.
"""

import logging
import threading

from carbon.delivery.delivery import deliver
from carbon.errors import CarbonError
from carbon.rest.client import Client
from carbon.settings import Settings
from carbon.spool.spool import Spool

log = logging.getLogger("api")

INTERVAL_S = 30.0
"""How long a run whose process was killed waits at most for a server that is running."""


def take_over(settings: Settings, url: str) -> None:
    """Deliver what waits to the server at `url`, now and from time to time, in the background."""
    target = settings.model_copy(update={"api_url": url})
    threading.Thread(target=_sweep, args=(target,), name="takeover", daemon=True).start()


def _sweep(settings: Settings) -> None:
    spool = Spool(settings.spool_dir)
    never = threading.Event()
    while True:
        try:
            if spool.waiting():
                with Client(settings) as client:
                    outcome = deliver(spool, client)
                for _, reason, folder in outcome.rejected:
                    log.warning("a run was refused and is kept in %s: %s", folder, reason)
                if outcome.unreachable:
                    log.warning("what waits in %s stays: %s", spool.directory, outcome.unreachable)
        except CarbonError as error:
            log.warning("%s", error)
        never.wait(INTERVAL_S)
