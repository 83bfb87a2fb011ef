"""Child processes that are watched while they run and leave nobody behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from carbon.errors import CarbonError

TAIL_LINES = 20
POLL_INTERVAL_S = 0.1
STOP_TIMEOUT_S = 10.0


class ChildError(CarbonError):
    """A child process ended that should not have, or is not ready; shows the end of its output."""


class Child:
    """A command in a process group of its own, its output going to the file `log`.

    Leaving the context stops the whole group. A group of its own, because a Ctrl-C in the terminal
    would otherwise reach the children before this process can stop them in order.
    """

    def __init__(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def exit_code(self) -> int | None:
        """Return the exit code, minus the number for a signal; None while it is running."""
        return self._process.poll()

    def is_running(self) -> bool:
        """Tell whether the command is still running.

        Raises:
            ChildError: it has failed.
        """
        code = self.exit_code()
        if code:
            how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
            raise ChildError(f"{self.name} ended with {how}; the end of {self.log}:\n{self.tail()}")
        return code is None

    def keep_running(self) -> None:
        """Make sure that the command, a service, is still running.

        Raises:
            ChildError: it has ended, with whatever exit code.
        """
        if not self.is_running():
            raise ChildError(f"{self.name} ended by itself; the end of {self.log}:\n{self.tail()}")

    def wait_until(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Return as soon as the command, a service, is ready.

        Raises:
            ChildError: it ended before that, or is not ready after `timeout_s` seconds.
        """
        deadline_s = time.monotonic() + timeout_s
        while not is_ready():
            self.keep_running()
            if time.monotonic() > deadline_s:
                raise ChildError(
                    f"{self.name} is not ready after {timeout_s:.0f} s; the end of {self.log}:\n"
                    f"{self.tail()}"
                )
            time.sleep(POLL_INTERVAL_S)

    def tail(self, n_lines: int = TAIL_LINES) -> str:
        """Return the last lines of the output so far."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-n_lines:])

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # The whole group has ended already.
