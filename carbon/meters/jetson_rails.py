"""The power rails of a Jetson: what each supplies, and the energy of the board divided by them.

No rail is counted twice and none is lost: what the components draw adds up to what the board draws.

    board = its input rail (VDD_IN; POM_5V_IN on the Nano) where it has one, else all of its rails
    gpu   = the GPU's rail
    ram   = the memory's rail, where it has one
    cpu   = board - gpu - ram

So the input rail, which holds the others already, is never added to them; and what is neither GPU
nor memory (the CPU, the SoC, input and output, losses, memory without a rail) counts as CPU.

Rails: Jetson Linux Developer Guide, "Power and Thermal Management", tables of the INA3221 channels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from carbon.schema import Component

MAX_RAIL_POWER_W = 500.0
"""More than any Jetson draws, which is at most 130 W (Thor): what is beyond is no power."""

MAX_GAP_S = 2.0
"""Over a gap in the readings of a rail that is longer than this nothing is assumed of its power."""

UNUSED = frozenset({"", "NC"})

_INPUTS = ("VDD_IN", "POM_5V_IN")
# The memory of an AGX Orin hangs on its 5 V rail.
_INSIDE_OF = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
_MEMORY_MARKS = ("DDR", "VDDQ", "VDDRQ")
_KNOWN_CONSUMERS = ("GPU", "CPU", "CV", "SOC")


@dataclass(frozen=True)
class Division:
    """Which rails make up the board, and which of them the GPU and the memory."""

    board: tuple[str, ...]
    gpu: tuple[str, ...]
    ram: tuple[str, ...]

    @classmethod
    def of(cls, rails: Iterable[str]) -> "Division":
        """Divide the rails of a board by their names."""
        rails = tuple(rails)
        inputs = tuple(rail for rail in rails if rail in _INPUTS)
        board = inputs[:1] or tuple(r for r in rails if _INSIDE_OF.get(r) not in rails)
        return cls(
            board=board,
            gpu=tuple(rail for rail in rails if "GPU" in rail),
            ram=tuple(rail for rail in rails if any(mark in rail for mark in _MEMORY_MARKS)),
        )

    @property
    def components(self) -> tuple[Component, ...]:
        """What has an energy of its own; the CPU where a rail supplies more than the others."""
        cpu: tuple[Component, ...] = ("cpu",) if {*self.board} - {*self.gpu, *self.ram} else ()
        gpu: tuple[Component, ...] = ("gpu",) if self.gpu else ()
        ram: tuple[Component, ...] = ("ram",) if self.ram else ()
        return (*gpu, *cpu, *ram)

    @property
    def gpu_note(self) -> str | None:
        """What the GPU's rail supplies besides the GPU, or None."""
        others = [
            f"rail {rail} also supplies {' and '.join(also)}"
            for rail in self.gpu
            if (also := [c for c in _KNOWN_CONSUMERS[1:] if c in rail.split("_")])
        ]
        return "; ".join(others) or None


class RailEnergies:
    """The energy of every component since the first reading, by the trapezoidal rule."""

    def __init__(self, division: Division) -> None:
        self._division = division
        self._latest: dict[str, tuple[float, float]] = {}
        self._energy_j: dict[str, float] = {}
        self._cpu_j = 0.0

    def add(self, at_s: float, power_w: Mapping[str, float]) -> None:
        """Add one reading of the rails, of those that could be read."""
        for rail, watts in power_w.items():
            if rail in self._latest:
                last_s, last_w = self._latest[rail]
                drawn_j = (last_w + watts) / 2 * (at_s - last_s)
                self._energy_j[rail] = self._energy_j.get(rail, 0.0) + drawn_j
            self._latest[rail] = at_s, watts
        for rail in [r for r in self._latest if r not in power_w]:
            if at_s - self._latest[rail][0] > MAX_GAP_S:
                del self._latest[rail]

    def of(self, component: Component) -> float:
        """Return what a component has drawn, in joules; it never goes back."""
        gpu_j, ram_j = self._sum(self._division.gpu), self._sum(self._division.ram)
        if component == "gpu":
            return gpu_j
        if component == "ram":
            return ram_j
        # The channels are read one after the other: for a moment the rest may look like less.
        self._cpu_j = max(self._cpu_j, self._sum(self._division.board) - gpu_j - ram_j)
        return self._cpu_j

    def _sum(self, rails: Iterable[str]) -> float:
        return sum(self._energy_j.get(rail, 0.0) for rail in rails)


def plausible_w(watts: float) -> float:
    """Return a rail's power; raises `ValueError` where it is none.

    The shunts' offset can show a rail that draws nothing as slightly below zero, which is zero.
    """
    if not abs(watts) <= MAX_RAIL_POWER_W:
        raise ValueError(f"{watts:g} W is no power of a rail")
    return max(watts, 0.0)
