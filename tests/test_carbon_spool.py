import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carbon.attribution.run_id import new_run_id
from carbon.errors import SpoolError
from carbon.spool.merge import merge
from carbon.spool.part import Ended, Event, Sampled
from carbon.spool.spool import HeldFile, Spool, encode
from tests.patience import PATIENCE_S
from tests.test_carbon_spool_part import EVENTS, STARTED

RUN_ID = new_run_id()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def write(spool: Spool, name: str, events: list[Event]) -> HeldFile:
    part = spool.open_part(RUN_ID, name)
    part.append(encode(events))
    return part


def test_looking_at_a_spool_creates_nothing(spool: Spool) -> None:
    assert spool.waiting() == []
    assert spool.rejected() == []
    assert spool.report(RUN_ID) is None
    assert not spool.directory.exists()


def test_a_part_is_alive_while_its_file_is_open_and_not_after(spool: Spool) -> None:
    held = write(spool, "a", EVENTS[:-1])
    (part,) = spool.parts(RUN_ID)
    assert part.is_alive
    assert part.status == "running"
    held.close()
    (part,) = spool.parts(RUN_ID)
    assert part.status == "interrupted"
    assert part.sampled.energy_j == {"cpu": 120.0}


def test_a_part_of_a_killed_process_is_seen_as_such(spool: Spool) -> None:
    script = f"""
import sys, time
from uuid import UUID
from pathlib import Path
from carbon.spool.spool import Spool, encode
from tests.test_carbon_spool_part import EVENTS
held = Spool(Path({str(spool.directory)!r})).open_part(UUID({str(RUN_ID)!r}), "a")
held.append(encode(EVENTS[:-1]))
print("ready", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert spool.parts(RUN_ID)[0].status == "running"
        process.send_signal(signal.SIGKILL)
    assert spool.parts(RUN_ID)[0].status == "interrupted"


def test_a_forked_child_does_not_keep_its_parents_part_alive(spool: Spool) -> None:
    held = write(spool, "a", EVENTS[:-1])
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        time.sleep(0.2)
        held.close()
        assert not spool.parts(RUN_ID)[0].is_alive
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_forked_child_does_not_hold_up_who_waits_for_the_run(spool: Spool) -> None:
    with spool.locked(RUN_ID):
        child = os.fork()
        if child == 0:
            time.sleep(PATIENCE_S)
            os._exit(0)
    try:
        began_s = time.monotonic()
        with spool.locked(RUN_ID):
            assert time.monotonic() - began_s < PATIENCE_S / 2
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_file_that_was_replaced_by_another_takes_no_more(spool: Spool) -> None:
    held = write(spool, "a", [STARTED])
    held.path.unlink()
    with pytest.raises(OSError, match="No such file"):
        held.append("x\n")
    held.path.write_text("")
    with pytest.raises(OSError, match="was replaced"):
        held.append("x\n")


def test_a_torn_last_line_costs_that_line_only(spool: Spool) -> None:
    held = write(spool, "a", EVENTS[:-1])
    held.append('{"kind":"sampled","at_s":3.0,"ener')
    held.close()
    assert spool.parts(RUN_ID)[0].sampled.at_s == 2.0


def test_a_claim_has_one_holder_and_ends_with_it(spool: Spool) -> None:
    write(spool, "a", [STARTED])
    first = spool.claim(RUN_ID, "gpu:GPU-0/x")
    assert first is not None
    assert spool.claim(RUN_ID, "gpu:GPU-0/x") is None
    assert spool.claim(RUN_ID, "host") is not None
    first.close()
    assert spool.claim(RUN_ID, "gpu:GPU-0/x") is not None


def test_a_file_replaced_stays_held_and_goes_on(spool: Spool) -> None:
    held = write(spool, "a", [STARTED, *(Sampled(t, {"cpu": t}, {}, {}) for t in range(100))])
    held.replace(encode([STARTED, Sampled(99.0, {"cpu": 99.0}, {}, {})]))
    held.append(encode([Sampled(100.0, {"cpu": 100.0}, {}, {})]))
    (part,) = spool.parts(RUN_ID)
    assert part.is_alive
    assert part.sampled.at_s == 100.0
    held.append(encode([Ended("completed", 100.0)]))
    held.close()
    (part,) = spool.parts(RUN_ID)
    assert (part.is_alive, part.status) == (False, "completed")


def test_a_report_is_written_whole_and_read_back(spool: Spool) -> None:
    write(spool, "a", EVENTS)
    report = merge(spool.parts(RUN_ID), seq=7)
    # The run's own id is in the report, the folder is the run's.
    report = report.model_copy(update={"run_id": RUN_ID})
    spool.write_report(report)
    assert spool.report(RUN_ID) == report


def test_a_broken_report_is_made_again(spool: Spool) -> None:
    write(spool, "a", EVENTS)
    (spool.directory / "runs" / str(RUN_ID) / "report.json").write_text('{"run_id": ')
    assert spool.report(RUN_ID) is None


def test_a_delivered_run_is_taken_up_by_a_later_attempt(spool: Spool) -> None:
    write(spool, "a", EVENTS).close()
    spool.move(RUN_ID, "delivered")
    assert spool.waiting() == []
    write(spool, "b", EVENTS[:-1])
    assert spool.waiting() == [RUN_ID]
    assert len(spool.parts(RUN_ID)) == 2


def test_delivered_runs_are_forgotten_in_time(spool: Spool) -> None:
    write(spool, "a", EVENTS).close()
    folder = spool.move(RUN_ID, "delivered")
    spool.forget_delivered()
    assert folder.exists()
    spool.forget_delivered(older_than_s=-1)
    assert not folder.exists()


def test_a_refused_run_is_kept_with_its_reason_and_can_be_tried_again(spool: Spool) -> None:
    write(spool, "a", EVENTS).close()
    folder = spool.move(RUN_ID, "rejected", message="no")
    assert spool.rejected() == [folder]
    assert "no" in (folder / "reason.json").read_text()
    spool.take_back_rejected()
    assert spool.rejected() == []
    assert spool.waiting() == [RUN_ID]


def test_an_unusable_spool_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool")
    with pytest.raises(SpoolError, match=r"spool .*file/spool cannot be used.*CARBON_SPOOL_DIR"):
        spool.open_part(RUN_ID, "a")


def test_a_full_disk_leaves_no_half_line() -> None:
    """The file may not grow beyond 600 bytes; what does not fit is not there at all."""
    script = """
import resource, signal, sys, tempfile
from pathlib import Path
from carbon.spool.spool import HeldFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(tempfile.mkdtemp()) / "part"
held = HeldFile.open(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
held.append("x" * 499 + "\\n")
try:
    held.append("y" * 499 + "\\n")
except OSError as error:
    print(type(error).__name__, path.stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
held.append("z" * 9 + "\\n")
print(path.stat().st_size, path.read_text().count("\\n"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "OSError 500\n510 2\n", done.stderr
