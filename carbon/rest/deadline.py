"""A total deadline for an HTTP request, which httpx has not: its timeouts are of every single read.

A server that goes on sending one byte at a time would otherwise be waited for without end.
"""

import contextlib
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self


class Deadline:
    """Cuts off the connection of the request made within the block once its time is up.

    Pass `trace` to the request as httpx's extension of that name. Needs a connection of its own for
    the request: one that was kept from the last one is not traced.

    Attributes:
        total_s: how long the request may take.
        has_passed: whether the request was cut off.
    """

    def __init__(self, total_s: float) -> None:
        self.total_s = total_s
        self.has_passed = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(total_s, self._cut_off)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._socket = None

    def trace(self, event: str, information: Mapping[str, Any]) -> None:
        """Note the connection that is made, and the encrypted one that takes its place."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._socket = information["return_value"].get_extra_info("socket")
            if self.has_passed:
                self._cut_off()

    def _cut_off(self) -> None:
        self.has_passed = True
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                # Closing it would not wake the thread that waits for it.
                self._socket.shutdown(socket.SHUT_RDWR)
