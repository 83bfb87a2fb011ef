"""In which order CUDA counts the GPUs, which is not always NVML's, by PCI bus.

Unless `CUDA_DEVICE_ORDER` is `PCI_BUS_ID`, the GPU that CUDA takes for the fastest is its number 0
(CUDA C++ Programming Guide, "CUDA Environment Variables"). GPUs of one model stay in the order of
their buses. For several models CUDA is asked where the process uses it anyhow, through PyTorch, and
otherwise the order is inferred: NVIDIA does not say how CUDA guesses.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carbon.meters.base import DeviceInfo

INFERRED = (
    "which GPU CUDA_VISIBLE_DEVICES means was inferred from cores and clock, as the models differ; "
    "CUDA_DEVICE_ORDER=PCI_BUS_ID makes it certain"
)


@dataclass(frozen=True)
class CudaOrder:
    """The host's GPUs as CUDA counts them; `is_inferred` where that is a guess."""

    gpus: list[DeviceInfo]
    is_inferred: bool = False


def cuda_order(
    environ: Mapping[str, str], gpus: Sequence[DeviceInfo], nvml: Any, handles: Mapping[str, Any]
) -> CudaOrder:
    """Return the GPUs in CUDA's order.

    Where the models differ: by CUDA cores times the highest clock of the multiprocessors, the
    largest first, and GPUs that are equal in that by PCI bus.

    Args:
        environ: the process's environment variables.
        gpus: in PCI bus order.
        nvml: an object with the functions of `pynvml`.
        handles: NVML's, by UUID.
    """
    by_bus = CudaOrder(list(gpus))
    if environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({gpu.name for gpu in gpus}) < 2:
        return by_bus
    speeds: dict[str, float] = {}
    for gpu in gpus:
        try:
            cores: int = nvml.nvmlDeviceGetNumGpuCores(handles[gpu.uuid])
            clock_mhz: int = nvml.nvmlDeviceGetMaxClockInfo(handles[gpu.uuid], nvml.NVML_CLOCK_SM)
        except nvml.NVMLError:
            return CudaOrder(list(gpus), is_inferred=True)
        speeds[gpu.uuid] = float(cores * clock_mhz)
    return CudaOrder(sorted(gpus, key=lambda gpu: -speeds[gpu.uuid]), is_inferred=True)


def uuids_of_torch() -> list[str] | None:
    """Return the UUIDs of the GPUs that this process uses, in CUDA's order, as PyTorch knows them.

    None where PyTorch has not initialised CUDA, which is left to the training, or cannot tell.
    """
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return None
        count = torch.cuda.device_count()
        return [f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(count)]
    except Exception:  # noqa: BLE001 - of any version, half imported, in a process that was forked
        return None
