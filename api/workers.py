"""Processes that serve on one socket: forked, replaced when killed, ended together."""

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SHARED_COUNTS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names where the processes that serve together keep their counts;
prometheus-client reads it when it is imported."""

logger = logging.getLogger("api")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# So that workers that crash as soon as they start do not keep the machine busy.
_PAUSE_S = 1.0


def keep_serving(count: int, serve: Callable[[int], int]) -> int:
    """Run `serve` in `count` processes until SIGINT or SIGTERM, and return the exit status.

    A worker that was killed is replaced. One that ends by itself with a status but 0 would do so
    again: the others are ended too, and its status is returned. Nothing is left running where this
    process is killed.

    Args:
        count: of workers.
        serve: is called with the worker's number, from 0 on, and returns its exit status. This
            process must have no threads and no connections, of which every worker would have half.
    """
    return _Workers(count, serve).run()


@contextmanager
def shared_counts() -> Iterator[None]:
    """Give the workers a place where each finds the others' counts, if there is none yet."""
    if SHARED_COUNTS in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="carbon-metrics-") as directory:
        os.environ[SHARED_COUNTS] = directory
        yield


class _Workers:
    def __init__(self, count: int, serve: Callable[[int], int]) -> None:
        self._count = count
        self._serve = serve
        self._numbers: dict[int, int] = {}  # By process id.
        self._is_stopping = False
        # Nobody writes into it: it ends where this process does.
        self._life, self._held_open = os.pipe()

    def run(self) -> int:
        for number in _SIGNALS:
            signal.signal(number, self._stop)
        for worker in range(self._count):
            self._start(worker)
        status = 0
        while self._numbers:
            pid, ended = os.wait()
            worker = self._numbers.pop(pid)
            code = os.waitstatus_to_exitcode(ended)
            if self._is_stopping:
                continue
            if code >= 0:
                status = code
                self._stop()
                continue
            logger.error(
                "worker %d was ended by %s; starting another", worker, signal.Signals(-code).name
            )
            time.sleep(_PAUSE_S)
            self._start(worker)
        return status

    def _start(self, worker: int) -> None:
        # A signal that came between the fork and the note of it would miss the worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        if not self._is_stopping:
            pid = os.fork()
            if not pid:
                self._become(worker)
            self._numbers[pid] = worker
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _become(self, worker: int) -> None:
        """Serve, in the new process, and never return."""
        status = 1
        try:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(self._held_open)
            threading.Thread(target=self._end_with_parent, daemon=True).start()
            status = self._serve(worker)
        except SystemExit as ending:
            status = ending.code if isinstance(ending.code, int) else 0
        except BaseException:
            logger.exception("worker %d failed", worker)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _end_with_parent(self) -> None:
        os.read(self._life, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._is_stopping = True
        for pid in self._numbers:
            os.kill(pid, signal.SIGTERM)
