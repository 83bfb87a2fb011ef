"""Which processor this host has: a finding that takes CodeCarbon seconds, kept in a file."""

import importlib.metadata
import json
import logging
import os
import platform
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Processor:
    """The host's CPU, as CodeCarbon knows it.

    `model` is None where it could not be told. `max_power_w` is the TDP of all sockets together, in
    watts; None where CodeCarbon has none and takes its default.
    """

    model: str | None
    max_power_w: float | None


def _validity() -> dict[str, Any]:
    """Return what a finding depends on: with another value of any of these it is made anew."""
    return {
        "codecarbon": importlib.metadata.version("codecarbon"),
        "cpu_count": os.cpu_count(),
        "kernel_cpu_model": kernel_cpu_model(),
    }


def kernel_cpu_model() -> str | None:
    """Return the processor's name as the kernel has it, or None where it has none.

    It tells hosts that share a directory, and is the name in reports where CodeCarbon is not asked.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or None


def load(cache_file: Path | None) -> Processor | None:
    """Return the kept finding, or None where there is none that holds for this host."""
    if cache_file is None:
        return None
    try:
        kept = json.loads(cache_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("valid_for") != _validity():
        return None
    return from_document(kept.get("processor"))


def from_document(document: Any) -> Processor | None:
    """Return the finding that a JSON document holds, or None where it holds none."""
    if not isinstance(document, dict) or document.keys() != {f.name for f in fields(Processor)}:
        return None
    model, max_power_w = document["model"], document["max_power_w"]
    if not isinstance(model, str | None) or not isinstance(max_power_w, float | None):
        return None
    return Processor(model, max_power_w)


def save(processor: Processor, cache_file: Path | None) -> None:
    """Keep a finding; where that is not possible the next process makes it again."""
    if cache_file is None:
        return
    document = {"valid_for": _validity(), "processor": asdict(processor)}
    try:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=cache_file.parent, prefix=cache_file.name, delete=False, encoding="utf-8"
        ) as draft:
            json.dump(document, draft)
        os.replace(draft.name, cache_file)
    except OSError as error:
        _log.debug("what is known of the processor is not kept in %s: %s", cache_file, error)
