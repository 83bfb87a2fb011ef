"""The simulated GPUs' power over time and its exact integral: `nvml_sim.c` in Python."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class SquareWave:
    """`peak_w` during the first `duty` of every period, `base_w` during the rest.

    Times are in seconds since the epoch of the simulation; `phase_s` is how far into a period the
    wave is at that epoch.
    """

    base_w: float
    peak_w: float
    period_s: float
    duty: float
    phase_s: float = 0.0

    def power_w(self, t_s: float) -> float:
        """Return the power at a moment."""
        position = (t_s + self.phase_s) / self.period_s
        return self.peak_w if position - math.floor(position) < self.duty else self.base_w

    def energy_j(self, from_s: float, to_s: float) -> float:
        """Return the integral of the power over a window."""
        peak_s = self._peak_time_s(to_s) - self._peak_time_s(from_s)
        return self.base_w * (to_s - from_s) + (self.peak_w - self.base_w) * peak_s

    def _peak_time_s(self, t_s: float) -> float:
        position_s = t_s + self.phase_s
        periods = math.floor(position_s / self.period_s)
        high_s = self.duty * self.period_s
        return periods * high_s + min(position_s - periods * self.period_s, high_s)
