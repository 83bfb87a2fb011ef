"""The board's power of the moment, sampled 50 times a second and integrated: for real GPUs."""

import threading
import time
from typing import Any

import pynvml

ENDS_WITH_BLOCK = False
INTERVAL_S = 0.02
MW_PER_W = 1000.0

pynvml.nvmlInit()
_gpu = pynvml.nvmlDeviceGetHandleByIndex(0)


class Sampler(threading.Thread):
    """Integrates by the trapezoidal rule until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.energy_j = 0.0
        self.stopped = threading.Event()
        self._at_s, self._power_w = time.monotonic(), power_w()

    def run(self) -> None:
        while not self.stopped.wait(INTERVAL_S):
            self.sample()

    def sample(self) -> None:
        now_s, now_w = time.monotonic(), power_w()
        self.energy_j += (self._power_w + now_w) / 2 * (now_s - self._at_s)
        self._at_s, self._power_w = now_s, now_w


def power_w() -> float:
    """The present power where the driver tells it, else what it calls usage: a mean of 1 s."""
    field = pynvml.nvmlDeviceGetFieldValues(_gpu, [pynvml.NVML_FI_DEV_POWER_INSTANT])[0]
    if field.nvmlReturn == pynvml.NVML_SUCCESS:
        return float(field.value.uiVal) / MW_PER_W
    return float(pynvml.nvmlDeviceGetPowerUsage(_gpu)) / MW_PER_W


def start() -> Sampler:
    sampler = Sampler()
    sampler.start()
    return sampler


def new_epoch(tracker: Any) -> None:
    pass


def stop(tracker: Sampler) -> None:
    tracker.stopped.set()
    tracker.join()
    tracker.sample()


def gpu_energy_j(tracker: Sampler) -> float:
    return tracker.energy_j
