"""The process that serves: it says when it is ready, and ends when it is told to."""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

# So many new objects are there before those in cycles are looked for; Python's own is 700.
_COLLECT_AFTER = 100_000

# How long answers under way may still take once the server was told to stop.
_GRACE_S = 10


class Server(uvicorn.Server):
    """Serves an app until SIGINT or SIGTERM, then answers what is under way and closes the app.

    The same signal again ends the process at once, with whatever was not committed. Another one
    does not: a terminal's SIGINT reaches a launcher too, which then sends SIGTERM by itself.
    """

    def __init__(self, app: FastAPI, when_ready: Callable[[], None]) -> None:
        """Take the app, and what to do once it answers."""
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,  # `api.edge` logs every request, with more.
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._app = app
        self._when_ready = when_ready
        self._told: set[int] = set()

    def serve_on(self, listener: socket.socket) -> None:
        """Serve on a socket that listens, until a signal."""
        # Before uvicorn listens to these, and after.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(0))
        self.run(sockets=[listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there by now stays there, and a batch of reports is tens of thousands of objects
        # that all go when it is answered: looking for cycles among them takes longer than the rest.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        self._when_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig in self._told:
            # Threads that wait for the database would hold up any gentler end.
            os._exit(0)
        self._told.add(sig)
        self._app.state.is_stopping = True
        self.should_exit = True
