"""NVIDIA GPUs: `nvidia-ml-py` and our meter on the simulated driver, against the true integral."""

import json
import logging
import os
import random
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pynvml
import pytest

from carbon.meters import nvml
from carbon.meters.base import DeviceInfo, Meter
from carbon.meters.nvml_sources import MAX_BOARD_POWER_W
from carbon.tracking.window import MeterWindow
from tests.fixtures.nvml import MakeGpus
from tests.nvml_sim.curve import SquareWave
from tests.nvml_sim.gpus import (
    GPU_IS_LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    TIMEOUT,
    VERSION_MISMATCH,
    MigSlice,
    SimulatedGpus,
)
from tests.patience import PATIENCE_S

FLAT = (SquareWave(base_w=200, peak_w=200, period_s=1, duty=0.5),)


def open_on(gpus: SimulatedGpus, environ: dict[str, str] | None = None) -> list[nvml.NvmlMeter]:
    """Open the meters on a clock that moves by `skip` alone."""
    gpus.freeze()
    return nvml.open_meters(environ or {}, clock=gpus.clock)


def run_for(gpus: SimulatedGpus, meters: list[nvml.NvmlMeter], duration_s: float) -> None:
    """Let time pass and read the meters as often as they ask for, never quite regularly."""
    jitter = random.Random(1)
    end_s = gpus.clock() + duration_s
    while gpus.clock() < end_s:
        interval_s = min(meter.poll_interval_s or 1.0 for meter in meters)
        gpus.skip(min(interval_s * jitter.uniform(0.9, 1.3), max(end_s - gpus.clock(), 0)))
        for meter in meters:
            meter.read()


def opened_on(gpus: SimulatedGpus) -> tuple[list[nvml.NvmlMeter], list[MeterWindow]]:
    """Open the meters, each with a window that begins at this moment."""
    meters = open_on(gpus)
    windows = [MeterWindow(meter, gpus.clock(), clock=gpus.clock) for meter in meters]
    for window in windows:
        window.read()
    return meters, windows


def watch(gpus: SimulatedGpus, windows: list[MeterWindow], duration_s: float) -> None:
    """Let time pass and read the windows once a second and whenever their meters ask for it."""
    end_s = gpus.clock() + duration_s
    while gpus.clock() < end_s:
        due_s = min(end_s, gpus.clock() + 1, *(window.next_poll_s for window in windows))
        gpus.skip(max(due_s - gpus.clock(), 1e-4))
        for window in windows:
            window.read()


# ------------------------------------------------------------------------------------- what is open


@pytest.mark.parametrize("count", range(1, 17))
def test_one_meter_a_gpu(simulated_gpus_here: MakeGpus, count: int) -> None:
    gpus = simulated_gpus_here(count)
    meters: list[Meter] = list(open_on(gpus))
    assert [meter.device for meter in meters] == [
        DeviceInfo(uuid, index, "Simulated A100") for index, uuid in enumerate(gpus.uuids)
    ]
    for meter in meters:
        assert (meter.component, meter.method, meter.note) == ("gpu", "nvml_counter", None)
        assert 0 < meter.uncertainty < 1
    run_for(gpus, cast(list[nvml.NvmlMeter], meters), 1)
    assert {meter.poll_interval_s for meter in meters} == {None}


@pytest.mark.parametrize(
    ("visible", "expected"), [("", []), ("1", [1]), ("2,0", [2, 0]), ("-1", []), ("7", [])]
)
def test_only_visible_gpus(
    simulated_gpus_here: MakeGpus, visible: str, expected: list[int]
) -> None:
    gpus = simulated_gpus_here(3)
    meters = open_on(gpus, {"CUDA_VISIBLE_DEVICES": visible})
    assert [meter.device and meter.device.index for meter in meters] == expected


def test_visible_by_uuid(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(3)
    for uuid in gpus.uuids:
        for form in (uuid, uuid[:12]):
            meters = open_on(gpus, {"CUDA_VISIBLE_DEVICES": form})
            assert [meter.device and meter.device.uuid for meter in meters] == [uuid]


def test_the_library_is_given_back(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(2)
    for meter in open_on(gpus):
        meter.close()
        meter.close()
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetCount()


def test_the_library_stays_open_for_others(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(2)
    pynvml.nvmlInit()  # As the training does.
    first, second = open_on(gpus)
    first.close()
    assert second.utilization_percent() == 70
    second.close()
    assert pynvml.nvmlDeviceGetCount() == 2
    pynvml.nvmlShutdown()


# ---------------------------------------------------------------------------- how often it is asked


def test_without_a_counter_power_is_integrated(simulated_gpus_here: MakeGpus) -> None:
    meter = open_on(simulated_gpus_here(1, energy_error=NOT_SUPPORTED))[0]
    assert meter.method == "nvml_power"
    assert meter.poll_interval_s is not None
    assert not meter.is_following
    assert meter.uncertainty > open_on(simulated_gpus_here(1))[0].uncertainty


def test_present_power_is_preferred_to_its_mean(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(
        1,
        waves=[SquareWave(base_w=0, peak_w=300, period_s=1e6, duty=0.5, phase_s=-1002)],
        energy_error=NOT_SUPPORTED,
        power_average_s=1.0,
    )
    meters = open_on(gpus)
    begin = meters[0].read()
    run_for(gpus, meters, 4)  # The GPU starts to draw after two of them.
    end = meters[0].read()
    assert end.energy_j == pytest.approx(gpus.energy_j(0, begin.at_s, end.at_s), rel=0.02)


@pytest.mark.parametrize(
    ("name", "architecture", "is_averaged"),
    [
        ("Tesla V100-SXM2-16GB", 5, False),
        ("NVIDIA A100-SXM4-40GB", 7, False),
        ("NVIDIA A100X", 7, False),
        ("NVIDIA A30", 7, False),
        ("NVIDIA A800 80GB PCIe", 7, False),
        ("NVIDIA A40", 7, True),
        ("NVIDIA A10", 7, True),
        ("NVIDIA GeForce RTX 3090", 7, True),
        ("NVIDIA L4", 8, True),
        ("NVIDIA H100 PCIe", 9, True),
        ("A driver without that query", 0, False),
    ],
)
def test_a_mean_of_the_last_second_is_put_half_a_second_ago(
    simulated_gpus_here: MakeGpus, name: str, architecture: int, is_averaged: bool
) -> None:
    gpus = simulated_gpus_here(
        1,
        name=name,
        architecture=architecture,
        energy_error=NOT_SUPPORTED,
        has_instant_power=False,
    )
    reading = open_on(gpus)[0].read()
    assert reading.at_s == gpus.clock()
    assert reading.is_final != is_averaged
    assert [earlier.at_s for earlier in reading.earlier] == [gpus.clock() - 0.5] * is_averaged


def test_ticks_are_looked_for_at_the_start_and_when_asked(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(1, counter_step_ms=100)
    meter = open_on(gpus)[0]
    for _ in range(2):
        assert meter.is_following
        asked_s = gpus.clock()
        run_for(gpus, [meter], 0.35)
        assert not meter.is_following
        assert meter.read().at_s > asked_s
        meter.follow(gpus.clock())
    meter.close()
    assert not meter.is_following


def test_a_counter_is_not_asked_more_often_than_it_moves(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(1)
    meter = open_on(gpus)[0]
    run_for(gpus, [meter], 1)
    gpus.skip(1)
    first = meter.read()
    assert meter.read() == first
    gpus.skip(0.2)
    assert meter.read().at_s > first.at_s


# ---------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("energy_error", [0, NOT_SUPPORTED])
def test_a_lost_gpu_keeps_what_it_had_drawn(
    simulated_gpus_here: MakeGpus, energy_error: int
) -> None:
    gpus = simulated_gpus_here(2, energy_error=energy_error)
    meters = open_on(gpus)
    begin = meters[0].read()
    run_for(gpus, meters, 12)
    before = meters[0].read()
    gpus.change(0, lost_at_s=gpus.clock())
    run_for(gpus, meters, 12)
    after = meters[0].read()
    assert after.energy_j == before.energy_j
    assert after.energy_j == pytest.approx(gpus.energy_j(0, begin.at_s, after.at_s), rel=0.05)
    assert after.at_s > before.at_s + 11
    assert meters[0].note is not None
    assert meters[0].note.startswith("lost after 1")
    assert meters[0].note.endswith("s: GPU is lost")
    assert meters[0].utilization_percent() is None
    assert meters[1].note is None
    assert meters[1].read().energy_j > before.energy_j * 1.5


def test_a_lost_gpu_is_not_asked_again(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(1)
    meter = open_on(gpus)[0]
    gpus.change(0, lost_at_s=gpus.clock())
    gpus.skip(1)
    lost = meter.read()
    gpus.change(0, lost_at_s=float("inf"))
    gpus.skip(1)
    assert meter.read().energy_j == lost.energy_j


@pytest.mark.parametrize("counter_step_ms", [0, 100])
def test_a_restarted_counter_loses_a_reading_at_most(
    simulated_gpus_here: MakeGpus, counter_step_ms: float
) -> None:
    gpus = simulated_gpus_here(1, counter_step_ms=counter_step_ms, waves=FLAT)
    meters = open_on(gpus)
    begin = meters[0].read()
    run_for(gpus, meters, 10)
    gpus.change(0, counter_restart_at_s=gpus.clock() + 0.5)
    run_for(gpus, meters, 10)
    end = meters[0].read()
    true_j = gpus.energy_j(0, begin.at_s, end.at_s)
    assert true_j - 200 * 1.4 <= end.energy_j <= true_j + 200 * 0.2
    assert meters[0].note is not None
    assert "restarted after 1" in meters[0].note


def test_a_query_that_fails_for_a_while_misses_nothing(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(1, waves=FLAT)
    meters, windows = opened_on(gpus)
    watch(gpus, windows, 3)
    before = meters[0].read()
    gpus.change(0, energy_error=TIMEOUT)
    watch(gpus, windows, 3)
    assert meters[0].read().energy_j == before.energy_j
    assert meters[0].note is not None
    assert meters[0].note.startswith("no reading after")
    gpus.change(0, energy_error=0)
    watch(gpus, windows, 3)
    true_j = gpus.energy_j(0, windows[0].since_s, gpus.clock())
    assert windows[0].total_j(gpus.clock()) == pytest.approx(true_j, rel=1e-3)
    assert meters[0].note is None


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("counter_step_ms", [0, 20, 100])
def test_a_gpu_lost_while_its_ticks_are_looked_for_keeps_what_it_had_drawn(
    simulated_gpus_here: MakeGpus, counter_step_ms: float, after_s: float
) -> None:
    gpus = simulated_gpus_here(1, counter_step_ms=counter_step_ms, waves=FLAT)
    meters, windows = opened_on(gpus)
    gpus.change(0, lost_at_s=gpus.clock() + after_s)
    watch(gpus, windows, 3)
    assert meters[0].note is not None
    assert meters[0].note.startswith("lost after")
    assert not meters[0].is_following
    drawn_j = windows[0].total_j(gpus.clock())
    assert drawn_j is not None
    # A step of the counter, by which it is behind, at either end.
    assert drawn_j == pytest.approx(200 * after_s, abs=200 * 0.11)


@pytest.mark.parametrize("energy_error", [0, NOT_SUPPORTED])
def test_a_closed_meter_stands_still(simulated_gpus_here: MakeGpus, energy_error: int) -> None:
    gpus = simulated_gpus_here(1, energy_error=energy_error)
    meter = open_on(gpus)[0]
    gpus.skip(5)
    last = meter.read()
    meter.close()
    gpus.skip(5)
    assert meter.read() == last
    assert meter.utilization_percent() is None


def test_utilisation(simulated_gpus_here: MakeGpus) -> None:
    gpus = simulated_gpus_here(2, utilization_percent=42)
    gpus.change(1, utilization_error=NOT_SUPPORTED)
    assert [meter.utilization_percent() for meter in open_on(gpus)] == [42.0, None]


# -------------------------------------------------------------------------- why nothing is metered


def test_nothing_to_explain_where_all_is_well(simulated_gpus_here: MakeGpus) -> None:
    simulated_gpus_here(2)
    assert nvml.explain({}) is None


def test_explaining_gives_the_library_back(simulated_gpus_here: MakeGpus) -> None:
    simulated_gpus_here(2)
    nvml.explain({})
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetCount()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (NO_PERMISSION, "no permission"),
        (VERSION_MISMATCH, "driver and library versions differ"),
        (9, "driver is not loaded"),
        (999, "NVML error 999"),
    ],
)
def test_a_driver_that_refuses(simulated_gpus_here: MakeGpus, code: int, reason: str) -> None:
    gpus = simulated_gpus_here(2, init_error=code)
    assert open_on(gpus) == []
    assert reason in str(nvml.explain({}))


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", not_found)
    assert nvml.open_meters({}) == []
    assert "libnvidia-ml.so.1 not found" in str(nvml.explain({}))


def test_a_driver_without_gpus(simulated_gpus_here: MakeGpus) -> None:
    assert open_on(simulated_gpus_here(0)) == []
    assert "finds no GPU" in str(nvml.explain({}))


def test_all_gpus_hidden(simulated_gpus_here: MakeGpus) -> None:
    simulated_gpus_here(2)
    assert "CUDA_VISIBLE_DEVICES='' hides all 2 GPUs" in str(
        nvml.explain({"CUDA_VISIBLE_DEVICES": ""})
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"energy_error": NO_PERMISSION, "power_error": NO_PERMISSION}, "no permission"),
        ({"energy_error": NOT_SUPPORTED, "power_error": NOT_SUPPORTED}, "not supported"),
        ({"handle_error": GPU_IS_LOST}, "GPU is lost"),
        ({"mig_mode": 1}, "name the slice in CUDA_VISIBLE_DEVICES"),
    ],
)
def test_one_gpu_that_cannot_be_metered_does_not_hide_the_other(
    simulated_gpus_here: MakeGpus,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    reason: str,
) -> None:
    gpus = simulated_gpus_here(2)
    gpus.change(0, **changes)
    with caplog.at_level(logging.WARNING):
        meters = open_on(gpus)
    assert [meter.device and meter.device.index for meter in meters] == [1]
    assert "GPU 0" in caplog.text
    assert reason in caplog.text
    assert reason in str(nvml.explain({}))
    meters[0].close()
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetCount()


def test_a_mig_slice_is_billed_its_share(simulated_gpus_here: MakeGpus) -> None:
    slices = (MigSlice("MIG-11111111-0", 1, 4864), MigSlice("MIG-22222222-1", 3, 19968))
    gpus = simulated_gpus_here(2, counter_step_ms=100, waves=FLAT)
    gpus.change(1, mig_mode=1, mig_slices=slices)
    for part, profile, uncertainty in zip(slices, ("1g.5gb", "3g.20gb"), (2.02, 0.68), strict=True):
        meters = open_on(gpus, {"CUDA_VISIBLE_DEVICES": part.uuid})
        windows = [MeterWindow(meter, gpus.clock(), clock=gpus.clock) for meter in meters]
        windows[0].read()
        watch(gpus, windows, 5)
        end_s = gpus.clock()
        # As a run does at its end: until the counter's next step is seen, it is half of one off.
        windows[0].follow(end_s)
        watch(gpus, windows, 0.3)
        (meter,) = meters
        assert meter.device == DeviceInfo(part.uuid, 1, f"Simulated A100 MIG {profile}")
        assert meter.method == "nvml_counter_mig_share"
        assert meter.uncertainty == pytest.approx(uncertainty, abs=0.01)
        assert meter.note is not None
        assert meter.note.startswith(f"an estimate: {part.gpu_slices} of 7 slices")
        assert meter.utilization_percent() is None
        true_j = gpus.energy_j(1, windows[0].since_s, end_s) * part.gpu_slices / 7
        assert windows[0].total_j(end_s) == pytest.approx(true_j, rel=0.01)
        meter.close()
        assert meter.read() == meter.read()


@pytest.mark.parametrize("name", ["MIG-77777777", "MIG-{uuid}/1/0"])
def test_a_mig_slice_that_is_not_there_is_not_billed_the_whole_gpu(
    simulated_gpus_here: MakeGpus, name: str
) -> None:
    gpus = simulated_gpus_here(1, mig_mode=1)
    environ = {"CUDA_VISIBLE_DEVICES": name.format(uuid=gpus.uuids[0])}
    assert open_on(gpus, environ) == []
    assert "is not metered" in str(nvml.explain(environ))


# ----------------------------------------------------------- counters that no simulation would show


class FakeNvml(SimpleNamespace):
    """The few functions of `pynvml` that a meter with a counter calls."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *counts_mj: int) -> None:
        self._counts_mj = list(counts_mj)

    def nvmlInit(self) -> None: ...  # noqa: N802 - NVML's name
    def nvmlShutdown(self) -> None: ...  # noqa: N802
    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: N802
        return self._counts_mj.pop(0)


@pytest.mark.parametrize(
    ("counts_mj", "energies_j"),
    [
        ([1_000, 2_000, 4_000], [1, 3]),
        # Back to 0 and on.
        ([10**12, 10**12 + 1_000, 500], [1, 1.5]),
        # A little backwards is no restart of a counter that stands at a megajoule.
        ([10**9, 10**9 - 5, 10**9 + 1_000], [0, 1.005]),
        # Nonsense, and back to sense.
        ([1_000, 2**63, 3_000], [0, 3]),
        ([5_000_000, 2**63, 5_001_000, 5_002_000], [0, 5001, 5002]),
        ([10**10, 2**63, 10**10 + 1_000, 10**10 + 2_000], [0, 0, 1]),
    ],
)
def test_never_negative_and_never_huge(counts_mj: list[int], energies_j: list[float]) -> None:
    moments = iter(range(100))
    meter = nvml.NvmlMeter(
        FakeNvml(*counts_mj), DeviceInfo("GPU-1", 0, "fake"), None, lambda: float(next(moments))
    )
    seen = [meter.read().energy_j for _ in energies_j]
    assert seen == pytest.approx(energies_j)
    for before_j, after_j in zip([0.0, *seen], seen, strict=False):
        assert 0 <= after_j - before_j <= 2 * MAX_BOARD_POWER_W


# -------------------------------------------------------------------------- programs of their own


def run_program(gpus: SimulatedGpus, program: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | gpus.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return cast(dict[str, Any], json.loads(result.stdout))


def test_nvidia_ml_py_loads_the_library_unchanged(simulated_gpus: MakeGpus) -> None:
    gpus = simulated_gpus(4)
    seen = run_program(
        gpus,
        """
import json, pynvml as n
n.nvmlInit()
handles = [n.nvmlDeviceGetHandleByIndex(i) for i in range(n.nvmlDeviceGetCount())]
print(json.dumps({
    "uuids": [n.nvmlDeviceGetUUID(h) for h in handles],
    "indices": [n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID(n.nvmlDeviceGetUUID(h).encode()))
                for h in handles],
    "buses": [n.nvmlDeviceGetPciInfo(h).busId for h in handles],
    "memory": [n.nvmlDeviceGetMemoryInfo(h).used for h in handles],
    "mig": [n.nvmlDeviceGetMigMode(h) for h in handles],
    "limit": [n.nvmlDeviceGetPowerManagementLimit(h) for h in handles],
    "driver": n.nvmlSystemGetDriverVersion(),
}))
""",
    )
    assert seen == {
        "uuids": gpus.uuids,
        "indices": [0, 1, 2, 3],
        "buses": [gpu.pci_bus_id for gpu in gpus.gpus],
        "memory": [20480 * 2**20] * 4,
        "mig": [[0, 0]] * 4,
        "limit": [400_000] * 4,
        "driver": "570.00.00",
    }


def test_codecarbon_counts_the_same_gpus(simulated_gpus: MakeGpus) -> None:
    gpus = simulated_gpus(3)
    seen = run_program(
        gpus,
        """
import json, logging, time
from codecarbon.core.gpu import AllGPUDevices, is_nvidia_system
from codecarbon.core.units import Energy, Time
logging.getLogger("codecarbon").setLevel("CRITICAL")
assert is_nvidia_system()
devices = AllGPUDevices()
devices.start()
begin = time.monotonic()
time.sleep(1)
end = time.monotonic()
drawn = devices.get_delta(Time.from_seconds(end - begin))
print(json.dumps({
    "window": [begin, end],
    "names": [d["name"] for d in devices.get_gpu_details()],
    "joules": {d["uuid"]: d["delta_energy_consumption"].kWh / Energy.JOULES_TO_KWH for d in drawn},
}))
""",
    )
    assert seen["names"] == ["Simulated A100"] * 3
    assert list(seen["joules"]) == gpus.uuids
    for uuid, energy_j in seen["joules"].items():
        # CodeCarbon reads the counters a moment before and after the window.
        assert energy_j == pytest.approx(gpus.energy_j(uuid, *seen["window"]), rel=0.05)


def test_our_meters_in_a_program_of_their_own(simulated_gpus: MakeGpus) -> None:
    gpus = simulated_gpus(2)
    seen = run_program(
        gpus,
        """
import json, os, time
from carbon.meters import nvml
from carbon.tracking.window import MeterWindow
meters = nvml.open_meters(os.environ)
begin_s = time.monotonic()
windows = [MeterWindow(meter, begin_s) for meter in meters]
while time.monotonic() < begin_s + 0.5:
    for window in windows:
        window.read()
    time.sleep(0.002)
end_s = time.monotonic()
for window in windows:
    window.read()
print(json.dumps({w.meter.device.uuid: [begin_s, end_s, w.total_j(end_s)] for w in windows}))
""",
    )
    assert list(seen) == gpus.uuids
    for uuid, (begin_s, end_s, energy_j) in seen.items():
        # The counter is not read more often than every 0.1 s once it is known.
        assert energy_j == pytest.approx(gpus.energy_j(uuid, begin_s, end_s), rel=0.05)
