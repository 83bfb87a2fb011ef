"""Which meters the host has for its CPU and its RAM: the best for each, and one for each."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from carbon.meters import codecarbon, rapl
from carbon.meters.base import Meter
from carbon.meters.jetson import Board
from carbon.schema import Component

_log = logging.getLogger(__name__)


def open_meters(
    cache_file: Path | None,
    board: Board | None = None,
    *,
    powercap: Path = rapl.DIRECTORY,
    clock: Callable[[], float] = time.monotonic,
) -> list[Meter]:
    """Open the meters of this host's CPU and RAM.

    A Jetson's rails where there are any, which cover the RAM also where none is its own; else the
    processor's counters; and CodeCarbon's models for what neither of them meters.

    Args:
        cache_file: where CodeCarbon's finding of the processor is kept; finding it takes seconds
            and is needed only where the CPU has no counters that can be read.
        board: the Jetson this is, if it is one.
        powercap: where the kernel shows the processor's counters.
    """
    if board is not None and (rails := board.host_meters()):
        return [*rails]
    meters: list[Meter] = [*rapl.open_meters(powercap, clock)]
    metered = {meter.component for meter in meters}
    components: tuple[Component, ...] = ("cpu", "ram")
    estimated = [component for component in components if component not in metered]
    if estimated:
        try:
            meters += codecarbon.open_host_meters(cache_file, estimated, clock=clock)
        except Exception as error:
            # What is metered is worth having without the estimate of the rest.
            if not meters:
                raise
            _log.warning("%s energy is not measured: %s", " and ".join(estimated).upper(), error)
    return meters
