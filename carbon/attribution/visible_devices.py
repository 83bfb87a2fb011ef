"""Which NVIDIA GPUs a process may use, as `CUDA_VISIBLE_DEVICES` says it.

The rules are those of the CUDA C++ Programming Guide, section "CUDA Environment Variables": a
comma-separated list of indices, of GPU UUIDs (or of the beginning of one, as long as only one GPU
fits) or of MIG instances; the list ends before its first entry that fits nothing, so that "-1" and
"NoDevFiles" mean no GPU at all, and a list that names a device twice is void.

Indices count in CUDA's own order. That is by PCI bus where `CUDA_DEVICE_ORDER=PCI_BUS_ID` is set
or all GPUs are of one model; otherwise the fastest GPU comes first (see `meters.cuda_order`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LEADING_NUMBER = re.compile(r"[+-]?\d+")
_SLICE_OF_GPU = re.compile(r"MIG-(GPU-[0-9a-fA-F-]+)(?:/\d+/\d+)?")
_KINDS = ("GPU-", "MIG-")


@dataclass(frozen=True)
class VisibleDevice:
    """A GPU that a process may use, or a MIG slice of one.

    `index` is the GPU's, as NVML enumerates it; `uuid` is the GPU's too, or the slice's name as it
    was given. A slice named by a UUID of its own (`MIG-<uuid>`, the form of drivers since 470) does
    not tell its GPU, and `index` is None.
    """

    uuid: str
    index: int | None
    is_slice: bool = False


def visible_devices(
    environ: Mapping[str, str], gpus: Sequence[tuple[int, str]]
) -> list[VisibleDevice]:
    """Return the devices that a process with these environment variables may use, in its order.

    Args:
        environ: the process's environment variables.
        gpus: NVML's index and the UUID of every GPU of the host, in CUDA's order.
    """
    value = environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return [VisibleDevice(uuid, index) for index, uuid in gpus]
    entries = [entry.strip() for entry in value.split(",")]
    # CUDA takes the kind of the whole list from its first entry.
    kind = next((prefix for prefix in _KINDS if entries[0].startswith(prefix)), "")
    found: list[VisibleDevice] = []
    for entry in entries:
        device = _device(entry, kind, gpus)
        if device is None:
            break
        if device in found:
            return []
        found.append(device)
    return found


def _device(entry: str, kind: str, gpus: Sequence[tuple[int, str]]) -> VisibleDevice | None:
    if not entry.startswith(kind):
        return None
    if kind == "GPU-":
        return _gpu_of_prefix(entry, gpus)
    if kind == "MIG-":
        return _slice(entry, gpus)
    number = _LEADING_NUMBER.match(entry)
    if number is None or not 0 <= int(number[0]) < len(gpus):
        return None
    index, uuid = gpus[int(number[0])]
    return VisibleDevice(uuid, index)


def _gpu_of_prefix(prefix: str, gpus: Sequence[tuple[int, str]]) -> VisibleDevice | None:
    fitting = [(index, uuid) for index, uuid in gpus if uuid.startswith(prefix)]
    if len(fitting) != 1 or prefix == "GPU-":
        return None
    return VisibleDevice(fitting[0][1], fitting[0][0])


def _slice(entry: str, gpus: Sequence[tuple[int, str]]) -> VisibleDevice | None:
    named = _SLICE_OF_GPU.fullmatch(entry)
    if named is None:
        return VisibleDevice(entry, None, is_slice=True) if len(entry) > len("MIG-") else None
    gpu = _gpu_of_prefix(named[1], gpus)
    return VisibleDevice(entry, gpu.index, is_slice=True) if gpu else None
