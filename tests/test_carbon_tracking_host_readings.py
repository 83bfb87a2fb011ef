"""What the host does, as psutil tells it: a machine that can be told to say anything."""

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from carbon.schema import SERIES_NAMES
from carbon.tracking import host_readings
from carbon.tracking.host_readings import HostReadings

Times = namedtuple("Times", "user nice system idle iowait irq softirq steal guest guest_nice")
Traffic = namedtuple("Traffic", "bytes_sent bytes_recv")


class Machine:
    """In the place of psutil."""

    def __init__(self) -> None:
        self.times = Times(10.0, 0.0, 5.0, 80.0, 5.0, 0.0, 0.0, 0.0, 2.0, 0.0)
        self.frequency: Any = SimpleNamespace(current=2600.0)
        self.available = 12 * 2**30
        self.traffic: Any = {"lo": Traffic(10**9, 10**9), "eth0": Traffic(5 * 10**6, 10**6)}

    def cpu_times(self) -> Times:
        return self.times

    def cpu_freq(self) -> Any:
        return self.frequency

    def virtual_memory(self) -> Any:
        return SimpleNamespace(total=16 * 2**30, available=self.available)

    def net_io_counters(self, pernic: bool, nowrap: bool) -> Any:
        assert pernic
        assert not nowrap
        return self.traffic


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(host_readings, "_has_hardware", lambda name: name.startswith("en"))
    return Machine()


def test_rates_are_means_since_the_reading_before(machine: Machine) -> None:
    readings = HostReadings(SERIES_NAMES, machine)
    assert readings.read(100.0) == {"cpu_frequency": 2600.0, "ram_used": 4.0}
    # 30 s of CPU time more, 20 of them idle and 4 waiting for a disk; a guest's are in user.
    machine.times = Times(13.0, 1.0, 7.0, 100.0, 9.0, 0.0, 0.0, 0.0, 4.0, 0.0)
    machine.traffic = {"lo": Traffic(10**10, 10**10), "eth0": Traffic(25 * 10**6, 3 * 10**6)}
    found = readings.read(110.0)
    assert found["cpu_utilization"] == pytest.approx(100 * 6 / 30)
    assert found["network_sent"] == pytest.approx(2.0)
    assert found["network_received"] == pytest.approx(0.2)


def test_a_port_and_its_bridge_count_once(machine: Machine) -> None:
    names = ("lo", "enp1s0", "enp2s0", "bond0", "docker0", "veth1")
    machine.traffic = {name: Traffic(0, 0) for name in names}
    readings = HostReadings(SERIES_NAMES, machine)
    readings.read(0.0)
    machine.traffic = {name: Traffic(10**6, 0) for name in names}
    assert readings.read(1.0)["network_sent"] == pytest.approx(2.0)


def test_a_counter_that_began_anew_says_nothing_once(machine: Machine) -> None:
    readings = HostReadings(["network_sent"], machine)
    readings.read(0.0)
    machine.traffic = {"eth0": Traffic(10**6, 0)}
    assert readings.read(1.0) == {}
    machine.traffic = {"eth0": Traffic(3 * 10**6, 0)}
    assert readings.read(2.0) == {"network_sent": pytest.approx(2.0)}


@pytest.mark.parametrize("frequency", [None, SimpleNamespace(current=0.0)])
def test_a_machine_that_does_not_tell_its_clock_has_none(machine: Machine, frequency: Any) -> None:
    machine.frequency = frequency
    assert HostReadings(["cpu_frequency"], machine).read(0.0) == {}


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError(), KeyError("MemTotal")])
def test_a_reading_that_fails_is_left_out_and_the_others_are_there(
    machine: Machine, error: Exception
) -> None:
    def fail() -> None:
        raise error

    machine.virtual_memory = fail  # type: ignore[method-assign]
    readings = HostReadings(["ram_used", "cpu_frequency"], machine)
    for moment in (0.0, 1.0):
        assert readings.read(moment) == {"cpu_frequency": 2600.0}


def test_no_interfaces_is_no_traffic_told(machine: Machine) -> None:
    machine.traffic = {}
    assert HostReadings(["network_sent", "network_received"], machine).read(0.0) == {}


def test_only_what_was_chosen_is_read(machine: Machine) -> None:
    assert HostReadings(["gpu_power"], machine).read(0.0) == {}
    assert HostReadings(["ram_used"], machine).read(0.0).keys() == {"ram_used"}


def test_this_machine_answers() -> None:
    readings = HostReadings(SERIES_NAMES)
    found = readings.read(0.0)
    total_gib = psutil.virtual_memory().total / 2**30
    assert 0 < found["ram_used"] < total_gib
