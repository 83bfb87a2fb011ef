"""Running the server and the dashboard as processes of their own."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NoReturn

from carbon.errors import CarbonError

STOP_WAIT_S = 10.0


def require(extra: str, *modules: str) -> None:
    """Check that the modules of an extra are installed.

    Raises:
        CarbonError: one is missing; says what to install.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise CarbonError(
            f"{', '.join(missing)} is not installed; run: pip install 'carbon-ledger[{extra}]'"
        )


def url_from_here(host: str, port: int) -> str:
    """Return the URL by which this machine reaches a server of its own that listens on `host`."""
    # Those that stand for every address are no address to connect to.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `python -m module`, so that signals and exit code are its own."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


class Children:
    """Processes that live and end together."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped = threading.Event()
        self._signalled = False

    def start(
        self, name: str, module: str, arguments: Sequence[str], environ: Mapping[str, str]
    ) -> None:
        """Start `python -m module`."""
        self._running[name] = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=dict(environ)
        )

    def stop_on_signals(self) -> None:
        """Let SIGINT and SIGTERM end the wait in `wait` instead of this process."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._signalled = True
            self._stopped.set()

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)

    def ended(self) -> tuple[str, int] | None:
        """Return the name and exit code of a child that has ended, or None."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                return name, code
        return None

    def wait(self, until_s: float | None = None) -> bool:
        """Wait for a signal or for a child to end; return whether either happened in time."""
        while until_s is None or time.monotonic() < until_s:
            if self._stopped.wait(0.1) or self.ended():
                return True
        return False

    @property
    def signalled(self) -> bool:
        """Whether a signal asked for the end."""
        return self._signalled

    def stop(self) -> None:
        """End every child, gently first."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        give_up_s = time.monotonic() + STOP_WAIT_S
        for process in self._running.values():
            try:
                process.wait(max(give_up_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
