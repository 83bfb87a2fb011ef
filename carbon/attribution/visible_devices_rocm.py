"""Which AMD GPUs a process may use, as ROCm's environment variables say it.

Two layers hide GPUs, one after the other. The rules are those of the programs themselves
(ROCR-Runtime, `amd_filter_device.cpp`; clr, `rocdevice.cpp`), as ROCm's "GPU isolation techniques"
describes them:

1. The runtime reads `ROCR_VISIBLE_DEVICES`: indices or UUIDs (`GPU-<hex>`, or the beginning of
   one, as long as only one GPU fits), in any mixture. Set to nothing, it hides all GPUs.
2. HIP reads `HIP_VISIBLE_DEVICES`, or `CUDA_VISIBLE_DEVICES` where that is not set or empty:
   indices into what the first layer has left, or UUIDs. Both empty, it hides nothing.

Each list ends before its first entry that fits nothing, so that "-1" means no GPU at all. In the
first layer it ends before a GPU that was named already, too; the second goes on after it.
"""

import re
from collections.abc import Mapping, Sequence

_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|\d+)")
_INDEX = re.compile(r"0|[1-9]\d*")
_UUID_LENGTH = range(len("GPU-") + 1, len("GPU-") + 16 + 1)


def visible_gpus(environ: Mapping[str, str], uuids: Sequence[str]) -> list[int]:
    """Return the positions of the GPUs that a process with these variables may use, in its order.

    Args:
        environ: the process's environment variables.
        uuids: of every GPU of the host, in the runtime's order, as `GPU-` and 16 hexadecimal
            digits in lower case; empty for a GPU that has none.
    """
    visible = list(range(len(uuids)))
    value = environ.get("ROCR_VISIBLE_DEVICES")
    if value is not None:
        visible = _runtime_list(value, uuids)
    value = environ.get("HIP_VISIBLE_DEVICES") or environ.get("CUDA_VISIBLE_DEVICES")
    if value:
        visible = _hip_list(value, visible, uuids)
    return visible


def hides(environ: Mapping[str, str]) -> str:
    """Return the variables that can hide an AMD GPU, as they are set."""
    names = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
    return ", ".join(f"{name}={environ[name]!r}" for name in names if name in environ)


def _runtime_list(value: str, uuids: Sequence[str]) -> list[int]:
    found: list[int] = []
    for entry in value.split(","):
        token = entry.strip().upper()
        position = _of_prefix(token, uuids) if token.startswith("G") else _c_number(token)
        if position is None or not 0 <= position < len(uuids) or position in found:
            break
        found.append(position)
    return found


def _of_prefix(token: str, uuids: Sequence[str]) -> int | None:
    if len(token) not in _UUID_LENGTH:
        return None
    fitting = [i for i, uuid in enumerate(uuids) if uuid.upper().startswith(token)]
    return fitting[0] if len(fitting) == 1 else None


def _c_number(token: str) -> int | None:
    """Return a number as C's `strtol` reads it: "0x" for hexadecimal and "0" for octal."""
    if _NUMBER.fullmatch(token) is None:
        return None
    digits = token.lstrip("+-")
    try:
        number = int(digits, 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10)
    except ValueError:
        return None
    return -number if token[0] == "-" else number


def _hip_list(value: str, visible: Sequence[int], uuids: Sequence[str]) -> list[int]:
    found: list[int] = []
    for entry in value.split(","):
        if "GPU-" in entry:
            position = next((p for p in visible if entry in uuids[p]), None)
        elif _INDEX.fullmatch(entry) and int(entry) < len(visible):
            position = visible[int(entry)]
        else:
            position = None
        if position is None:
            break
        if position not in found:
            found.append(position)
    return found
