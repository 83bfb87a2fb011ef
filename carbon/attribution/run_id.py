"""Run ids: UUIDs of version 7 (RFC 9562, section 5.7), made by the client, sortable by time."""

import hashlib
import os
import time
from collections.abc import Mapping
from uuid import UUID

from carbon.errors import SettingsError

VARIABLE = "CARBON_RUN_ID"
"""Set by `carbon run`, or by hand: every process that has it is tracked as part of that run."""


def given_run_id(environ: Mapping[str, str]) -> UUID | None:
    """Return the id of the run that a process with these variables is part of; None for its own.

    Raises:
        SettingsError: it is no UUID of version 7.
    """
    text = environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        run_id = UUID(text)
    except ValueError:
        run_id = None
    if run_id is None or run_id.version != 7:
        raise SettingsError(
            f"{VARIABLE} is {text!r}: a run's id is a UUID of version 7 (RFC 9562); unset it, or "
            "set it to one such as 01936f5e-8d3a-7c41-9b52-3f6a7e81c0d4 on every node of the run"
        )
    return run_id


def new_run_id() -> UUID:
    """Make an id for a run that starts now in one process."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def shared_run_id(launched_at_ms: int, key: str) -> UUID:
    """Make the id that every process of one launch arrives at without talking to the others.

    Args:
        launched_at_ms: Unix time in milliseconds at which the launcher started.
        key: whatever tells this run from every other run of any launch.
    """
    return uuid7(launched_at_ms, hashlib.sha256(key.encode()).digest()[:10])


def uuid7(unix_ms: int, entropy: bytes) -> UUID:
    """Lay out a version 7 UUID from 48 bits of milliseconds and 10 bytes of entropy."""
    number = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(entropy)
    number = number & ~(0xF << 76) | 0x7 << 76  # version
    number = number & ~(0x3 << 62) | 0x2 << 62  # variant
    return UUID(int=number)
