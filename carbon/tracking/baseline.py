"""What a machine draws idle: measured once by `carbon baseline`, kept, and shown beside its runs.

It is kept as `<spool_dir>/baseline-<hostname>.json`. A run's gross energy stays the ledger's value;
with a baseline a report also says how much of it the same devices would have drawn idle.
"""

import json
import logging
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from carbon.errors import CarbonError, SpoolError
from carbon.meters.base import Meter
from carbon.schema import Component
from carbon.spool.spool import Spool
from carbon.tracking.window import MeterWindow

if TYPE_CHECKING:
    from carbon.tracking.metering import Sources  # It asks here what is kept.

log = logging.getLogger("carbon")

BUSY_GPU_PERCENT = 5.0
"""Utilisation from which on a GPU is not idle; a desktop's few percent pass."""

BUSY_CPU_PERCENT = 10.0
"""Share of all cores from which on the host is not idle."""

STEP_S = 0.5
"""How often meters that miss nothing in between are read."""

_HIDING = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


# Not pydantic models: a training waits for what this module takes to import.
@dataclass(frozen=True)
class IdlePower:
    """The mean power in watts of one idle device, as one method shows it.

    `key` is the meter's: `gpu:<uuid>`, `cpu` or `ram`.
    """

    key: str
    component: Component
    method: str
    uncertainty: float
    power_w: float
    name: str | None = None

    @classmethod
    def of_document(cls, document: Any) -> Self:
        """Read one back; raises `KeyError`, `TypeError` or `ValueError` for what is none."""
        power_w = float(document["power_w"])
        if not (math.isfinite(power_w) and power_w >= 0):
            raise ValueError(f"{power_w} is no power")
        return cls(
            key=str(document["key"]),
            component=document["component"],
            method=str(document["method"]),
            uncertainty=float(document["uncertainty"]),
            power_w=power_w,
            name=document.get("name"),
        )


@dataclass(frozen=True)
class Baseline:
    """What a machine drew while nothing ran on it.

    `doubts` are what spoke against the machine being idle, where it was kept all the same.
    """

    hostname: str
    measured_at: datetime
    duration_s: float
    devices: tuple[IdlePower, ...]
    doubts: tuple[str, ...] = ()

    def power_w(self, key: str, method: str) -> float | None:
        """Return the idle power of a device in watts, where it was measured by the same method."""
        return next((d.power_w for d in self.devices if (d.key, d.method) == (key, method)), None)

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self) | {"measured_at": self.measured_at.isoformat()}

    @classmethod
    def of_document(cls, document: Any) -> Self:
        """Read one back; raises `KeyError`, `TypeError` or `ValueError` for what is none."""
        return cls(
            hostname=str(document["hostname"]),
            measured_at=datetime.fromisoformat(document["measured_at"]),
            duration_s=float(document["duration_s"]),
            devices=tuple(IdlePower.of_document(each) for each in document["devices"]),
            doubts=tuple(map(str, document["doubts"])),
        )


def key_of(meter: Meter) -> str:
    """Return the name of a meter on its host: `gpu:<uuid>`, or the host's component."""
    if meter.device is not None:
        return f"gpu:{meter.device.uuid}"
    return "gpu:unknown" if meter.component == "gpu" else meter.component


def path_in(spool_dir: Path, hostname: str) -> Path:
    """Return where the baseline of a host is kept."""
    return spool_dir / f"baseline-{_UNSAFE.sub('_', hostname)}.json"


def load(spool_dir: Path, hostname: str) -> Baseline | None:
    """Return the baseline kept for a host, or None where there is none that can be read."""
    path = path_in(spool_dir, hostname)
    try:
        return Baseline.of_document(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        log.warning("%s is not used: %s; measure it again with `carbon baseline`", path, error)
        return None


def save(baseline: Baseline, spool_dir: Path) -> Path:
    """Keep a baseline, whole or not at all; return where.

    Raises:
        SpoolError: the spool cannot be written.
    """
    path = path_in(spool_dir, baseline.hostname)
    try:
        spool_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=spool_dir, prefix=path.stem, suffix=".new", delete=False, encoding="utf-8"
        ) as draft:
            json.dump(baseline.document(), draft, indent=2)
            draft.flush()
            os.fsync(draft.fileno())
        os.replace(draft.name, path)
    except OSError as error:
        raise SpoolError(
            f"the baseline cannot be kept in {spool_dir}: {error.strerror or error}; "
            "set CARBON_SPOOL_DIR to a directory that can be written"
        ) from error
    return path


def everything_visible(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what hides devices: a baseline is of all of them."""
    return {key: value for key, value in environ.items() if key not in _HIDING}


def living_runs(spool_dir: Path) -> list[str]:
    """Return a sentence for every tracked run that is alive on this machine.

    Raises:
        SpoolError: the spool cannot be read.
    """
    spool = Spool(spool_dir)
    alive = [run_id for run_id in spool.waiting() if spool.has_living_part(run_id)]
    return [f"run {run_id} is being tracked" for run_id in alive]


def measure(
    sources: "Sources",
    hostname: str,
    duration_s: float,
    *,
    cpu_times_s: Callable[[], tuple[float, float] | None] | None = None,
) -> Baseline:
    """Measure every device's mean power for `duration_s` seconds; what was busy is in `doubts`.

    A device that failed meanwhile is left out.

    Args:
        sources: where the meters come from.
        hostname: the machine's name.
        duration_s: how long to measure, in seconds.
        cpu_times_s: gives the seconds all cores were busy and the seconds in all, since whenever.

    Raises:
        CarbonError: there is nothing to measure.
    """
    cpu_times_s = cpu_times_s or _cpu_times_s
    meters = [*sources.accelerators(), *sources.host()]
    try:
        measured_at = datetime.now(UTC)
        notes = {id(meter): meter.note for meter in meters}
        began_s, before = time.monotonic(), cpu_times_s()
        windows = [MeterWindow(meter, began_s) for meter in meters]
        _read_until(windows, began_s + duration_s)
        ended_s, after = time.monotonic(), cpu_times_s()
        devices = tuple(
            _idle_power(window, total_j / (ended_s - began_s))
            for window in windows
            if (total_j := window.total_j(ended_s)) is not None
            and window.meter.note == notes[id(window.meter)]
        )
    finally:
        for meter in meters:
            meter.close()
    if not devices:
        raise CarbonError("nothing can be measured on this machine; `carbon doctor` says why")
    return Baseline(
        hostname=hostname,
        measured_at=measured_at,
        duration_s=round(ended_s - began_s, 3),
        devices=devices,
        doubts=(*_busy_gpus(windows), *_busy_cpu(before, after)),
    )


def _read_until(windows: Sequence[MeterWindow], end_s: float) -> None:
    steps = [w.meter.poll_interval_s for w in windows if w.meter.poll_interval_s is not None]
    step_s = min([*steps, STEP_S])
    sampled_s = now_s = time.monotonic()
    for window in windows:
        window.read()
    while now_s < end_s:
        time.sleep(min(step_s, end_s - now_s))
        now_s = time.monotonic()
        for window in windows:
            window.read()
        # A utilisation is a mean over the board's last second or less.
        if now_s - sampled_s >= STEP_S or now_s >= end_s:
            for window in windows:
                window.sample_utilization(now_s - sampled_s)
            sampled_s = now_s


def _idle_power(window: MeterWindow, power_w: float) -> IdlePower:
    described = window.describe(key_of(window.meter))
    return IdlePower(
        key=described.key,
        component=described.component,
        method=described.method,
        uncertainty=described.uncertainty,
        name=described.name,
        power_w=round(power_w, 6),
    )


def _busy_gpus(windows: Sequence[MeterWindow]) -> list[str]:
    busy = []
    for window in windows:
        percent, device = window.mean_utilization_percent, window.meter.device
        if device is not None and percent is not None and percent > BUSY_GPU_PERCENT:
            busy.append(f"GPU {device.index} ({device.name}) was {percent:.0f} % busy")
    return busy


def _busy_cpu(before: tuple[float, float] | None, after: tuple[float, float] | None) -> list[str]:
    if before is None or after is None or after[1] <= before[1]:
        return []
    percent = 100 * (after[0] - before[0]) / (after[1] - before[1])
    return [f"the CPU was {percent:.0f} % busy"] if percent > BUSY_CPU_PERCENT else []


def _cpu_times_s() -> tuple[float, float] | None:
    """Read /proc/stat (proc_stat(5)); None on a system without it."""
    try:
        with open("/proc/stat", encoding="ascii") as lines:
            user, nice, system, idle, iowait, *rest = map(int, lines.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    busy = user + nice + system + sum(rest)
    return busy / ticks_per_s, (busy + idle + iowait) / ticks_per_s
