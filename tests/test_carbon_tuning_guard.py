"""The process that a trial's command runs under: its exit code, and what is left of it."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from carbon.tuning import guard
from tests.fixtures.processes import are_gone, below
from tests.fixtures.tracking import wait_until
from tests.patience import PATIENCE_S

STUBBORN = """
trap '' TERM
(trap '' TERM; setsid sleep 60) &
echo $$ > {pids}
while true; do sleep 0.05; done
"""


def started(*command: str, grace_s: float = 0.2) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, str(grace_s), *command],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 128 + signal.SIGTERM)]
)
def test_it_exits_like_the_command(script: str, code: int) -> None:
    with started("sh", "-c", script) as process:
        assert process.wait(timeout=PATIENCE_S) == code


@pytest.mark.parametrize(("command", "code"), [("/not/there", 127), ("/", 126)])
def test_a_command_that_cannot_be_started_is_named(command: str, code: int) -> None:
    with started(command) as process:
        assert process.wait(timeout=PATIENCE_S) == code
        assert process.stderr is not None
        assert command.encode() in process.stderr.read()


def test_what_will_not_end_is_killed_in_whatever_session_it_is(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    process = started("sh", "-c", STUBBORN.format(pids=pids))
    with process:
        wait_until(lambda: pids.exists() and bool(pids.read_text().strip()))
        wait_until(lambda: bool(below(process.pid, "60")))
        processes = below(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGKILL
    wait_until(lambda: not any(p.is_running() for p in processes))


def test_what_ends_when_asked_is_not_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap 'exit 5' TERM; touch {ready}; while true; do sleep 0.02; done"
    with started("sh", "-c", script, grace_s=30) as process:
        wait_until(ready.exists)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=PATIENCE_S) == 5


def test_a_command_ends_where_its_guard_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with started("sh", "-c", f"echo $$ > {pids}; exec sleep 60", grace_s=30) as process:
        wait_until(lambda: pids.exists() and bool(pids.read_text().strip()))
        command = psutil.Process(int(pids.read_text()))
        process.kill()
    wait_until(lambda: are_gone([command]))
