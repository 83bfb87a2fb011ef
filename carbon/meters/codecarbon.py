"""The host's CPU and RAM, by CodeCarbon's models: the only module that imports `codecarbon`.

For hosts whose CPU or RAM has no meter that can be read; see `carbon.meters.host`. Of CodeCarbon
only the models are used: no tracker, thread, file, request or PUE of its, and none of its meters.
"""

import contextlib
import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from carbon.meters import processor
from carbon.meters.base import DeviceInfo, Meter, Reading
from carbon.meters.muted import muted
from carbon.meters.processor import Processor
from carbon.schema import Component

_log = logging.getLogger(__name__)

CPU_LOAD_UNCERTAINTY = 0.4
"""Of TDP x (0.1 + 0.9 load^3): off by tens of percent on five profiled hosts, on one of them 98.6 W
where RAPL showed 61.9 W."""

RAM_UNCERTAINTY = 0.5
"""Of 5 W a module, with the number of modules guessed from the amount of memory."""

POLL_INTERVAL_S = 2.0
"""How often the load is looked at: what it was in between is counted, and its mean loses nothing.
CodeCarbon itself looks every second. Its power is a cubic of the load, so that a load which swings
within two seconds comes out a little lower; that is far less than the model is off."""

RELUCTANCE_S = 0.9 * POLL_INTERVAL_S
"""Asked again sooner than this, the meter returns what it knows: a look at the load takes as much
time as eight GPUs. In a short run it is a fifth of the time since the meter was opened,"""

MOST_UNSEEN = 0.2
"""so that the last look, beyond which the power is taken to go on, is never far from the end."""

MIN_INTERVAL_S = 0.1
"""Load is counted in ticks of 10 ms: over fewer than ten of them it means nothing."""

DETECTION_TIMEOUT_S = 60.0


class HostMeter:
    """The energy of the host's CPU or RAM; see `carbon.meters.base.Meter`.

    `cpu_model` is the processor's name, or None where it is unknown or not a processor.
    """

    device: DeviceInfo | None = None
    poll_interval_s: float | None = POLL_INTERVAL_S

    def __init__(
        self,
        component: Component,
        method: str,
        uncertainty: float,
        drawn_j: Callable[[float], float],
        clock: Callable[[], float],
        cpu_model: str | None = None,
    ) -> None:
        """Count from now on; `drawn_j` gives the joules of the last so many seconds, once each."""
        self.component = component
        self.method = method
        self.uncertainty = uncertainty
        self.cpu_model = cpu_model
        self.note: str | None = None
        self._drawn_j = drawn_j
        self._clock = clock
        self._is_open = True
        self._opened_at_s = clock()
        self._last = Reading(self._opened_at_s, 0.0)

    def read(self) -> Reading:
        """Return the energy drawn since the meter was opened; see `Meter.read`.

        Soon after the last reading that one is returned again, with its own time.
        """
        now_s = self._clock()
        elapsed_s = now_s - self._last.at_s
        enough_s = min(MOST_UNSEEN * (now_s - self._opened_at_s), RELUCTANCE_S)
        if not self._is_open or elapsed_s < max(enough_s, MIN_INTERVAL_S):
            return self._last
        energy_j = self._last.energy_j
        try:
            energy_j += max(self._drawn_j(elapsed_s), 0.0)
            self.note = None
        except (OSError, ValueError) as error:  # What reading /proc and /sys can end in.
            if self.note is None:
                self.note = f"no reading after {now_s - self._opened_at_s:.1f} s: {error}"
        self._last = Reading(now_s, energy_j)
        return self._last

    def utilization_percent(self) -> float | None:
        """Return None: CodeCarbon keeps the load it has seen to itself."""
        return None

    def close(self) -> None:
        """Stop counting; reading afterwards returns the last value."""
        self._is_open = False


def open_host_meters(
    cache_file: Path | None,
    components: Collection[Component] = ("cpu", "ram"),
    *,
    clock: Callable[[], float] = time.monotonic,
) -> list[Meter]:
    """Open a meter for this host's CPU and one for its RAM.

    A part that CodeCarbon cannot tell is left out, with a warning in the log.

    Args:
        cache_file: where the processor is kept once it is found out, which takes seconds; with it
            the next process needs about a tenth of one. None to find out every time.
        components: which of the two; the RAM alone does not need the processor.
    """
    with quiet():
        found = None
        if "cpu" in components:
            # Begun before anything slow: the process that finds out goes on without this one.
            found = processor.load(cache_file) or _detect_apart(cache_file)
        _import()
        openers: dict[Component, Callable[[], Meter]] = {
            "cpu": lambda: _cpu_meter(found or _detect_here(cache_file), clock),
            "ram": lambda: _ram_meter(clock),
        }
        meters: list[Meter] = []
        for component, open_meter in openers.items():
            if component not in components:
                continue
            try:
                meters.append(open_meter())
            except (OSError, ValueError) as error:
                _log.warning("%s energy is not measured: %s", component.upper(), error)
        return meters


def _detect_here(cache_file: Path | None) -> Processor:
    found = detect()
    processor.save(found, cache_file)
    return found


def detect() -> Processor:
    """Find out the processor with CodeCarbon, in a second or two."""
    from codecarbon.core.cpu import TDP
    from codecarbon.core.util import count_physical_cpus

    tdp = TDP()
    return Processor(
        model=None if tdp.model == "Unknown" else tdp.model,
        # As CodeCarbon's own tracker has it: a TDP is one socket's.
        max_power_w=None if tdp.tdp is None else float(tdp.tdp * count_physical_cpus()),
    )


def _detect_apart(cache_file: Path | None) -> Processor | None:
    """Find out the processor in another process; None where none can be started.

    That process keeps what it finds in `cache_file` itself, so that a run too short to wait for it
    still spares the next one the wait.

    py-cpuinfo, which CodeCarbon asks, forks and waits in a busy loop: in a process that trains, the
    one is unsafe and the other takes the interpreter from the training for a second.
    """
    command = [sys.executable, "-P", "-m", __name__, *([str(cache_file)] if cache_file else [])]
    try:
        child = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=DETECTION_TIMEOUT_S,
            start_new_session=True,
            check=True,
        )
        return processor.from_document(json.loads(child.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _log.debug("the processor is looked up in this process, %s: %s", command, error)
        return None


def _cpu_meter(found: Processor, clock: Callable[[], float]) -> HostMeter:
    from codecarbon.external.hardware import CPU, MODE_CPU_LOAD, POWER_CONSTANT

    power_w: Any = found.max_power_w or POWER_CONSTANT  # Declared an integer, used as any number.
    cpu = CPU(
        output_dir="",  # Of Intel Power Gadget's log, which this mode does not write.
        mode=MODE_CPU_LOAD,
        model=found.model or "Unknown",
        tdp=power_w,
    )
    cpu.start()

    def estimated_j(elapsed_s: float) -> float:
        # All that it says here is for debugging.
        speaks = _codecarbon_log.isEnabledFor(logging.DEBUG)
        with quiet() if speaks else contextlib.nullcontext():
            return float(cpu.total_power().W * elapsed_s)

    return HostMeter(
        "cpu", "codecarbon_cpu_load", CPU_LOAD_UNCERTAINTY, estimated_j, clock, found.model
    )


def _ram_meter(clock: Callable[[], float]) -> HostMeter:
    from codecarbon.external.ram import RAM

    # The model knows the amount of memory alone, which stays as it is.
    power_w = float(RAM().total_power().W)
    if power_w <= 0:
        raise ValueError("CodeCarbon could not find out how much memory there is")

    def estimated_j(elapsed_s: float) -> float:
        return power_w * elapsed_s

    return HostMeter("ram", "codecarbon_ram", RAM_UNCERTAINTY, estimated_j, clock)


def _import() -> None:
    """Import CodeCarbon, leaving its logger as it was if the program has set it up already."""
    logger = logging.getLogger("codecarbon")
    before = logger.level, logger.handlers[:], logger.propagate
    with muted():
        from codecarbon.core import util
        from codecarbon.external import hardware, ram  # noqa: F401 - hardware imports amdsmi

    if before != (logging.NOTSET, [], True):
        logger.level, logger.handlers, logger.propagate = before
    if util.SLURM_JOB_ID and shutil.which("scontrol") is None:
        # In a container on a Slurm node CodeCarbon fails for want of `scontrol`; without a job it
        # takes the machine's own figures.
        modules: list[Any] = [util, ram]
        for module in modules:
            module.SLURM_JOB_ID = None


_quiet_threads: set[int | None] = set()
_codecarbon_log = logging.getLogger("codecarbon")


def _is_from_elsewhere(record: logging.LogRecord) -> bool:
    return record.thread not in _quiet_threads


class quiet:  # noqa: N801 - used as a function; a generator's takes longer at every reading
    """Keep what CodeCarbon says in this thread out of the program's log and terminal."""

    def __enter__(self) -> None:
        _quiet_threads.add(threading.get_ident())
        _codecarbon_log.addFilter(_is_from_elsewhere)

    def __exit__(self, *_: object) -> None:
        _quiet_threads.discard(threading.get_ident())
        if not _quiet_threads:
            _codecarbon_log.removeFilter(_is_from_elsewhere)


if __name__ == "__main__":
    _import()
    detected = detect()
    processor.save(detected, Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    json.dump(asdict(detected), sys.stdout)
