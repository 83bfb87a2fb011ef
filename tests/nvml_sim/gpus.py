"""GPUs for the stand-in library: what they are, what they draw and how they misbehave."""

import ctypes
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from tests.nvml_sim.curve import SquareWave

NEVER = float("inf")

UPTIME_S = 1000.0
"""How long before the test the simulation began."""

NOT_SUPPORTED, NO_PERMISSION, TIMEOUT, GPU_IS_LOST, VERSION_MISMATCH = 3, 4, 10, 15, 18
"""Return codes of nvml.h, for the `*_error` fields."""


@dataclass(frozen=True)
class MigSlice:
    """A slice of a GPU in MIG mode, of so many sevenths of its processors."""

    uuid: str
    gpu_slices: int
    memory_mb: int


@dataclass(frozen=True)
class SimulatedGpu:
    """One GPU; every field but `wave` and `mig_slices` is a key of the library's configuration.

    See nvml_sim.c for what they mean.
    """

    uuid: str
    pci_bus_id: str
    wave: SquareWave
    name: str = "Simulated A100"
    counter_start_j: float = 5e6
    counter_step_ms: float = 0
    counter_phase_ms: float = 0
    counter_restart_at_s: float = NEVER
    power_average_s: float = 0
    power_step_ms: float = 0
    power_phase_ms: float = 0
    power_noise_w: float = 0
    has_instant_power: bool = True
    lost_at_s: float = NEVER
    energy_error: int = 0
    power_error: int = 0
    utilization_error: int = 0
    handle_error: int = 0
    utilization_percent: float = 70
    memory_total_mb: float = 81920
    memory_used_mb: float = 20480
    temperature_c: float = 55
    power_limit_w: float = 400
    architecture: int = 7
    cores: int = 6912
    max_clock_mhz: float = 1410
    compute_capability: float = 8.0
    mig_mode: int = 0
    mig_slices: tuple[MigSlice, ...] = ()


@dataclass
class SimulatedGpus:
    """The GPUs of a host, written to `config_file` for the library at `library` to play.

    Moments are of `clock`, which is `time.monotonic` until it is frozen. Where `is_fixed`, a
    program looks at them once, and nothing that changes later reaches it.
    """

    library: Path
    config_file: Path
    gpus: list[SimulatedGpu]
    init_error: int = 0
    call_us: float = 0
    is_fixed: bool = False
    epoch_s: float = field(default_factory=lambda: time.monotonic() - UPTIME_S)
    _frozen_at_s: float | None = None
    _move_clock: Any = None

    def __post_init__(self) -> None:
        self._write()

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to see these GPUs and no others."""
        return {
            "NVML_SIM_CONFIG": str(self.config_file),
            "CUDA_VISIBLE_DEVICES": ",".join(str(index) for index in range(len(self.gpus))),
            # The loader finds the library on the one, CodeCarbon `nvidia-smi` on the other.
            "LD_LIBRARY_PATH": _before(self.library.parent, "LD_LIBRARY_PATH"),
            "PATH": _before(self.library.parent, "PATH"),
        }

    @property
    def uuids(self) -> list[str]:
        """The UUIDs, in PCI bus order."""
        return [gpu.uuid for gpu in self.gpus]

    def energy_j(self, gpu: int | str, from_s: float, to_s: float) -> float:
        """Return what a GPU, by index or UUID, has drawn between two moments, in joules.

        A lost GPU has drawn until it was lost, as far as anyone can know.
        """
        index = self.uuids.index(gpu) if isinstance(gpu, str) else gpu
        until_s = min(to_s, max(self.gpus[index].lost_at_s, from_s))
        wave = self.gpus[index].wave
        return wave.energy_j(from_s - self.epoch_s, until_s - self.epoch_s)

    def total_energy_j(self, from_s: float, to_s: float) -> float:
        """Return what all of them have drawn between two moments."""
        return sum(self.energy_j(index, from_s, to_s) for index in range(len(self.gpus)))

    def change(self, index: int, **changes: Any) -> None:
        """Make one GPU behave differently from now on: `change(0, lost_at_s=time.monotonic())`."""
        if "wave" in changes:
            raise ValueError("the wave is fixed: what was drawn before would change with it")
        self.gpus[index] = replace(self.gpus[index], **changes)
        self._write()

    def clock(self) -> float:
        """Return the present moment."""
        return time.monotonic() if self._frozen_at_s is None else self._frozen_at_s

    def freeze(self) -> None:
        """Stop the clock, always at the same point of every wave; it moves by `skip` alone."""
        self._move_clock = ctypes.CDLL(str(self.library)).nvml_sim_move_clock
        self._frozen_at_s = self.epoch_s + UPTIME_S
        self._write()
        self.skip(0)

    def skip(self, duration_s: float) -> None:
        """Let time pass on the frozen clock of this process."""
        if self._frozen_at_s is None:
            raise ValueError("the clock runs by itself until it is frozen")
        self._frozen_at_s += duration_s
        self._move_clock(ctypes.c_double(self._frozen_at_s))

    def _write(self) -> None:
        lines = [
            f"epoch_s {self.epoch_s!r}",
            f"frozen_at_s {self._frozen_at_s or 0!r}",
            f"init_error {self.init_error}",
            f"call_us {self.call_us}",
            f"is_fixed {int(self.is_fixed)}",
        ]
        lines.append("driver_version 570.00.00")
        for gpu in self.gpus:
            lines.append("gpu")
            own = {f.name: getattr(gpu, f.name) for f in fields(gpu)}
            del own["wave"], own["mig_slices"]
            wave = {f.name: getattr(gpu.wave, f.name) for f in fields(gpu.wave)}
            for key, value in (own | wave).items():
                lines.append(f"{key} {int(value) if isinstance(value, bool) else value}")
            for part in gpu.mig_slices:
                lines.append(f"mig_slice {part.uuid} {part.gpu_slices} {part.memory_mb}")
        draft = self.config_file.with_suffix(".draft")
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(draft, self.config_file)


def _before(folder: Path, variable: str) -> str:
    """Return the value of a search path with a folder put first."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))


def make_gpus(count: int, waves: Sequence[SquareWave], **same: Any) -> list[SimulatedGpu]:
    """Return `count` GPUs that share the fields `same` and take the waves in turn."""
    return [
        SimulatedGpu(
            uuid=f"GPU-{uuid5(NAMESPACE_OID, f'simulated GPU {index}')}",
            pci_bus_id=f"00000000:{0x10 + index:02X}:00.0",
            wave=waves[index % len(waves)],
            **same,
        )
        for index in range(count)
    ]
