"""Child processes: whoever fails is named with its last words, and nobody is left behind."""

import os
import sys
import time
from pathlib import Path

import pytest

from carbon.tracking.children import Child, ChildError
from tests.fixtures.tracking import wait_until
from tests.patience import PATIENCE_S

SLEEPS = "import time; time.sleep(600)"


def child(script: str, log: Path) -> Child:
    return Child("the child", [sys.executable, "-c", script], os.environ, log)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("print('last words'); raise SystemExit(3)", "ended with exit code 3"),
        ("import os; print('last words', flush=True); os.abort()", "ended with SIGABRT"),
    ],
)
def test_a_failure_shows_who_how_and_the_last_words(script: str, how: str, tmp_path: Path) -> None:
    with (
        child(script, tmp_path / "log") as failing,
        pytest.raises(ChildError, match=rf"(?s)^the child {how}.*last words"),
    ):
        wait_until(lambda: not failing.is_running())


def test_only_the_end_of_a_long_output_is_shown(tmp_path: Path) -> None:
    with child("print(*range(100), sep='\\n')", tmp_path / "log") as talkative:
        wait_until(lambda: not talkative.is_running())
    assert talkative.tail(3).splitlines() == ["97", "98", "99"]


def test_a_service_that_ends_well_has_failed_all_the_same(tmp_path: Path) -> None:
    with (
        child("print('done')", tmp_path / "log") as service,
        pytest.raises(ChildError, match=r"(?s)the child ended by itself.*done"),
    ):
        service.wait_until(lambda: False, timeout_s=20)


def test_a_service_that_does_not_get_ready_is_given_up(tmp_path: Path) -> None:
    with (
        child(SLEEPS, tmp_path / "log") as service,
        pytest.raises(ChildError, match="the child is not ready after 0 s"),
    ):
        service.wait_until(lambda: False, timeout_s=0.2)


def test_a_ready_service_is_waited_for_no_longer(tmp_path: Path) -> None:
    with child("open('ready', 'w'); " + SLEEPS, tmp_path / "log") as service:
        began_s = time.monotonic()
        service.wait_until((tmp_path / "log").exists, timeout_s=PATIENCE_S)
        assert time.monotonic() - began_s < PATIENCE_S / 2
        service.keep_running()


def test_leaving_stops_the_child_and_its_children(tmp_path: Path) -> None:
    """As torchrun has: workers of its own."""
    script = f"""
import os, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", {SLEEPS!r}])
print(os.getpid(), worker.pid, flush=True)
worker.wait()
"""
    with child(script, tmp_path / "log") as parent:
        wait_until(lambda: parent.tail().count(" ") == 1)
        pids = [int(pid) for pid in parent.tail().split()]
        assert all(is_alive(pid) for pid in pids)
    wait_until(lambda: not any(is_alive(pid) for pid in pids))
