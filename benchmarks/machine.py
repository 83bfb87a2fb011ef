"""On what the benchmark ran: enough to judge its figures by, and nothing that names the machine."""

import os
import platform
import re
import sys
from pathlib import Path

import psutil


def describe() -> dict[str, str | int | float]:
    """Return the processor, cores, memory, system and Python of this machine."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": f"{platform.system()} {platform.release().split('-')[0]}",
        "virtual": is_virtual(Path("/proc/cpuinfo")),
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def cpu_model(cpuinfo: Path) -> str:
    """Return the processor's name as the kernel has it."""
    found = re.search(r"^model name\s*:\s*(.+)$", _text(cpuinfo), re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def is_virtual(cpuinfo: Path) -> bool:
    """Tell whether the processor says that it is a virtual machine's."""
    return " hypervisor" in _text(cpuinfo)


def short_name(machine: dict[str, str | int | float], gpu: str | None = None) -> str:
    """Return a name for the file of a machine's results: `2-core-amd-epyc-python3.11`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    parts = [gpu] if gpu else [f"{machine['cores']}-core", str(machine["cpu"])]
    name = "-".join([*parts, version]).lower()
    return re.sub(r"[^a-z0-9.]+", "-", name).strip("-")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
