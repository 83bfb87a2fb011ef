"""CPU and RAM by CodeCarbon's models, against CodeCarbon's own tracker."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from carbon.meters import codecarbon, processor
from carbon.meters.base import Meter
from carbon.meters.codecarbon import MIN_INTERVAL_S, MOST_UNSEEN, RELUCTANCE_S, HostMeter
from carbon.meters.processor import Processor
from tests.patience import PATIENCE_S

FOUND = Processor("Test CPU", 100.0)


@pytest.fixture
def cache_file(tmp_path: Path) -> Path:
    """A file that spares the seconds of finding out the processor."""
    path = tmp_path / "host.json"
    processor.save(FOUND, path)
    return path


class Clock:
    """A clock that a test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def meter_on(clock: Clock, power_w: float | Exception = 50.0) -> HostMeter:
    def drawn_j(elapsed_s: float) -> float:
        if isinstance(power_w, Exception):
            raise power_w
        return power_w * elapsed_s

    return HostMeter("cpu", "test", 0.1, drawn_j, clock)


# ---------------------------------------------------------------------------------------- the meter


def test_power_adds_up_over_the_time_between_readings() -> None:
    clock = Clock()
    meter = meter_on(clock)
    assert meter.read().energy_j == 0
    for elapsed_s, energy_j in [(1.0, 50.0), (0.5, 75.0), (10.0, 575.0)]:
        clock.now_s += elapsed_s
        reading = meter.read()
        assert reading.at_s == clock.now_s
        assert reading.energy_j == pytest.approx(energy_j)


def test_a_reading_too_soon_is_the_last_one_again() -> None:
    clock = Clock()
    meter = meter_on(clock)
    clock.now_s += 2 * MIN_INTERVAL_S
    first = meter.read()
    clock.now_s += MIN_INTERVAL_S / 2
    assert meter.read() == first
    clock.now_s += MIN_INTERVAL_S
    assert meter.read().energy_j == pytest.approx(50 * (clock.now_s - 100))


def test_the_load_is_looked_at_more_seldom_the_longer_it_goes_on() -> None:
    clock = Clock()
    meter = meter_on(clock)
    looks_s = set()
    for _ in range(600):
        clock.now_s += 0.1
        looks_s.add(round(meter.read().at_s - 100, 1))
    times_s = sorted(looks_s)
    unseen = [late - early for early, late in pairwise(times_s)]
    assert times_s[0] <= 0.2
    assert RELUCTANCE_S <= round(max(unseen), 6) <= RELUCTANCE_S + 0.1
    assert all(
        gap <= max(MOST_UNSEEN * at_s, 0.1) + 0.11
        for gap, at_s in zip(unseen, times_s[1:], strict=True)
    )


def test_a_meter_that_goes_back_stands_still() -> None:
    clock = Clock()
    meter = meter_on(clock, power_w=-5)
    clock.now_s += 1
    assert meter.read().energy_j == 0


@pytest.mark.parametrize("error", [PermissionError("no"), ValueError("no")])
def test_a_failure_is_noted_and_not_raised(error: Exception) -> None:
    clock = Clock()
    meter = meter_on(clock, error)
    clock.now_s += 2.5
    reading = meter.read()
    assert (reading.at_s, reading.energy_j) == (102.5, 0)
    assert meter.note == "no reading after 2.5 s: no"
    clock.now_s += 1
    meter.read()
    assert meter.note == "no reading after 2.5 s: no"


def test_a_closed_meter_stands_still() -> None:
    clock = Clock()
    meter = meter_on(clock)
    clock.now_s += 1
    last = meter.read()
    meter.close()
    clock.now_s += 1
    assert meter.read() == last
    assert meter.utilization_percent() is None


# ----------------------------------------------------------------------------------------- opening


def test_a_cpu_and_a_ram_meter(cache_file: Path) -> None:
    meters: list[Meter] = codecarbon.open_host_meters(cache_file)
    assert [(m.component, m.method) for m in meters] == [
        ("cpu", "codecarbon_cpu_load"),
        ("ram", "codecarbon_ram"),
    ]
    assert [getattr(m, "cpu_model", None) for m in meters] == ["Test CPU", None]
    for meter in meters:
        assert meter.device is None
        assert meter.note is None
        # An estimate says that it is one.
        assert 0.2 <= meter.uncertainty <= 1


def test_the_processor_is_found_out_once_a_host(tmp_path: Path) -> None:
    cache_file = tmp_path / "spool" / "host.json"
    cpu, _ = codecarbon.open_host_meters(cache_file)
    kept = processor.load(cache_file)
    assert kept is not None
    assert getattr(cpu, "cpu_model", None) == kept.model
    # The same as without the detour over another process.
    with codecarbon.quiet():
        assert kept == codecarbon.detect()


def test_without_another_process_it_is_found_out_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For our module alone: what CodeCarbon asks starts a Python of its own.
    nowhere = SimpleNamespace(executable=str(tmp_path / "no python"))
    monkeypatch.setattr("carbon.meters.codecarbon.sys", nowhere)
    codecarbon.open_host_meters(tmp_path / "host.json")
    with codecarbon.quiet():
        assert processor.load(tmp_path / "host.json") == codecarbon.detect()


def test_the_ram_alone_does_not_need_the_processor(tmp_path: Path) -> None:
    meters = codecarbon.open_host_meters(tmp_path / "host.json", ["ram"])
    assert [m.method for m in meters] == ["codecarbon_ram"]
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------- beside CodeCarbon itself

PROGRAM = """
import json, sys, time
from pathlib import Path
import psutil

load, cache_file = json.loads(sys.argv[1]), Path(sys.argv[2])
if load is not None:
    # A machine that has been under this load for ever.
    class Times(psutil.cpu_times().__class__):
        pass
    def cpu_times(percpu=False):
        now, zeros = time.monotonic(), dict.fromkeys(Times._fields, 0.0)
        return Times(**zeros | {"user": load * now, "idle": (1 - load) * now})
    psutil.cpu_times = cpu_times

from codecarbon import OfflineEmissionsTracker
from carbon.meters import codecarbon

tracker = OfflineEmissionsTracker(
    country_iso_code="DEU", output_methods=[], measure_power_secs=1, log_level="critical",
    allow_multiple_runs=True, gpu_ids=[],
)
meters = codecarbon.open_host_meters(cache_file)
tracker.start()
first = [m.read() for m in meters]
last = first
while any(b.at_s - a.at_s < 1 for a, b in zip(first, last)):
    time.sleep(0.4)
    last = [m.read() for m in meters]
tracker.stop()
data = tracker.final_emissions_data
print(json.dumps({
    "theirs_w": {"cpu": data.cpu_power, "ram": data.ram_power},
    "their_energy_ratio": data.cpu_energy / data.ram_energy,
    "ours_w": {m.component: (b.energy_j - a.energy_j) / (b.at_s - a.at_s)
               for m, a, b in zip(meters, first, last)},
    "max_power_w": codecarbon.processor.load(cache_file).max_power_w,
}))
"""


def beside_codecarbon(tmp_path: Path, load: float | None) -> dict[str, Any]:
    cache_file = tmp_path / "host.json"
    with codecarbon.quiet():
        processor.save(codecarbon.detect(), cache_file)
    return run_program(
        PROGRAM,
        json.dumps(load),
        str(cache_file),
        folder=tmp_path,
        CODECARBON_LOG_LEVEL="critical",
    )


def run_program(program: str, *arguments: str, folder: Path, **environ: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return cast(dict[str, Any], json.loads(result.stdout))


@pytest.mark.parametrize("load", [0.0, 0.7])
def test_the_same_load_gives_the_same_energy(tmp_path: Path, load: float) -> None:
    seen = beside_codecarbon(tmp_path, load)
    assert seen["ours_w"]["cpu"] == pytest.approx(seen["max_power_w"] * (0.1 + 0.9 * load**3))
    assert seen["theirs_w"] == pytest.approx(seen["ours_w"], rel=1e-3)
    # Not energy over duration: its duration goes on while it stops.
    our_ratio = seen["ours_w"]["cpu"] / seen["ours_w"]["ram"]
    assert seen["their_energy_ratio"] == pytest.approx(our_ratio, rel=0.05)


def test_on_this_machine_as_it_is(tmp_path: Path) -> None:
    seen = beside_codecarbon(tmp_path, None)
    assert seen["theirs_w"]["ram"] == pytest.approx(seen["ours_w"]["ram"], rel=1e-3)
    for figures in (seen["ours_w"], seen["theirs_w"]):
        assert 0.09 * seen["max_power_w"] <= figures["cpu"] <= 1.01 * seen["max_power_w"]


# ------------------------------------------------------------------------------------------ manners


def test_nothing_is_printed_written_or_started(cache_file: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    seen = run_program(
        """
import json, os, sys, threading, time
from pathlib import Path
from carbon.meters import codecarbon
meters = codecarbon.open_host_meters(Path(sys.argv[1]))
time.sleep(0.2)
print(json.dumps({
    "energies": [m.read().energy_j for m in meters],
    "threads": threading.active_count(),
    "files": os.listdir(),
}))
""",
        str(cache_file),
        folder=empty,
        HOME=str(empty),
    )
    assert all(energy_j > 0 for energy_j in seen.pop("energies"))
    assert seen == {"threads": 1, "files": []}


def test_a_broken_amdsmi_is_not_heard(tmp_path: Path) -> None:
    # As the package does without its library: it prints, and fails with a bare KeyError.
    (tmp_path / "amdsmi.py").write_text("print('Unable to find libamd_smi.so')\n{}['lib']\n")
    cache_file = tmp_path / "host.json"
    seen = run_program(
        """
import json, sys
from pathlib import Path
from carbon.meters import codecarbon
print(json.dumps({"components": [m.component for m in
                                 codecarbon.open_host_meters(Path(sys.argv[1]))]}))
""",
        str(cache_file),
        folder=tmp_path,
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    )
    assert seen["components"] == ["cpu", "ram"]
    assert processor.load(cache_file) is not None


def test_a_slurm_job_in_a_container_is_measured_too(cache_file: Path, tmp_path: Path) -> None:
    # CodeCarbon wants `scontrol`, which containers do not have.
    seen = run_program(
        """
import json, sys
from pathlib import Path
from carbon.meters import codecarbon
print(json.dumps({"components": [m.component for m in
                                 codecarbon.open_host_meters(Path(sys.argv[1]))]}))
""",
        str(cache_file),
        folder=tmp_path,
        SLURM_JOB_ID="17",
        PATH=str(tmp_path),
    )
    assert seen["components"] == ["cpu", "ram"]


@pytest.fixture
def codecarbon_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("codecarbon")
    before = logger.level, logger.handlers[:], logger.propagate, logger.filters[:]
    yield logger
    logger.level, logger.handlers, logger.propagate, logger.filters = before


def test_the_program_s_own_log_settings_stay(
    codecarbon_logger: logging.Logger, cache_file: Path
) -> None:
    handler = logging.NullHandler()
    codecarbon_logger.handlers, codecarbon_logger.propagate = [handler], True
    codecarbon_logger.setLevel(logging.ERROR)
    for meter in codecarbon.open_host_meters(cache_file):
        meter.read()
    assert codecarbon_logger.handlers == [handler]
    assert codecarbon_logger.filters == []
    assert (codecarbon_logger.level, codecarbon_logger.propagate) == (logging.ERROR, True)


def test_log_settings_made_before_the_first_import_stay(cache_file: Path, tmp_path: Path) -> None:
    seen = run_program(
        """
import json, logging, sys
from pathlib import Path
logger = logging.getLogger("codecarbon")
logger.setLevel("ERROR")
logger.addHandler(logging.NullHandler())
before = logger.handlers[:]
from carbon.meters import codecarbon
codecarbon.open_host_meters(Path(sys.argv[1]))
print(json.dumps({"level": logger.level, "handlers": logger.handlers == before}))
""",
        str(cache_file),
        folder=tmp_path,
    )
    assert seen == {"level": logging.ERROR, "handlers": True}


def test_only_this_thread_is_quiet(codecarbon_logger: logging.Logger) -> None:
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    codecarbon_logger.handlers = [handler]
    codecarbon_logger.setLevel(logging.INFO)
    with codecarbon.quiet():
        codecarbon_logger.warning("of ours")
        other = threading.Thread(target=codecarbon_logger.warning, args=["of the program's"])
        other.start()
        other.join()
    codecarbon_logger.warning("afterwards")
    assert seen == ["of the program's", "afterwards"]
