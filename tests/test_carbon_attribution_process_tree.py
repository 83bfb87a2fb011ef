"""CPU time and memory of process trees, read from the kernel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from carbon.attribution.process_tree import Used, total_memory_b, used_by

TICKS_PER_S, PAGE_B = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Process 10 with a child 11, whose child is 12; 20 is somebody else's."""
    for pid, parent, name in ((10, 1, "sh"), (11, 10, "a) b ("), (12, 11, "x y"), (20, 1, "z")):
        folder = tmp_path / str(pid)
        folder.mkdir()
        ticks = [TICKS_PER_S * n for n in (pid, 1, 2, 3)]  # utime stime cutime cstime
        fields = ["S", parent, *[0] * 9, *ticks, *[0] * 6, pid, *[0] * 5]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))}\n")
    (tmp_path / "self").mkdir()
    (tmp_path / "30").mkdir()  # Just ended.
    return tmp_path


@pytest.mark.parametrize(
    ("roots", "pids"),
    [({12}, [12]), ({10}, [10, 11, 12]), ({11, 12}, [11, 12]), ({10, 20}, [10, 11, 12, 20])],
)
def test_a_tree_is_what_its_processes_use(proc: Path, roots: set[int], pids: list[int]) -> None:
    assert used_by(roots, proc) == Used(sum(pid + 6 for pid in pids), sum(pids) * PAGE_B)


def test_what_is_not_there_is_unknown(proc: Path, tmp_path: Path) -> None:
    assert used_by({99}, proc) is None
    assert used_by({30}, proc) is None
    assert used_by({10}, tmp_path / "nowhere") is None


def test_the_time_of_a_child_is_there_while_it_runs_and_after() -> None:
    before = used_by({os.getpid()})
    burn = "import time; t = time.process_time()\nwhile time.process_time() < t + 0.3: pass"
    subprocess.run([sys.executable, "-c", f"{burn}"], check=True)
    after = used_by({os.getpid()})
    assert before is not None
    assert after is not None
    assert after.cpu_s - before.cpu_s >= 0.28
    assert 0 < after.memory_b < total_memory_b()
