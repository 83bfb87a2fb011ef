"""One RAPL domain: an energy counter in a file, and what it means when it goes back."""

from pathlib import Path

from carbon import units

MAX_DOMAIN_POWER_W = 1000.0
"""More than any package or its memory draws for as long as it takes a counter to wrap: twice the
500 W of the largest processors sold (EPYC 9965, Xeon 6980P)."""

_SLACK_S = 1.0
"""Added to a time between two readings before it is used as a bound: the reader may have been
stopped between looking at the clock and at the counter."""

_MIRROR_ROUNDS = 3
_MIRROR_SLACK_UJ = 1_000_000
"""Counters move about every millisecond (Khan et al., 2018), and two views of one may be a step
apart: 1 J at `MAX_DOMAIN_POWER_W`. They go up to 65,000 J or more, so that two that have nothing to
do with each other are not that close by chance."""


class Domain:
    """A counter of energy in microjoules that starts again at 0 above `max_energy_range_uj`.

    Attributes:
        name: what the kernel calls it.
        package: the number of the processor package it belongs to.
        counter_file: the counter.
        note: why energy is missing, or None.
    """

    def __init__(self, folder: Path, name: str, package: str) -> None:
        self.name = name
        self.package = package
        self.counter_file = folder / "energy_uj"
        self.note: str | None = None
        self._range_file = folder / "max_energy_range_uj"
        self._range_uj = self._count_uj = 0
        self._at_s = self._opened_at_s = 0.0

    def open(self, now_s: float) -> None:
        """Count from now on; raises as `read_uj` does, and where the counter has no range."""
        self._range_uj = _microjoules(self._range_file)
        if not self._range_uj:
            raise ValueError(f"{self._range_file} holds no range")
        self._count_uj = self.read_uj()
        self._at_s = self._opened_at_s = now_s

    @property
    def wrap_s(self) -> float:
        """The shortest time in which the counter can go round."""
        return self._range_uj / units.MICROJOULES_PER_JOULE / MAX_DOMAIN_POWER_W

    def read_uj(self) -> int:
        """Return the counter; raises `OSError` or `ValueError` where it cannot be read."""
        return _microjoules(self.counter_file)

    def drawn_j(self, now_s: float) -> float:
        """Return the joules drawn since the last call that could read the counter.

        Exact to one step of the counter as long as it is read once in `wrap_s`. After a longer gap
        in which it could not be read, it may have gone round unseen: what it shows is then the
        least that was drawn, and `note` says so.
        """
        after = f"after {now_s - self._opened_at_s:.1f} s"
        try:
            count_uj = self.read_uj()
        except (OSError, ValueError) as error:
            if self.note is None:
                self.note = f"{self.name}: no reading {after}: {error}"
            return 0.0
        gap_s = now_s - self._at_s
        drawn_uj = count_uj - self._count_uj
        if drawn_uj < 0:
            drawn_uj += self._range_uj
        self._count_uj, self._at_s = count_uj, now_s
        limit_uj = MAX_DOMAIN_POWER_W * (gap_s + _SLACK_S) * units.MICROJOULES_PER_JOULE
        if not 0 <= drawn_uj <= limit_uj:
            self.note = f"{self.name}: the energy counter restarted {after}"
            drawn_uj = count_uj if count_uj <= limit_uj else 0
        elif gap_s > self.wrap_s:
            self.note = (
                f"{self.name}: not read for {gap_s:.0f} s {after}; this is the least it drew"
            )
        elif self.note is not None and ": no reading" in self.note:
            self.note = None  # The counter went on counting: nothing was lost.
        return drawn_uj / units.MICROJOULES_PER_JOULE

    def mirrors(self, other: "Domain") -> bool:
        """Whether this and the other domain are one counter, shown twice.

        So are two domains of one package of which this one, read between two readings of the other,
        lies between them, three times over. Two counters that merely draw the same differ by what
        they had counted before. Counters at 0 tell nothing and are taken for two.
        """
        if self.package != other.package:
            return False
        for _ in range(_MIRROR_ROUNDS):
            before_uj, between_uj, after_uj = other.read_uj(), self.read_uj(), other.read_uj()
            if after_uj < before_uj:
                continue  # It has just gone round, and the others decide.
            if not between_uj:
                return False
            if not before_uj - _MIRROR_SLACK_UJ <= between_uj <= after_uj + _MIRROR_SLACK_UJ:
                return False
        return True


def _microjoules(file: Path) -> int:
    text = file.read_text(encoding="ascii").strip()
    if not text.isdecimal():
        raise ValueError(f"{file} holds {text[:40]!r}, which is no energy")
    return int(text)
