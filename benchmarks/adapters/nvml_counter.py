"""The board's energy counter alone, read at either end: for real GPUs, beside the tools."""

from typing import Any

import pynvml

ENDS_WITH_BLOCK = False
MJ_PER_J = 1000.0

pynvml.nvmlInit()
_gpu = pynvml.nvmlDeviceGetHandleByIndex(0)


def start() -> dict[str, float]:
    return {"from_j": _counted_j()}


def new_epoch(tracker: Any) -> None:
    pass


def stop(tracker: dict[str, float]) -> None:
    tracker["to_j"] = _counted_j()


def gpu_energy_j(tracker: dict[str, float]) -> float:
    return tracker["to_j"] - tracker["from_j"]


def _counted_j() -> float:
    return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(_gpu)) / MJ_PER_J
