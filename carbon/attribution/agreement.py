"""How processes on several nodes come to one run id: through the store that their training uses.

`torchrun` keeps a TCP store open on the first node for as long as the job lives, restarts included,
and `torch.distributed` has one on its first rank. Whoever comes first proposes an id there; all
others find it. Nobody waits for anybody.
"""

import logging
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

log = logging.getLogger("carbon")

AGREE_WAIT_S = 1.0
"""How long the store is waited for. Until then nothing of the run is on disk, so that it is one
sampling interval at most that a kill can cost."""


def agree(key: str, proposed: UUID, environ: Mapping[str, str]) -> UUID | None:
    """Return the id that the processes of a launch have in common; None where none can be found.

    Takes at most about `AGREE_WAIT_S`; not for the training's thread. Needs a program that has
    loaded torch, which is never imported here, and MASTER_ADDR and MASTER_PORT in its environment.

    Args:
        key: tells this run from others of the same launch.
        proposed: the id to agree on where nobody has proposed one.
        environ: the process's environment variables.
    """
    distributed: Any = sys.modules.get("torch.distributed")
    host, port = environ.get("MASTER_ADDR", ""), environ.get("MASTER_PORT", "")
    if distributed is None or not distributed.is_available() or not (host and port.isdecimal()):
        return None
    try:
        _await_store(host, int(port))
        store = distributed.TCPStore(
            host,
            int(port),
            is_master=False,
            timeout=timedelta(seconds=AGREE_WAIT_S),
            wait_for_workers=False,
        )
        return UUID(store.compare_set(f"carbon-ledger/{key}", "", str(proposed)).decode())
    except (RuntimeError, ValueError, OSError) as error:  # torch's own are RuntimeErrors.
        log.warning(
            "the nodes of this run cannot agree on its id through %s:%s and report a run each; set "
            "CARBON_RUN_ID to the same UUID of version 7 on all of them: %s",
            host,
            port,
            str(error).partition("\n")[0],
        )
        return None


def _await_store(host: str, port: int) -> None:
    """Wait for somebody to listen; torch's client, asked in vain, fills the terminal.

    Raises:
        OSError: nobody did in time.
    """
    import socket  # Not by runs that have nothing to agree on.

    give_up_s = time.monotonic() + AGREE_WAIT_S
    while True:
        try:
            socket.create_connection((host, port), timeout=AGREE_WAIT_S).close()
            return
        except OSError:
            if time.monotonic() >= give_up_s:
                raise
            time.sleep(0.05)
