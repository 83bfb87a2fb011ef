"""The one question a meter answers, and the shape of its answer."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from carbon.schema import Component


class Reading(NamedTuple):
    """Cumulative energy `energy_j` in joules at the monotonic time `at_s` in seconds.

    `at_s` may lie before the moment of the call: a counter that moves in steps was exact at a step.

    Attributes:
        earlier: readings of earlier moments that only this one made known, in order.
        is_final: whether the reading stands; one that does not is replaced by the next.
    """

    at_s: float
    energy_j: float
    earlier: tuple["Reading", ...] = ()
    is_final: bool = True


@dataclass(frozen=True)
class DeviceInfo:
    """Which accelerator a meter belongs to. `index` is the vendor's own, in PCI bus order."""

    uuid: str
    index: int
    name: str


class Meter(Protocol):
    """A source of joules.

    `read` never raises and never goes backwards: a device that fails keeps what it had drawn, and
    `note` says since when. Differences of two readings are energies; a single reading is nothing.

    Attributes:
        component: what it measures.
        method: how, as it stands in reports (`nvml_counter`, `codecarbon_cpu_load` ...).
        uncertainty: relative standard uncertainty of a difference of readings; 0.05 is 5 %.
        poll_interval_s: how often it must be read to be right, or None where the reading is a
            hardware counter that misses nothing between two reads. It may change at every reading.
        device: the accelerator, or None for the host's CPU and RAM.
        note: why a value is missing or cut short, or None.
    """

    component: Component
    method: str
    uncertainty: float
    device: DeviceInfo | None

    @property
    def poll_interval_s(self) -> float | None: ...
    @property
    def note(self) -> str | None: ...

    def read(self) -> Reading:
        """Return the energy drawn since the meter was opened."""
        ...

    def utilization_percent(self) -> float | None:
        """Return the device's utilisation now, 0 to 100, or None where it cannot be told."""
        ...

    # A meter whose counter moves in steps also has `follow(at_s)`, which asks it to find out the
    # energy at a moment exactly, and `is_following`, which says that it is still at it.

    def close(self) -> None:
        """Release the device; reading afterwards returns the last value."""
        ...


@runtime_checkable
class BoardSensors(Protocol):
    """What a meter may tell of its device beside the joules; no meter need have it.

    Neither method raises; None is what cannot be told.
    """

    def memory_used_bytes(self) -> int | None:
        """Return how much of the device's memory is allocated, by all programs together."""
        ...

    def temperature_celsius(self) -> float | None:
        """Return the device's temperature."""
        ...
