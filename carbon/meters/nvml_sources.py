"""The two ways in which a GPU tells NVML its energy: a counter, or the power from time to time.

The library is an argument (`nvml`, an object with the functions of `pynvml`); its errors are the
caller's to map.
"""

from collections.abc import Callable
from typing import Any, Protocol

from carbon import units

COUNTER_UNCERTAINTY = 0.05
"""Gain error of a board's own sensor, about 5 % (arXiv 2312.02741, more than 70 boards). It is the
same at every reading: longer runs do not average it out."""

POWER_UNCERTAINTY = 0.10
"""The gain error, and as much again for what happens between two samples: by the same study A100
and H100 look at their power for a quarter of the time only."""

COUNTER_INTERVAL_S = 0.1
"""The longest step in which energy counters move; asking more often tells nothing."""

POWER_INTERVAL_S = 0.05
"""How often power is sampled where there is no counter: well below the tenths of a second in which
a training alternates between computing and waiting."""

MAX_BOARD_POWER_W = 5000.0
"""More than any board draws: what a counter shows beyond it is not energy."""


class Source(Protocol):
    """How a meter gets at joules.

    Attributes:
        method, uncertainty, poll_interval_s, note: as in `carbon.meters.base.Meter`.
        min_interval_s: asked again sooner than this, it has nothing new to say.
    """

    @property
    def method(self) -> str: ...
    @property
    def uncertainty(self) -> float: ...
    @property
    def poll_interval_s(self) -> float | None: ...
    @property
    def min_interval_s(self) -> float: ...
    @property
    def note(self) -> str | None: ...

    def drawn_j(self, now_s: float) -> float:
        """Return the joules drawn since the previous call; raises `nvml.NVMLError`."""
        ...


class CounterSource:
    """The board's energy counter, in mJ since the driver was loaded (Volta and newer)."""

    method = "nvml_counter"
    uncertainty = COUNTER_UNCERTAINTY
    poll_interval_s = None
    min_interval_s = COUNTER_INTERVAL_S

    def __init__(self, nvml: Any, handle: Any, now_s: float) -> None:
        self.note: str | None = None
        self._nvml = nvml
        self._handle = handle
        self._opened_at_s = self._at_s = now_s
        self._count_j = self._read_j()

    def drawn_j(self, now_s: float) -> float:
        """Return the joules drawn since the previous call; raises `nvml.NVMLError`.

        A counter that went back has started again from 0 (the driver was reloaded): what it shows
        has been drawn since, and at most one reading's worth is lost.
        """
        count_j = self._read_j()
        drawn_j = count_j - self._count_j
        # A second more, for the step by which the counter may have been behind.
        limit_j = MAX_BOARD_POWER_W * (now_s - self._at_s + 1.0)
        self._count_j, self._at_s = count_j, now_s
        if 0 <= drawn_j <= limit_j:
            return drawn_j
        self.note = f"the energy counter restarted after {now_s - self._opened_at_s:.1f} s"
        return count_j if count_j <= limit_j else 0.0

    def _read_j(self) -> float:
        count_mj: int = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        return count_mj / units.MILLIJOULES_PER_JOULE


class PowerSource:
    """The board's power, integrated by the trapezoidal rule."""

    method = "nvml_power"
    uncertainty = POWER_UNCERTAINTY
    poll_interval_s = POWER_INTERVAL_S
    min_interval_s = 0.0
    note = None

    def __init__(self, nvml: Any, handle: Any, now_s: float) -> None:
        self._nvml = nvml
        self._handle = handle
        self._at_s = now_s
        # `nvmlDeviceGetPowerUsage` is the mean of the last second on Ampere and newer, which smears
        # the edges of a window: where the driver tells the present power too, that one is read.
        self._read_w: Callable[[], float] = self._instant_w
        try:
            self._power_w = self._read_w()
        except nvml.NVMLError:
            self._read_w = self._usage_w
            self._power_w = self._read_w()

    def drawn_j(self, now_s: float) -> float:
        """Return the joules drawn since the previous call; raises `nvml.NVMLError`."""
        power_w = self._read_w()
        drawn_j = (self._power_w + power_w) / 2 * (now_s - self._at_s)
        self._power_w, self._at_s = power_w, now_s
        return drawn_j

    def _instant_w(self) -> float:
        power = self._nvml.NVML_FI_DEV_POWER_INSTANT
        field = self._nvml.nvmlDeviceGetFieldValues(self._handle, [power])[0]
        if field.nvmlReturn:
            raise self._nvml.NVMLError(field.nvmlReturn)
        power_mw: int = field.value.uiVal
        return power_mw / units.MILLIWATTS_PER_WATT

    def _usage_w(self) -> float:
        power_mw: int = self._nvml.nvmlDeviceGetPowerUsage(self._handle)
        return power_mw / units.MILLIWATTS_PER_WATT
