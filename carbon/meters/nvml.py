"""NVIDIA GPUs, through NVML: the only module that imports `pynvml` (of the package nvidia-ml-py).

NVML counts its initialisations, so each meter holds one of its own and gives it back when closed,
whatever the training or CodeCarbon does with the library. NVML does not survive `fork`: a meter
belongs to the process that opened it.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from carbon.attribution.visible_devices import VisibleDevice, visible_devices
from carbon.meters.base import DeviceInfo, Reading
from carbon.meters.cuda_order import INFERRED, cuda_order, uuids_of_torch
from carbon.meters.mig import Slice, slice_of
from carbon.meters.nvml_sources import CounterSource, PowerSource, Source
from carbon.schema import Component

_log = logging.getLogger(__name__)

# The return codes of nvml.h that a sound program can meet.
_MEANINGS = {
    1: "NVML was shut down by another part of the program",
    3: "not supported by this GPU",
    4: "no permission; this user needs access to /dev/nvidia*",
    6: "the GPU is not there any more",
    8: "a power cable of the GPU is not connected",
    9: "the NVIDIA driver is not loaded; `nvidia-smi` should list the GPUs",
    10: "the driver did not answer in time",
    12: "no NVIDIA driver on this machine (libnvidia-ml.so.1 not found)",
    13: "the NVIDIA driver is too old for this query",
    15: "GPU is lost",
    16: "the GPU needs a reset",
    18: "driver and library versions differ; reload the driver or restart the machine",
    20: "out of memory",
    21: "no data yet",
}
# After these a device is not asked again: a call into a lost board can block for seconds.
_FINAL = frozenset({1, 6, 15, 16})


def _meaning(error: Any) -> str:
    return _MEANINGS.get(error.value, f"NVML error {error.value}, {error}")


class _UnavailableError(Exception):
    """No GPU can be metered; the message says why."""


class NvmlMeter:
    """The energy of one GPU; see `carbon.meters.base.Meter`.

    Reads the board's energy counter where it has one and integrates its power where not. Raises
    `nvml.NVMLError` when opened on a GPU that shows neither; afterwards it raises nothing.
    """

    component: Component = "gpu"

    def __init__(
        self,
        nvml: Any,
        device: DeviceInfo,
        handle: Any,
        clock: Callable[[], float] = time.monotonic,
        *,
        mig_slice: Slice | None = None,
        remark: str | None = None,
    ) -> None:
        self.device: DeviceInfo | None = device
        self._remark = remark
        self._trouble: str | None = None
        self._slice = mig_slice
        self._nvml = nvml
        self._handle = handle
        self._clock = clock
        self._is_open = self._is_answering = True
        self._opened_at_s = clock()
        nvml.nvmlInit()
        try:
            self._source = self._open_source()
        except nvml.NVMLError:
            nvml.nvmlShutdown()
            raise
        self.method = self._source.method
        self.uncertainty = self._source.uncertainty
        if mig_slice is not None:
            self.method += "_mig_share"
            self.uncertainty = mig_slice.uncertainty(self._source.uncertainty)
        self._last: Reading | None = None

    def _open_source(self) -> Source:
        try:
            return CounterSource(self._nvml, self._handle, self._clock)
        except self._nvml.NVMLError:
            return PowerSource(self._nvml, self._handle, self._clock)

    @property
    def note(self) -> str | None:
        """What there is to say of the values: a lost GPU, a restarted counter, an estimate."""
        if self._trouble is None:
            return self._remark
        return self._trouble if self._remark is None else f"{self._trouble}; {self._remark}"

    @property
    def poll_interval_s(self) -> float | None:
        """How often this GPU must be read now; see `Meter`."""
        return self._source.poll_interval_s if self._is_open and self._is_answering else None

    @property
    def is_following(self) -> bool:
        """Whether the energy at a moment asked for by `follow` is still being found out."""
        return self._source.is_following and self.poll_interval_s is not None

    def follow(self, at_s: float) -> None:
        """Find out the energy at a moment, just past, as exactly as the GPU can tell it."""
        self._source.follow(at_s)

    def read(self) -> Reading:
        """Return the energy drawn since the meter was opened; see `Meter.read`.

        A source that is asked again too soon to know more gives no new reading: the last one is
        returned, with the time at which it was taken.
        """
        if self._is_open or self._last is None:
            self._last = self._next()
        return self._last if self._slice is None else self._slice.of(self._last)

    def _next(self) -> Reading:
        if not (self._is_open and self._is_answering):
            return self._source.stand_still()
        try:
            reading = self._source.read()
        except self._nvml.NVMLError as error:
            self._note_failure(error, self._clock())
            return self._source.stand_still()
        if reading is not self._last:  # Otherwise the GPU was not asked.
            self._trouble = self._source.note
        return reading

    def _note_failure(self, error: Any, now_s: float) -> None:
        after = f"after {now_s - self._opened_at_s:.1f} s: {_meaning(error)}"
        if error.value in _FINAL:
            self._is_answering = False
            self._trouble = f"lost {after}"
        elif self._trouble is None or not self._trouble.startswith("no reading"):
            self._trouble = f"no reading {after}"

    def utilization_percent(self) -> float | None:
        """Return the share of the last sampling period in which a kernel ran, in percent."""
        if self._slice is not None or not (self._is_open and self._is_answering):
            return None
        try:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)
        except self._nvml.NVMLError:
            return None

    def close(self) -> None:
        """Give back this meter's share of NVML; reading afterwards returns the last value."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as error:
            _log.debug("closing the meter of %s: %s", self.device, _meaning(error))

    def memory_used_bytes(self) -> int | None:
        """Return the allocated memory of the whole board; see `BoardSensors`."""
        memory = self._told("nvmlDeviceGetMemoryInfo")
        return None if memory is None else int(memory.used)

    def temperature_celsius(self) -> float | None:
        """Return the temperature of the GPU's die; see `BoardSensors`."""
        celsius = self._told("nvmlDeviceGetTemperature", self._nvml.NVML_TEMPERATURE_GPU)
        return None if celsius is None else float(celsius)

    def _told(self, query: str, *arguments: Any) -> Any:
        """Return the answer to a query that no energy depends on, or None where there is none."""
        if not (self._is_open and self._is_answering):
            return None
        try:
            return getattr(self._nvml, query)(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None


def open_meters(
    environ: Mapping[str, str], nvml: Any = None, clock: Callable[[], float] = time.monotonic
) -> list[NvmlMeter]:
    """Open a meter for every NVIDIA GPU that a process with these environment variables may use.

    Where there is none, the list is empty and `explain` tells why. A GPU that should be metered and
    cannot be is left out with a warning in the log.

    Args:
        environ: the process's environment variables, for `CUDA_VISIBLE_DEVICES`.
        nvml: an object with the functions of `pynvml`, by default that module.
    """
    try:
        meters, problems = _open(environ, nvml or _pynvml(), clock)
    except _UnavailableError as reason:
        _log.debug("no GPU is metered: %s", reason)
        return []
    for problem in problems:
        _log.warning("%s", problem)
    return meters


def explain(environ: Mapping[str, str], nvml: Any = None) -> str | None:
    """Return why not every GPU is metered, or None where each of them is; see `open_meters`."""
    try:
        meters, problems = _open(environ, nvml or _pynvml(), time.monotonic)
    except _UnavailableError as reason:
        return str(reason)
    for meter in meters:
        meter.close()
    return "; ".join(problems) or None


def _pynvml() -> Any:
    import pynvml

    return pynvml


def _open(
    environ: Mapping[str, str], nvml: Any, clock: Callable[[], float]
) -> tuple[list[NvmlMeter], list[str]]:
    """Return the meters, and a sentence for every GPU that should have one and has not."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise _UnavailableError(_meaning(error)) from error
    try:
        gpus, handles, problems = _enumerate(nvml)
        devices, remark = _visible(environ, gpus, nvml, handles)
        if gpus and not devices:
            hidden = f"CUDA_VISIBLE_DEVICES={environ.get('CUDA_VISIBLE_DEVICES')!r}"
            raise _UnavailableError(f"{hidden} hides all {len(gpus)} GPUs of this machine")
        by_uuid = {gpu.uuid: gpu for gpu in gpus}
        meters = []
        for device in devices:
            try:
                if device.is_slice:
                    meters.append(_open_slice(device, by_uuid, nvml, clock))
                else:
                    gpu, handle = by_uuid[device.uuid], handles[device.uuid]
                    meters.append(_open_gpu(gpu, handle, nvml, clock, remark))
            except _UnavailableError as reason:
                problems.append(str(reason))
        return meters, problems
    finally:
        nvml.nvmlShutdown()


def _visible(
    environ: Mapping[str, str], gpus: Sequence[DeviceInfo], nvml: Any, handles: Mapping[str, Any]
) -> tuple[list[VisibleDevice], str | None]:
    """Return what this process may use, and what there is to remark on how that was found."""
    by_uuid = {gpu.uuid: gpu for gpu in gpus}
    # What the process itself uses is certain; `environ` may be another one's.
    used = uuids_of_torch() if environ is os.environ else None
    if used and all(uuid in by_uuid for uuid in used):
        return [VisibleDevice(uuid, by_uuid[uuid].index) for uuid in used], None
    order = cuda_order(environ, gpus, nvml, handles)
    devices = visible_devices(environ, [(gpu.index, gpu.uuid) for gpu in order.gpus])
    value = environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    is_a_choice = value[:1].isdecimal() and len(devices) < len(gpus)
    return devices, INFERRED if order.is_inferred and is_a_choice else None


def _enumerate(nvml: Any) -> tuple[list[DeviceInfo], dict[str, Any], list[str]]:
    """Return the GPUs in PCI bus order, their handles by UUID, and what is wrong with others."""
    gpus: list[DeviceInfo] = []
    handles: dict[str, Any] = {}
    problems: list[str] = []
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise _UnavailableError(_meaning(error)) from error
    for index in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
        except nvml.NVMLError as error:
            problems.append(f"GPU {index} is not metered: {_meaning(error)}")
        else:
            gpus.append(DeviceInfo(uuid, index, name))
            handles[uuid] = handle
    if not gpus and not problems:
        raise _UnavailableError("the NVIDIA driver finds no GPU on this machine")
    return gpus, handles, problems


def _open_gpu(
    gpu: DeviceInfo, handle: Any, nvml: Any, clock: Callable[[], float], remark: str | None
) -> NvmlMeter:
    label = f"GPU {gpu.index} ({gpu.name}) is not metered"
    try:
        # The board's counter covers all its slices, of which this process has one.
        if nvml.nvmlDeviceGetMigMode(handle)[0]:
            raise _UnavailableError(
                f"{label}: it is in MIG mode; name the slice in CUDA_VISIBLE_DEVICES by its UUID"
            )
    except nvml.NVMLError:
        pass  # No such mode on this board.
    try:
        return NvmlMeter(nvml, gpu, handle, clock, remark=remark)
    except nvml.NVMLError as error:
        raise _UnavailableError(f"{label}: {_meaning(error)}") from error


def _open_slice(
    device: VisibleDevice, gpus: Mapping[str, DeviceInfo], nvml: Any, clock: Callable[[], float]
) -> NvmlMeter:
    """Open a meter of the whole board that bills the slice its share."""
    try:
        handle, mig_slice = slice_of(nvml, device.uuid)
        gpu = gpus[nvml.nvmlDeviceGetUUID(handle)]
        info = DeviceInfo(device.uuid, gpu.index, f"{gpu.name} MIG {mig_slice.profile}")
        return NvmlMeter(nvml, info, handle, clock, mig_slice=mig_slice, remark=mig_slice.note)
    except nvml.NVMLError as error:
        raise _UnavailableError(f"{device.uuid} is not metered: {_meaning(error)}") from error
    except KeyError as error:
        raise _UnavailableError(f"{device.uuid} is not metered: its GPU is not there") from error
