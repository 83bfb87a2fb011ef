"""What a MIG slice is billed: its share of the board, for no slice has a meter of its own."""

import math
from dataclasses import dataclass
from typing import Any

from carbon.meters.base import Reading


@dataclass(frozen=True)
class Slice:
    """A MIG slice: so many of the board's `of_slices` compute slices, and its memory in MB."""

    slices: int
    of_slices: int
    memory_mb: int

    @property
    def share(self) -> float:
        """The part of the board's energy that the slice is billed, 0 to 1."""
        return min(self.slices / self.of_slices, 1.0)

    @property
    def profile(self) -> str:
        """Its size, nearly as NVIDIA names profiles: `1g.5gb`."""
        return f"{self.slices}g.{round(self.memory_mb / 1024)}gb"

    @property
    def note(self) -> str:
        """What a reader of the value should know."""
        return (
            f"an estimate: {self.slices} of {self.of_slices} slices of the board's energy, "
            "whatever the other slices do"
        )

    def uncertainty(self, gain: float) -> float:
        """Return the relative standard uncertainty of the share; it may exceed 1.

        What the slice drew lies between nothing and all that the board drew. All of that being
        equally likely, the standard deviation is the board's energy over the root of 12 (GUM,
        JCGM 100:2008, 4.3.7), to which comes the gain error of the board's own sensor.
        """
        return math.hypot(1 / (self.share * math.sqrt(12)), gain)

    def of(self, board: Reading) -> Reading:
        """Return the slice's reading that goes with the board's."""
        earlier = tuple(self.of(reading) for reading in board.earlier)
        return Reading(board.at_s, board.energy_j * self.share, earlier, board.is_final)


def slice_of(nvml: Any, uuid: str) -> tuple[Any, Slice]:
    """Return the handle of a slice's board and what part of it the slice is.

    Raises `nvml.NVMLError` where there is no slice of this name.
    """
    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    board = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    attributes = nvml.nvmlDeviceGetAttributes(handle)
    of_slices: int = nvml.nvmlDeviceGetMaxMigDeviceCount(board)
    own: int = attributes.computeInstanceSliceCount
    return board, Slice(own, max(of_slices, own, 1), int(attributes.memorySizeMB))
