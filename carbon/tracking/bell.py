"""A bell that one thread waits for, and any may ring."""

import threading
from contextlib import suppress


class Bell:
    """An event that the waiting thread takes with it: rung twice before that, it is heard once.

    One call of the interpreter's own lock where `threading.Event` takes ten, each of them slow
    in a thread that wakes once a second and finds the caches full of the training.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or let its next wait end at once."""
        with suppress(RuntimeError):  # Rung already.
            self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a ring, `timeout_s` seconds at most; return whether there was one."""
        return self._lock.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX))
