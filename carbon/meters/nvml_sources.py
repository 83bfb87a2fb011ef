"""The two ways in which a GPU tells NVML its energy: a counter, or the power from time to time.

The library is an argument (`nvml`, an object with the functions of `pynvml`); its errors are the
caller's to map.
"""

from collections.abc import Callable
from typing import Any, Protocol

from carbon import units
from carbon.meters.base import Reading
from carbon.meters.power_updates import PowerUpdates
from carbon.meters.ticks import Ticks

COUNTER_UNCERTAINTY = 0.05
"""Gain error of a board's own sensor, about 5 % (arXiv 2312.02741, more than 70 boards). It is the
same at every reading: longer runs do not average it out."""

POWER_UNCERTAINTY = 0.10
"""The gain error, and as much again for what happens between two samples: by the same study A100
and H100 look at their power for a quarter of the time only."""

MAX_BOARD_POWER_W = 5000.0
"""More than any board draws: what a counter shows beyond it is not energy."""

AVERAGE_S = 1.0
"""Over how long `nvmlDeviceGetPowerUsage` averages on Ampere and newer (nvml.h)."""

_AMPERE = 7
_GA100 = ("A100", "A30", "A800")
"""The boards with a GA100, which tell the present power as those before Ampere do (nvml.h)."""


class Source(Protocol):
    """How a meter gets at joules, cumulative since it was opened.

    Attributes:
        method, uncertainty, poll_interval_s, note: as in `carbon.meters.base.Meter`.
        is_following: whether the energy at a moment asked for is still being found out.
    """

    @property
    def method(self) -> str: ...
    @property
    def uncertainty(self) -> float: ...
    @property
    def poll_interval_s(self) -> float | None: ...
    @property
    def note(self) -> str | None: ...
    @property
    def is_following(self) -> bool: ...

    def read(self) -> Reading:
        """Return what is known now; raises `nvml.NVMLError`."""
        ...

    def stand_still(self) -> Reading:
        """Return what is known where the board does not answer: nothing was drawn since."""
        ...

    def follow(self, at_s: float) -> None:
        """Find out the energy at a moment as exactly as possible, by the readings that follow."""
        ...


class CounterSource:
    """The board's energy counter, in mJ since the driver was loaded (Volta and newer)."""

    method = "nvml_counter"
    uncertainty = COUNTER_UNCERTAINTY

    def __init__(self, nvml: Any, handle: Any, clock: Callable[[], float]) -> None:
        self.note: str | None = None
        self._nvml = nvml
        self._handle = handle
        self._clock = clock
        self._energy_j = 0.0
        self._opened_at_s, self._count_j = self._look(clock())
        self._ticks = Ticks(self._opened_at_s, 0.0)

    @property
    def is_following(self) -> bool:
        """Whether the counter's ticks are being looked for."""
        return self._ticks.is_following

    @property
    def poll_interval_s(self) -> float | None:
        """A few milliseconds while ticks are looked for; otherwise nothing is missed."""
        return self._ticks.interval_s if self._ticks.is_following else None

    def read(self) -> Reading:
        """Return what is known now; raises `nvml.NVMLError`.

        A counter that went back has started again from 0 (the driver was reloaded): what it shows
        has been drawn since, and at most one reading's worth is lost. Asked again within a period
        while nobody follows it, the counter has nothing new to say.
        """
        ticks, before_s = self._ticks, self._clock()
        if not ticks.is_following and before_s - ticks.seen_s < ticks.period_s:
            return ticks.last
        at_s, count_j = self._look(before_s)
        drawn_j = count_j - self._count_j
        # A second more, for the step by which the counter may have been behind.
        limit_j = MAX_BOARD_POWER_W * (at_s - ticks.seen_s + 1.0)
        is_whole = 0 <= drawn_j <= limit_j
        if not is_whole:
            self.note = f"the energy counter restarted after {at_s - self._opened_at_s:.1f} s"
            drawn_j = count_j if count_j <= limit_j else 0.0
        self._count_j = count_j
        self._energy_j += drawn_j
        return ticks.see(at_s, self._energy_j, is_whole=is_whole)

    def stand_still(self) -> Reading:
        """Return what is known where the board does not answer."""
        return self._ticks.stand_still(self._clock())

    def follow(self, at_s: float) -> None:
        """Look for the counter's next tick after a moment."""
        self._ticks.follow(at_s)

    def _look(self, before_s: float) -> tuple[float, float]:
        """Return the counter in joules, and the middle of the moments before and after asking."""
        count_mj: int = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        return (before_s + self._clock()) / 2, count_mj / units.MILLIJOULES_PER_JOULE


class PowerSource:
    """The board's power, integrated by the trapezoidal rule.

    A reading tells of a while ago, on average: of half a second where it is the mean of the last
    one, and of half the time between two updates. It is put there, so that neither edge of a window
    is given more than its share.
    """

    method = "nvml_power"
    uncertainty = POWER_UNCERTAINTY
    note = None
    is_following = False

    def __init__(self, nvml: Any, handle: Any, clock: Callable[[], float]) -> None:
        self._nvml = nvml
        self._handle = handle
        self._clock = clock
        self._energy_j = 0.0
        # `nvmlDeviceGetPowerUsage` may be the mean of the last second, which smears the edges of a
        # window: where the driver tells the present power too, that one is read.
        self._read_w: Callable[[], float] = self._instant_w
        self._averaged_s = 0.0
        try:
            self._at_s, self._power_w = self._look()
        except nvml.NVMLError:
            self._read_w = self._usage_w
            self._at_s, self._power_w = self._look()
            self._averaged_s = AVERAGE_S if _is_averaged(nvml, handle) else 0.0
        self._updates = PowerUpdates(self._at_s, self._power_w)

    @property
    def poll_interval_s(self) -> float:
        """About half the time between two updates of the reading, as far as that is known."""
        return self._updates.interval_s

    def read(self) -> Reading:
        """Return what is known now; raises `nvml.NVMLError`."""
        at_s, power_w = self._look()
        self._energy_j += (self._power_w + power_w) / 2 * (at_s - self._at_s)
        self._at_s, self._power_w = at_s, power_w
        self._updates.see(at_s, power_w)
        lag_s = self._lag_s
        known = Reading(at_s - lag_s, self._energy_j)
        if not lag_s:
            return known
        # What is not covered yet has the newest reading's power until the next one tells better.
        return Reading(at_s, self._energy_j + power_w * lag_s, (known,), is_final=False)

    def stand_still(self) -> Reading:
        """Return what is known where the board does not answer."""
        return Reading(self._clock(), self._energy_j)

    def follow(self, at_s: float) -> None:
        """Nothing more can be found out than the next reading tells."""

    @property
    def _lag_s(self) -> float:
        return (self._averaged_s + (self._updates.period_s or 0.0)) / 2

    def _look(self) -> tuple[float, float]:
        """Return the power in watts, and the middle of the moments before and after asking."""
        before_s = self._clock()
        power_w = self._read_w()
        return (before_s + self._clock()) / 2, power_w

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


def _is_averaged(nvml: Any, handle: Any) -> bool:
    """Whether `nvmlDeviceGetPowerUsage` is a mean on this board: Ampere and newer, except GA100."""
    try:
        architecture: int = nvml.nvmlDeviceGetArchitecture(handle)
        name: str = nvml.nvmlDeviceGetName(handle)
    except nvml.NVMLError:
        return False
    if architecture == _AMPERE:
        words = name.replace("-", " ").split()
        return not any(word.rstrip("X") in _GA100 for word in words)
    unknown: int = nvml.NVML_DEVICE_ARCH_UNKNOWN
    return _AMPERE < architecture < unknown
