"""Which meters a host gets, by what it has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from carbon import track
from carbon.meters import codecarbon, host, jetson, processor
from carbon.meters.base import Meter, Reading
from carbon.meters.processor import Processor
from carbon.settings import Settings
from carbon.tracking import metering
from carbon.tracking.metering import Sources
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.sysfs import Clock, Jetson, Powercap
from tests.fixtures.tracking import SteadyMeter, joules, wait_until

J = 1_000_000


@pytest.fixture
def powercap(tmp_path: Path) -> Powercap:
    """A tree without a domain."""
    return Powercap(tmp_path / "powercap")


@pytest.fixture
def cache_file(tmp_path: Path) -> Path:
    """A file that spares the seconds of finding out the processor."""
    path = tmp_path / "host.json"
    processor.save(Processor("Test CPU", 100.0), path)
    return path


def methods(meters: list[Meter]) -> dict[str, str]:
    found: dict[str, str] = {meter.component: meter.method for meter in meters}
    assert len(found) == len(meters), "a component is metered twice"
    return found


def test_without_counters_both_are_estimated(powercap: Powercap, cache_file: Path) -> None:
    found = methods(host.open_meters(cache_file, powercap=powercap.folder))
    assert found == {"cpu": "codecarbon_cpu_load", "ram": "codecarbon_ram"}


def test_counters_come_first(powercap: Powercap) -> None:
    powercap.add("0", "package-0", J)
    powercap.add("0:0", "dram", J)
    program = """
import json, sys
from pathlib import Path
from carbon.meters import host
meters = host.open_meters(None, powercap=Path(sys.argv[1]))
print(json.dumps([[m.method for m in meters], "codecarbon" in sys.modules]))
"""
    said = subprocess.check_output([sys.executable, "-c", program, str(powercap.folder)])
    assert json.loads(said) == [["rapl", "rapl_dram"], False]


def test_ram_without_a_counter_is_estimated_and_nothing_is_looked_up(
    powercap: Powercap, tmp_path: Path
) -> None:
    powercap.add("0", "package-0", J)
    cache_file = tmp_path / "host.json"
    found = methods(host.open_meters(cache_file, powercap=powercap.folder))
    assert found == {"cpu": "rapl", "ram": "codecarbon_ram"}
    assert not cache_file.exists()


def test_a_counter_that_cannot_be_read_is_estimated(powercap: Powercap, cache_file: Path) -> None:
    powercap.add("0", "package-0", J)
    powercap.add("0:0", "dram", J)
    powercap.break_counter("0")
    found = methods(host.open_meters(cache_file, powercap=powercap.folder))
    assert found == {"cpu": "codecarbon_cpu_load", "ram": "rapl_dram"}


def test_what_is_metered_stays_where_the_estimate_fails(
    powercap: Powercap, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> list[Meter]:
        raise ImportError("no codecarbon")

    monkeypatch.setattr(codecarbon, "open_host_meters", broken)
    with pytest.raises(ImportError):
        host.open_meters(None, powercap=powercap.folder)
    powercap.add("0", "package-0", J)
    assert methods(host.open_meters(None, powercap=powercap.folder)) == {"cpu": "rapl"}
    assert "RAM energy is not measured: no codecarbon" in caplog.text


def test_a_jetson_s_rails_are_all_there_is(powercap: Powercap, tmp_path: Path) -> None:
    powercap.add("0", "package-0", J)
    nano = Jetson(tmp_path / "nano")
    nano.add_iio("6-0040", "POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU")
    board = jetson.open_board(nano.root, Clock())
    # The memory of a Nano has no rail: it is a part of the input, and is not estimated beside it.
    assert methods(host.open_meters(None, board, powercap=powercap.folder)) == {
        "cpu": "jetson_ina3221"
    }


def test_a_board_with_a_gpu_rail_alone_leaves_the_rest_to_others(
    powercap: Powercap, cache_file: Path, tmp_path: Path
) -> None:
    bare = Jetson(tmp_path / "bare")
    bare.add_hwmon("1-0040", "VDD_GPU")
    board = jetson.open_board(bare.root, Clock())
    found = methods(host.open_meters(cache_file, board, powercap=powercap.folder))
    assert found == {"cpu": "codecarbon_cpu_load", "ram": "codecarbon_ram"}


# ----------------------------------------------------------------------------- in the whole tracker


def test_on_a_jetson_nvml_is_not_asked(
    simulated_gpus_here: MakeGpus,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    simulated_gpus_here(1)
    orin = Jetson(tmp_path / "orin")
    orin.add_hwmon("1-0040", "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
    orin.set(VDD_GPU_SOC=20_000, VDD_CPU_CV=6_000, VIN_SYS_5V0=4_000)
    board = jetson.open_board(orin.root)
    monkeypatch.setattr(jetson, "is_jetson", lambda: True)
    monkeypatch.setattr(jetson, "open_board", lambda: board)
    with track("p", settings=settings, sources=metering.machine_sources(settings)) as run:
        wait_until(lambda: (run.report.cpu_energy_kwh or 0) > 0)
    report = run.report
    assert (report.gpu_energy_method, report.cpu_energy_method, report.ram_energy_kwh) == (
        "jetson_ina3221",
        "jetson_ina3221",
        None,
    )
    (device,) = report.nodes[0].devices
    assert device.name == "NVIDIA Jetson AGX Orin Developer Kit"
    assert device.note == "rail VDD_GPU_SOC also supplies SOC"
    assert report.nodes[0].cpu_model == "NVIDIA Jetson AGX Orin Developer Kit"
    assert joules(report) == pytest.approx(30 * report.duration_s, rel=1e-3)
    assert caplog.text == ""


class CountingMeter(SteadyMeter):
    """A CPU's meter that has to be read often."""

    poll_interval_s: float | None = 0.02
    reads = 0

    def read(self) -> Reading:
        self.reads += 1
        return super().read()


def test_a_meter_of_the_cpu_is_read_as_often_as_it_asks_for(settings: Settings) -> None:
    cpu = CountingMeter("cpu", 50.0)
    settings = settings.model_copy(update={"sample_interval_s": 60.0})
    with track("p", settings=settings, sources=Sources(list, lambda: [cpu])):
        wait_until(lambda: cpu.reads > 10)


def test_a_meter_that_is_opened_later_is_read_at_once(settings: Settings) -> None:
    cpu = CountingMeter("cpu", 50.0)
    cpu.poll_interval_s = None
    settings = settings.model_copy(update={"sample_interval_s": 60.0})
    with track("p", settings=settings, sources=Sources(list, lambda: [cpu])):
        wait_until(lambda: cpu.reads > 0)
