"""The AMD GPUs of a host as amdsmi tells of them, and which of them share a card.

Some cards hold several GPUs and one meter: of the two dies of an MI250 or MI250X the second shows
no energy of its own, because the first shows the card's; and the partitions of an MI300 are parts
of one GPU. Such a card is metered once, under its first GPU. The library is an argument (`smi`, an
object with the functions of `amdsmi`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from carbon.meters.base import DeviceInfo

_TWO_DIES = frozenset({"0x7408", "0x740c"})
"""PCI device ids of MI250X and MI250 (Linux, amdgpu_drv.c)."""

# The codes of amdsmi.h that a sound program can meet.
_MEANINGS = {
    2: "not supported by this GPU",
    8: "the GPU did not answer in time",
    10: "no permission; this user needs to be in the groups `render` and `video`",
    30: "the GPU is busy",
    31: "the GPU is not there any more",
    32: "amdsmi was shut down by another part of the program",
    34: "the amdgpu driver is not loaded",
    40: "no data",
}


@dataclass(frozen=True)
class Gpu:
    """A GPU as amdsmi lists it.

    `rocm_uuid` is what `ROCR_VISIBLE_DEVICES` calls it, empty where it has none; `node` is its
    place in the runtime's order, None where it is not told.
    """

    handle: Any
    device: DeviceInfo
    rocm_uuid: str
    bdf: str
    device_id: str
    partition: int
    node: int | None


def errors(smi: Any) -> tuple[type[Exception], ...]:
    """Return what a query can end in: `amdsmi`'s own, and what it stumbles over in an answer.

    Versions differ in the queries they have, hence `AttributeError`.
    """
    return (smi.AmdSmiException, AttributeError, KeyError, TypeError, ValueError)


def meaning(error: Exception) -> str:
    """Say what an error means, in words."""
    code = getattr(error, "err_code", None)
    if code is None:
        return str(error)
    return _MEANINGS.get(code, f"amdsmi error {code}, {getattr(error, 'err_info', '')}")


def list_gpus(smi: Any) -> tuple[list[Gpu], list[str]]:
    """Return the GPUs in amdsmi's order, and a sentence for each that cannot be told of.

    Raises what `errors` names where not even the list is to be had.
    """
    gpus: list[Gpu] = []
    problems: list[str] = []
    for index, handle in enumerate(smi.amdsmi_get_processor_handles()):
        try:
            gpus.append(_describe(smi, index, handle, {gpu.device.uuid for gpu in gpus}))
        except errors(smi) as error:
            problems.append(f"GPU {index} is not metered: {meaning(error)}")
    return gpus, problems


def _describe(smi: Any, index: int, handle: Any, taken: set[str]) -> Gpu:
    bdf = smi.amdsmi_get_gpu_device_bdf(handle)
    uuid = smi.amdsmi_get_gpu_device_uuid(handle) or bdf
    asic = _optional(smi, "amdsmi_get_gpu_asic_info", handle)
    kfd = _optional(smi, "amdsmi_get_gpu_kfd_info", handle)
    serial = asic.get("asic_serial")
    node, partition = kfd.get("node_id"), kfd.get("current_partition_id")
    return Gpu(
        handle=handle,
        # Partitions of a GPU may share its UUID.
        device=DeviceInfo(
            uuid if uuid not in taken else f"{uuid}@{bdf}",
            index,
            asic.get("market_name", "AMD GPU"),
        ),
        rocm_uuid=f"GPU-{int(serial, 16):016x}" if serial and serial != "N/A" else "",
        bdf=bdf,
        device_id=str(asic.get("device_id", "")).lower(),
        partition=partition if isinstance(partition, int) else 0,
        node=node if isinstance(node, int) else None,
    )


def _optional(smi: Any, query: str, handle: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(smi, query)(handle)
    except errors(smi):
        return {}
    return answer


def in_runtime_order(gpus: Sequence[Gpu]) -> list[Gpu]:
    """Return the GPUs as ROCm's runtime counts them: by their nodes, where all are known."""
    if any(gpu.node is None for gpu in gpus):
        return [*gpus]
    return sorted(gpus, key=lambda gpu: gpu.node or 0)


def cards(gpus: Sequence[Gpu], shows: Callable[[Gpu], bool]) -> list[list[Gpu]]:
    """Group the GPUs by card, each with the GPU that has the meter first.

    Args:
        gpus: in amdsmi's order, which is that of the PCI bus.
        shows: whether a GPU shows any energy or power of its own.
    """
    found: list[list[Gpu]] = []
    for gpu in gpus:
        card = next((card for card in found if _is_part(gpu, card, shows)), None)
        if card is None:
            found.append([gpu])
        else:
            card.append(gpu)
    return found


def _is_part(gpu: Gpu, card: Sequence[Gpu], shows: Callable[[Gpu], bool]) -> bool:
    first = card[0]
    if gpu.partition and gpu.bdf.rpartition(".")[0] == first.bdf.rpartition(".")[0]:
        return True
    return (
        len(card) == 1
        and gpu.device_id in _TWO_DIES
        and gpu.device_id == first.device_id
        and gpu.device.index == first.device.index + 1
        and shows(first)
        and not shows(gpu)
    )
