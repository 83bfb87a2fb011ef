"""Run ids: UUIDs of version 7 (RFC 9562, section 5.7), made by the client, sortable by time."""

import hashlib
import os
import time
from uuid import UUID


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
