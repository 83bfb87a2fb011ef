"""Keeps what a package prints when it is imported out of the training's output."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _WithoutThread:
    """A stream that drops what one thread writes and passes on everything else."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return len(text)
        written: int = self._stream.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def muted() -> Iterator[None]:
    """Drop what this thread prints to standard output; other threads print as before.

    Some packages print where they should raise: amdsmi without its library does, and so does
    CodeCarbon, which imports it.
    """
    before: Any = sys.stdout
    ours: Any = _WithoutThread(before)
    sys.stdout = ours
    try:
        yield
    finally:
        if sys.stdout is ours:  # Else the program has set another meanwhile, which stays.
            sys.stdout = before
