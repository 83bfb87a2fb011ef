"""Run a command that must not outlive the search: `python guard.py GRACE_S COMMAND...`.

A program of its own that imports nothing of the project, so that it starts within milliseconds. The
command is asked to end by SIGTERM to its process group once standard input ends, which the search
closes, or the kernel when the search was killed. After GRACE_S seconds whatever it has started is
made to end by SIGKILL. Exits like the command, with 128 + n after signal n.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def main(grace_s: float, command: list[str]) -> int:
    """Start the command, watch it and the search, and leave nothing of it behind."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else lambda *_: 0
    # What loses its parent becomes a child of this process, in whatever session it is.
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, ring = os.pipe()
    for fd in (wake, ring):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(ring)
    # Handled by waking up, not by ending: what has been started is still to be ended.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    try:
        # Kept: one that is thrown away takes the exit code with it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            # Should this process be killed, as Ray does with its workers' children.
            preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0),
        )
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127 if isinstance(error, FileNotFoundError) else 126
    child, ended = process.pid, dict[int, int]()
    while _reap(ended) and child not in ended:
        ready, _, _ = select.select([0, wake], [], [])
        asked = set(os.read(wake, 4096)) if wake in ready else set()
        if (0 in ready and not os.read(0, 4096)) or asked - {signal.SIGCHLD}:
            break
    _end(child, grace_s, ended)
    return ended[child] if ended[child] >= 0 else 128 - ended[child]


def _reap(ended: dict[int, int]) -> bool:
    """Note what has ended, by process; return whether any process is left."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            ended[pid] = os.waitstatus_to_exitcode(status)
    return False


def _end(group: int, grace_s: float, ended: dict[int, int]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
    kill_at_s = time.monotonic() + grace_s
    while _reap(ended):
        if time.monotonic() > kill_at_s:
            _kill_children()
        time.sleep(0.01)


def _kill_children() -> None:
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text(encoding="ascii").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
