"""Children: a tool in a process of its own, with an empty home and without the network."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.environments import Environment
from benchmarks.tools import Tool

CHILD = Path(__file__).with_name("child.py")
OUTPUT_SHOWN = 400
END_TIMEOUT_S = 5.0


class ChildError(Exception):
    """A child did not do what it was to do; the message is the last that it said."""


class Child:
    """A running child. Its folder, which is its home too, goes when the context is left."""

    def __init__(
        self,
        tool: Tool,
        environment: Environment,
        mode: str,
        options: Mapping[str, Any],
        gpu_env: Mapping[str, str] | None = None,
    ) -> None:
        self.tool = tool
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self.work = self.folder / "work"
        self.work.mkdir()
        self._result = self.folder / "result.json"
        self._output = self.folder / "output.txt"
        self.started_file = self.folder / "started"
        self.ended_file = self.folder / "ended"
        files = {"started_file": str(self.started_file), "ended_file": str(self.ended_file)}
        command = [str(environment.python), "-P", str(CHILD), mode, str(tool.adapter)]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, str(self._result), json.dumps({**options, **files})],
                cwd=self.work,
                env={**environ(self.folder), **(gpu_env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def spool(self) -> Path:
        """Where ours keeps its runs."""
        return spool(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Some tools start processes that outlive them, ours one that finds out the processor: they
        # would slow whatever is measured next, and write into a folder that is gone.
        end_all_at_home_in(self.folder)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, timeout_s: float) -> None:
        """Wait until the process has ended, in whatever way.

        Raises:
            ChildError: it has not, after `timeout_s` seconds.
        """
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ChildError(f"still running after {timeout_s:.0f} s") from None

    def result(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the process and return what it found, with the moment it ended as `ended_s`.

        Raises:
            ChildError: it found nothing.
        """
        self.wait(timeout_s)
        ended_s = time.monotonic()
        if not self._result.exists():
            raise ChildError(self.last_words())
        found: dict[str, Any] = json.loads(self._result.read_text(encoding="utf-8"))
        return {**found, "ended_s": ended_s}

    def last_words(self) -> str:
        """Return the last line of the output."""
        lines = self._output.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:OUTPUT_SHOWN] if said else f"exit code {self.process.returncode}"

    def wait_for(self, path: Path, timeout_s: float) -> float:
        """Wait until the child has written a moment into a file and return it.

        Raises:
            ChildError: it has not, after `timeout_s` seconds.
        """
        return wait_for_moment(self.process, path, timeout_s, self.last_words)


def wait_for_moment(
    process: "subprocess.Popen[bytes]",
    path: Path,
    timeout_s: float,
    why_ended: Callable[[], str],
) -> float:
    """Wait until a process has written a moment into a file and return it.

    Raises:
        ChildError: it has not, after `timeout_s` seconds, or has ended; `why_ended` says why.
    """
    give_up_s = time.monotonic() + timeout_s
    while time.monotonic() < give_up_s:
        has_ended = process.poll() is not None
        if path.exists() and (text := path.read_text(encoding="utf-8")):
            return float(text)
        if has_ended:
            raise ChildError(why_ended())
        time.sleep(0.01)
    raise ChildError(f"not ready after {timeout_s:.0f} s")


def environ(folder: Path) -> dict[str, str]:
    """Return the variables of a process that has `folder` for its home and reaches no network."""
    closed = f"http://127.0.0.1:{closed_port()}"
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "TZ": "UTC",
        # Whoever asks anyway is refused at once, on a machine with a network as on one without.
        "http_proxy": closed,
        "https_proxy": closed,
        "no_proxy": "127.0.0.1,localhost",
        "CARBON_API_URL": closed,
        "CARBON_SPOOL_DIR": str(spool(folder)),
        "CARBON_COUNTRY_ISO_CODE": "DEU",
        "CARBON_SAMPLE_INTERVAL_S": "1.0",
    }


def at_home_in(folder: Path) -> list[int]:
    """Return the processes that have `folder` for their home: those that were started with it."""
    mark = f"HOME={folder}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # Ended in between, or another user's.
            if b"\0" + mark in b"\0" + path.read_bytes():
                found.append(int(path.parent.name))
    return found


def end_all_at_home_in(folder: Path) -> None:
    """End those processes, and those that they start meanwhile; gives up after a while."""
    give_up_s = time.monotonic() + END_TIMEOUT_S
    while (living := at_home_in(folder)) and time.monotonic() < give_up_s:
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def spool(folder: Path) -> Path:
    """Return the spool of a process that has `folder` for its home."""
    return folder / "spool"


def closed_port() -> int:
    """Return a loopback port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
