"""The two ways in which an AMD GPU tells amdsmi its energy: a counter, or the power now and then.

The library is an argument (`smi`, an object with the functions of `amdsmi`); its errors are the
caller's to map.
"""

from typing import Any, Protocol

from carbon import units

COUNTER_UNCERTAINTY = 0.05
"""Gain error of a board's own sensor. No study of AMD's sensors is known to us: what was found for
NVIDIA's boards (arXiv 2312.02741, about 5 %) is taken."""

POWER_UNCERTAINTY = 0.10
"""The gain error, and as much again for what happens between two samples."""

COUNTER_INTERVAL_S = 0.1
"""Asking more often tells little: every query has the driver ask the GPU's firmware."""

POWER_INTERVAL_S = 0.05
"""How often power is sampled where there is no counter: well below the tenths of a second in which
a training alternates between computing and waiting."""

MAX_BOARD_POWER_W = 5000.0
"""More than any board draws: what is beyond is not energy. So is a power that amdsmi does not know,
which versions before 6.1 give as 65535."""

STUCK_S = 5.0
"""A counter that stands still for so long while the GPU draws power does not count: some MI100 need
a reboot then (ROCm/amdsmi issues 22 and 38)."""


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
        """Return the joules drawn since the previous call; raises amdsmi's errors."""
        ...


class CounterSource:
    """The GPU's energy accumulator, in steps of `counter_resolution` microjoules.

    Raises `ValueError` when opened on one that shows nothing.
    """

    method = "amdsmi_counter"
    uncertainty = COUNTER_UNCERTAINTY
    poll_interval_s = None
    min_interval_s = COUNTER_INTERVAL_S

    def __init__(self, smi: Any, handle: Any, now_s: float) -> None:
        self.note: str | None = None
        self._smi = smi
        self._handle = handle
        self._opened_at_s = self._at_s = self._moved_at_s = now_s
        self._count, self._step_j = _energy_count(smi, handle)
        if self._count <= 0 or self._step_j <= 0:
            raise ValueError("the energy counter shows nothing")

    def drawn_j(self, now_s: float) -> float:
        """Return the joules drawn since the previous call; raises amdsmi's errors.

        A counter that went back has started again from 0 (the driver was reloaded): what it shows
        has been drawn since, and at most one reading's worth is lost.
        """
        count, _ = _energy_count(self._smi, self._handle)
        drawn_j = (count - self._count) * self._step_j
        # A second more, for a reader that was stopped between the clock and the counter.
        limit_j = MAX_BOARD_POWER_W * (now_s - self._at_s + 1.0)
        if count == self._count:
            self._look_whether_stuck(now_s)
        else:
            self._moved_at_s = now_s
        self._count, self._at_s = count, now_s
        if 0 <= drawn_j <= limit_j:
            return drawn_j
        self.note = f"the energy counter restarted after {now_s - self._opened_at_s:.1f} s"
        return count * self._step_j if 0 <= count * self._step_j <= limit_j else 0.0

    def _look_whether_stuck(self, now_s: float) -> None:
        if self.note is None and now_s - self._moved_at_s >= STUCK_S:
            power_w = socket_power_w(self._smi, self._handle)
            if power_w > 0:
                after_s = self._moved_at_s - self._opened_at_s
                self.note = (
                    f"the energy counter stands still after {after_s:.1f} s, at {power_w:g} W"
                )


class PowerSource:
    """The GPU's power, integrated by the trapezoidal rule.

    Raises `ValueError` when opened on a GPU that shows none.
    """

    method = "amdsmi_power"
    uncertainty = POWER_UNCERTAINTY
    poll_interval_s = POWER_INTERVAL_S
    min_interval_s = 0.0
    note = None

    def __init__(self, smi: Any, handle: Any, now_s: float) -> None:
        self._smi = smi
        self._handle = handle
        self._at_s = now_s
        self._power_w = socket_power_w(smi, handle)
        if self._power_w <= 0:
            raise ValueError("the GPU shows neither energy nor power")

    def drawn_j(self, now_s: float) -> float:
        """Return the joules drawn since the previous call; raises amdsmi's errors."""
        power_w = socket_power_w(self._smi, self._handle)
        drawn_j = (self._power_w + power_w) / 2 * (now_s - self._at_s)
        self._power_w, self._at_s = power_w, now_s
        return drawn_j


def open_source(smi: Any, handle: Any, now_s: float, errors: tuple[type[Exception], ...]) -> Source:
    """Open the counter where there is one and the power where not; raises amdsmi's errors."""
    try:
        return CounterSource(smi, handle, now_s)
    except errors:
        return PowerSource(smi, handle, now_s)


def socket_power_w(smi: Any, handle: Any) -> float:
    """Return the power in watts: the present one, where the GPU tells it, else the average.

    Raises `ValueError` where it tells neither, besides amdsmi's errors.
    """
    info = smi.amdsmi_get_power_info(handle)
    for key in ("current_socket_power", "average_socket_power", "socket_power"):
        watts = info.get(key)
        if isinstance(watts, int | float) and 0 <= watts < MAX_BOARD_POWER_W:
            return float(watts)
    raise ValueError("the GPU does not tell its power")


def _energy_count(smi: Any, handle: Any) -> tuple[int, float]:
    """Return the accumulator and the joules of one of its steps; raises amdsmi's errors."""
    answer = smi.amdsmi_get_energy_count(handle)
    # It was named "power" before ROCm 6.1.
    count = answer["energy_accumulator"] if "energy_accumulator" in answer else answer["power"]
    return int(count), float(answer["counter_resolution"]) / units.MICROJOULES_PER_JOULE
