"""AMD GPUs, against an object with the functions, answers and exceptions of amdsmi."""

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.meters import amd
from carbon.meters.amd import AmdMeter
from carbon.meters.amd_sources import MAX_BOARD_POWER_W
from tests.fixtures import amdsmi
from tests.fixtures.amdsmi import FakeAmdSmi, FakeGpu, mi250x
from tests.fixtures.sysfs import Clock


@pytest.fixture
def clock() -> Clock:
    """A clock at 100 s."""
    return Clock()


def gpus(count: int) -> list[FakeGpu]:
    """So many MI210, each 100 W more than the one before."""
    return [
        FakeGpu(
            power_w=100.0 * (i + 1),
            serial=f"0x{0xBB00 + i:016X}",
            bdf=f"0000:{i + 1:02x}:00.0",
            uuid=f"{i:02x}ff740f-0000-1000-8000-000000000000",
            node=i + 2,
        )
        for i in range(count)
    ]


def only(meters: list[AmdMeter]) -> AmdMeter:
    assert len(meters) == 1
    return meters[0]


def indices(meters: list[AmdMeter]) -> list[int]:
    return [meter.device.index for meter in meters if meter.device]


# ------------------------------------------------------------------------------------- the sources


def test_the_counter_is_scaled_by_its_resolution(clock: Clock) -> None:
    meter = only(amd.open_meters({}, FakeAmdSmi([FakeGpu()], clock), clock))
    assert (meter.method, meter.poll_interval_s, meter.note) == ("amdsmi_counter", None, None)
    assert meter.device is not None
    assert (meter.device.uuid, meter.device.index, meter.device.name) == (
        "cfff740f-0000-1000-8011-82f2988c0a4c",
        0,
        "AMD Instinct MI210",
    )
    clock.now_s += 60
    reading = meter.read()
    assert reading.at_s == 160
    assert reading.energy_j == pytest.approx(18_000, abs=1e-3)
    assert meter.utilization_percent() == 50
    clock.now_s += 0.05
    assert meter.read() is reading


@pytest.mark.parametrize("key", ["current_socket_power", "average_socket_power", "socket_power"])
def test_without_a_counter_power_is_integrated(clock: Clock, key: str) -> None:
    gpu = FakeGpu(power_w=100, counter_start=None, power_key=key)
    meter = only(amd.open_meters({}, FakeAmdSmi([gpu], clock), clock))
    assert meter.method == "amdsmi_power"
    assert meter.poll_interval_s is not None
    for power_w in (200, 300, 100):
        clock.now_s += 1
        gpu.power_w = power_w
        meter.read()
    assert meter.read().energy_j == pytest.approx(150 + 250 + 200)


def test_a_counter_at_nothing_gives_way_to_power(clock: Clock) -> None:
    meter = only(amd.open_meters({}, FakeAmdSmi([FakeGpu(counter_start=0)], clock), clock))
    assert meter.method == "amdsmi_power"


def test_a_counter_that_stands_still_is_marked(clock: Clock) -> None:
    meter = only(amd.open_meters({}, FakeAmdSmi([FakeGpu(stuck=True)], clock), clock))
    clock.now_s += 4
    meter.read()
    assert meter.note is None
    clock.now_s += 2
    assert meter.read().energy_j == 0
    assert meter.note == "the energy counter stands still after 0.0 s, at 300 W"


def test_a_counter_that_restarts_loses_one_reading(clock: Clock) -> None:
    gpu = FakeGpu(counter_start=10**12)
    smi = FakeAmdSmi([gpu], clock)
    meter = only(amd.open_meters({}, smi, clock))
    clock.now_s += 1
    assert meter.read().energy_j == pytest.approx(300, abs=1e-3)
    gpu.counter_start, smi.began_s = 0, clock.now_s
    clock.now_s += 1
    assert meter.read().energy_j == pytest.approx(600, abs=1e-3)
    assert meter.note == "the energy counter restarted after 2.0 s"


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.integers(0, 2**64 - 1)), max_size=30),
    st.integers(1, 2**64 - 1),
)
def test_no_count_is_negative_or_huge(steps: list[tuple[float, int]], start: int) -> None:
    clock = Clock()
    gpu = FakeGpu(counter_start=start, stuck=True)
    meter = only(amd.open_meters({}, FakeAmdSmi([gpu], clock), clock))
    last = meter.read()
    for gap_s, count in steps:
        clock.now_s += gap_s
        gpu.counter_start = count
        now = meter.read()
        drawn_j = now.energy_j - last.energy_j
        assert 0 <= drawn_j <= MAX_BOARD_POWER_W * (now.at_s - last.at_s + 1.001)
        last = now


def test_a_gpu_that_fails_keeps_what_it_had(clock: Clock) -> None:
    gpu = FakeGpu()
    meter = only(amd.open_meters({}, FakeAmdSmi([gpu], clock), clock))
    clock.now_s += 1
    meter.read()
    gpu.fails_with = amdsmi.NOT_FOUND
    clock.now_s += 1
    reading = meter.read()
    assert reading.at_s == 102
    assert reading.energy_j == pytest.approx(300, abs=1e-3)
    assert meter.note == "no reading after 2.0 s: the GPU is not there any more"
    # The counter went on counting meanwhile.
    gpu.fails_with = None
    clock.now_s += 1
    assert meter.read().energy_j == pytest.approx(900, abs=1e-3)
    assert meter.note is None


def test_a_library_that_the_program_shuts_down(clock: Clock) -> None:
    smi = FakeAmdSmi([FakeGpu()], clock)
    meter = only(amd.open_meters({}, smi, clock))
    smi.amdsmi_shut_down()
    clock.now_s += 1
    assert meter.read().energy_j == 0
    assert meter.note == (
        "no reading after 1.0 s: amdsmi was shut down by another part of the program"
    )
    assert meter.utilization_percent() is None
    smi.amdsmi_init()
    clock.now_s += 1
    assert meter.read().energy_j == pytest.approx(600, abs=1e-3)


def test_a_closed_meter_stands_still(clock: Clock) -> None:
    smi = FakeAmdSmi([FakeGpu()], clock)
    meter = only(amd.open_meters({}, smi, clock))
    clock.now_s += 1
    last = meter.read()
    meter.close()
    clock.now_s += 1
    assert meter.read() is last
    assert meter.utilization_percent() is None
    # PyTorch may be using it.
    assert smi.is_initialized


# --------------------------------------------------------------------------------------- the cards


def test_the_two_dies_of_a_card_are_counted_once(clock: Clock) -> None:
    dies = [mi250x(i, is_second=bool(i % 2)) for i in range(8)]
    meters = amd.open_meters({}, FakeAmdSmi(dies, clock), clock)
    assert indices(meters) == [0, 2, 4, 6]
    clock.now_s += 10
    assert [m.read().energy_j for m in meters] == pytest.approx([4000] * 4, abs=1e-3)
    assert meters[1].note == "GPUs 2, 3 are one card and have one meter"
    assert meters[1].utilization_percent() == 60
    assert amd.explain({}, FakeAmdSmi(dies, clock)) is None


@pytest.mark.parametrize("visible", ["0", "1", "0,1", "1,0"])
def test_a_die_stands_for_its_card(clock: Clock, visible: str) -> None:
    dies = [mi250x(i, is_second=bool(i % 2)) for i in range(4)]
    environ = {"ROCR_VISIBLE_DEVICES": visible}
    meters = amd.open_meters(environ, FakeAmdSmi(dies, clock), clock)
    assert indices(meters) == [0]


def test_dies_that_each_show_their_energy_are_two(clock: Clock) -> None:
    dies = [mi250x(0, is_second=False), mi250x(1, is_second=False)]
    assert indices(amd.open_meters({}, FakeAmdSmi(dies, clock), clock)) == [0, 1]


@pytest.mark.parametrize("shows", [True, False])
def test_partitions_are_one_gpu(clock: Clock, shows: bool) -> None:
    parts = [
        FakeGpu(
            bdf=f"0000:05:00.{part}",
            partition=part,
            counter_start=7 if shows or not part else 0,
            power_w=300 if shows or not part else None,
        )
        for part in range(4)
    ]
    meter = only(amd.open_meters({}, FakeAmdSmi(parts, clock), clock))
    assert meter.note == "GPUs 0, 1, 2, 3 are one card and have one meter"


def test_a_silent_gpu_of_another_kind_is_said_to_be_missing(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pair = gpus(2)
    pair[1].counter_start = pair[1].power_w = None
    smi = FakeAmdSmi(pair, clock)
    assert indices(amd.open_meters({}, smi, clock)) == [0]
    why = "GPU 1 (AMD Instinct MI210) is not metered: the GPU does not tell its power"
    assert why in caplog.text
    assert amd.explain({}, smi) == why


def test_an_integrated_gpu_is_a_part_of_the_processor(clock: Clock) -> None:
    gpu = FakeGpu(name="AMD Radeon 780M Graphics", counter_start=None, power_w=25)
    assert "the processor it is a part of" in (amd.explain({}, FakeAmdSmi([gpu], clock)) or "")


# -------------------------------------------------------------------------------- which are visible


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"ROCR_VISIBLE_DEVICES": "1,2"}, [1, 2]),
        ({"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}, [2]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-000000000000bb03"}, [3]),
        ({"CUDA_VISIBLE_DEVICES": "0"}, [0]),
    ],
)
def test_what_the_process_may_use(
    clock: Clock, environ: dict[str, str], expected: list[int]
) -> None:
    meters = amd.open_meters(environ, FakeAmdSmi(gpus(4), clock), clock)
    assert indices(meters) == expected


def test_indices_are_the_runtime_s(clock: Clock) -> None:
    four = gpus(4)
    for gpu, node in zip(four, (5, 4, 3, 2), strict=True):
        gpu.node = node
    environ = {"ROCR_VISIBLE_DEVICES": "0"}
    assert indices(amd.open_meters(environ, FakeAmdSmi(four, clock), clock)) == [3]
    four[0].node = "N/A"
    assert indices(amd.open_meters(environ, FakeAmdSmi(four, clock), clock)) == [0]


@pytest.mark.parametrize("count", [1, 2, 8, 16])
def test_every_number_of_gpus(clock: Clock, count: int) -> None:
    meters = amd.open_meters({}, FakeAmdSmi(gpus(count), clock), clock)
    clock.now_s += 10
    expected = [1000 * (i + 1) for i in range(count)]
    assert [m.read().energy_j for m in meters] == pytest.approx(expected, abs=1e-3)


def test_gpus_without_a_serial_or_a_uuid_of_their_own(clock: Clock) -> None:
    pair = [FakeGpu(serial="N/A"), FakeGpu(serial="N/A", bdf="0000:c6:00.0")]
    meters = amd.open_meters({}, FakeAmdSmi(pair, clock), clock)
    assert len({m.device.uuid for m in meters if m.device}) == 2


# ----------------------------------------------------------------------------- why nothing is there


@pytest.mark.parametrize(
    ("smi_gpus", "init_error", "environ", "why"),
    [
        ([FakeGpu()], 0, {"ROCR_VISIBLE_DEVICES": ""}, "ROCR_VISIBLE_DEVICES='' hides all 1 AMD"),
        ([], 0, {}, "amdsmi finds no AMD GPU"),
        ([FakeGpu()], amdsmi.NO_DRIVER, {}, "the amdgpu driver is not loaded"),
        ([FakeGpu()], 55, {}, "amdsmi error 55, AMDSMI_STATUS_55"),
        ([FakeGpu(fails_with=amdsmi.NO_PERM)], 0, {}, "groups `render` and `video`"),
    ],
)
def test_why_nothing_is_metered(
    clock: Clock, smi_gpus: list[FakeGpu], init_error: int, environ: dict[str, str], why: str
) -> None:
    smi = FakeAmdSmi(smi_gpus, clock, init_error)
    assert amd.open_meters(environ, smi, clock) == []
    assert why in (amd.explain(environ, smi) or "")


def test_a_machine_without_the_driver(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    driver = tmp_path / "amdgpu"
    assert amd.open_meters({}, driver=driver) == []
    assert amd.explain({}, driver=driver) == "no AMD GPU driver (amdgpu) is loaded on this machine"
    assert caplog.text == ""


def test_a_machine_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert amd.open_meters({}, driver=tmp_path) == []
    assert "`pip install amdsmi`" in (amd.explain({}, driver=tmp_path) or "")


def test_a_package_without_its_library_says_nothing_to_the_training(tmp_path: Path) -> None:
    # As the package does: it prints, and fails with a bare KeyError.
    package = tmp_path / "amdsmi"
    package.mkdir()
    (package / "__init__.py").write_text("print('Unable to find libamd_smi.so')\n{}['lib']\n")
    program = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from carbon.meters import amd
before = sys.stdout
assert amd.open_meters({}, driver=Path(sys.argv[1])) == []
assert sys.stdout is before
print(amd.explain({}, driver=Path(sys.argv[1])))
"""
    said = subprocess.check_output([sys.executable, "-c", program, str(tmp_path)], text=True)
    assert said.startswith("amdsmi cannot be loaded: libamd_smi.so of ROCm is missing")
    assert said.count("\n") == 1
