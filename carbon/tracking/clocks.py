"""The two clocks of a run: one that measures, and one that says when."""

import time
from datetime import UTC, datetime
from typing import NamedTuple

CLOSE_S = 1e-4
"""Both are read again where more than this has passed in between,"""

TRIES = 3
"""but so often at most."""


class Moment(NamedTuple):
    """One moment on both clocks."""

    at_s: float
    """Of the monotonic clock, in seconds; all processes of a host share it."""
    at: datetime
    """Of the wall clock, UTC."""


def now() -> Moment:
    """Read both clocks, as close to each other as a busy machine allows.

    A process may be put aside between two readings, for longer than a run's error is allowed to be.
    """
    begun_s = time.monotonic()
    tries = []
    for _ in range(TRIES):
        at = datetime.now(UTC)
        ended_s = time.monotonic()
        tries.append((ended_s - begun_s, Moment(begun_s, at)))
        if ended_s - begun_s <= CLOSE_S:
            break
        begun_s = ended_s
    return min(tries)[1]
