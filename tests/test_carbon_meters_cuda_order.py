"""CUDA's order of the GPUs, where it is not that of their buses."""

import os
import sys
from types import SimpleNamespace

import pytest

from carbon.meters import nvml
from carbon.meters.cuda_order import INFERRED
from tests.fixtures.nvml import MakeGpus
from tests.nvml_sim.gpus import SimulatedGpus


def open_on(gpus: SimulatedGpus, environ: dict[str, str]) -> list[nvml.NvmlMeter]:
    gpus.freeze()
    return nvml.open_meters(environ, clock=gpus.clock)


def mixed(make: MakeGpus) -> SimulatedGpus:
    """Three models, the fastest of which is the last on the bus; two of them are the same."""
    gpus = make(4)
    gpus.change(0, name="Small", cores=2560, max_clock_mhz=1590)
    gpus.change(1, name="Middle", cores=6912, max_clock_mhz=1410)
    gpus.change(2, name="Middle", cores=6912, max_clock_mhz=1410)
    gpus.change(3, name="Large", cores=16896, max_clock_mhz=1980)
    return gpus


@pytest.mark.parametrize(
    ("environ", "expected", "is_inferred"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0"}, [3], True),
        ({"CUDA_VISIBLE_DEVICES": "1,2"}, [1, 2], True),
        ({"CUDA_VISIBLE_DEVICES": "3"}, [0], True),
        ({"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, [3], True),
        ({"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [0], False),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, [3, 1, 2, 0], False),
        ({}, [3, 1, 2, 0], False),
        ({"CUDA_VISIBLE_DEVICES": "GPU-uuid-of-0"}, [0], False),
    ],
)
def test_indices_count_in_cudas_order(
    simulated_gpus_here: MakeGpus, environ: dict[str, str], expected: list[int], is_inferred: bool
) -> None:
    gpus = mixed(simulated_gpus_here)
    environ = {key: value.replace("GPU-uuid-of-0", gpus.uuids[0]) for key, value in environ.items()}
    meters = open_on(gpus, environ)
    assert [meter.device and meter.device.index for meter in meters] == expected
    assert {meter.note for meter in meters} == {INFERRED if is_inferred else None}
    for meter in meters:
        meter.read()
        assert (meter.note == INFERRED) == is_inferred


def test_where_the_models_do_not_tell_their_speed_the_bus_decides(
    simulated_gpus_here: MakeGpus,
) -> None:
    gpus = mixed(simulated_gpus_here)
    gpus.change(1, cores=0)
    (meter,) = open_on(gpus, {"CUDA_VISIBLE_DEVICES": "0"})
    assert meter.device is not None
    assert meter.device.index == 0
    assert meter.note == INFERRED


@pytest.mark.parametrize("is_initialized", [True, False])
def test_cuda_itself_is_asked_where_the_training_uses_it(
    simulated_gpus_here: MakeGpus, monkeypatch: pytest.MonkeyPatch, is_initialized: bool
) -> None:
    gpus = mixed(simulated_gpus_here)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    seen = [gpus.uuids[2].removeprefix("GPU-"), gpus.uuids[0].removeprefix("GPU-")]
    cuda = SimpleNamespace(
        is_initialized=lambda: is_initialized,
        device_count=lambda: 2,
        get_device_properties=lambda index: SimpleNamespace(uuid=seen[index]),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    gpus.freeze()
    meters = nvml.open_meters(os.environ, clock=gpus.clock)
    found = [meter.device and meter.device.index for meter in meters]
    assert found == ([2, 0] if is_initialized else [3, 1])
    assert {meter.note for meter in meters} == {None if is_initialized else INFERRED}


def test_a_library_half_imported_is_not_asked(
    simulated_gpus_here: MakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = simulated_gpus_here(2)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    gpus.freeze()
    assert len(nvml.open_meters(os.environ, clock=gpus.clock)) == 2
