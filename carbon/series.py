"""A quantity over time in bounded memory: the mean of each of equal stretches, which grow wider.

A long run has no more points than a short one, they stand for longer. Widening adds the sums of two
neighbours, so that the mean over all that was covered stays what it was, to rounding.
"""

import base64
from array import array
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from carbon.schema import MAX_POINTS, SERIES_NAMES, SERIES_UNITS, SeriesName, SeriesReport
from carbon.units import TIME_DECIMALS

_DECIMALS = {"W": 1, "%": 1, "GiB": 3, "°C": 1, "MHz": 0, "MB/s": 4}
"""Finer than what is measured, and few enough that a report of 16 GPUs stays small."""


class Series:
    """Means over the stretches `[start_s + i * interval_s, start_s + (i + 1) * interval_s)`.

    Attributes:
        start_s: where the first stretch begins.
        interval_s: how long a stretch is; doubled whenever there would be too many.
    """

    def __init__(self, start_s: float, interval_s: float, max_points: int = MAX_POINTS) -> None:
        self.start_s = start_s
        self.interval_s = interval_s
        self._max_points = max_points
        # Of each stretch: the seconds that readings covered, and the integral of the value in them.
        self._covered_s = array("d")
        self._sums = array("d")

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, from_s: float, until_s: float, value: float) -> None:
        """Let `value` stand for the time between two moments; what is before `start_s` is cut off.

        Stretches may be told of in any order, also more than once: the mean of all is kept.
        """
        from_s = max(from_s, self.start_s)
        if not until_s > from_s:
            return
        while until_s - self.start_s > self._max_points * self.interval_s:
            self.widen()
        first = int((from_s - self.start_s) / self.interval_s)
        # A moment on the edge of two stretches ends the earlier one, whatever rounding makes of it.
        last = min(int((until_s - self.start_s) / self.interval_s), self._max_points - 1)
        missing = last + 1 - len(self._sums)
        if missing > 0:
            zeros = array("d", bytes(8 * missing))
            self._covered_s.extend(zeros)
            self._sums.extend(zeros)
        for index in range(first, last + 1):
            begin_s = self.start_s + index * self.interval_s
            covered_s = min(until_s, begin_s + self.interval_s) - max(from_s, begin_s)
            if covered_s > 0:
                self._covered_s[index] += covered_s
                self._sums[index] += covered_s * value

    def widen(self) -> None:
        """Double the stretches: each takes in its right neighbour."""
        self.interval_s *= 2
        for name in ("_covered_s", "_sums"):
            values = getattr(self, name)
            if len(values) % 2:
                values.append(0.0)
            setattr(self, name, array("d", map(float.__add__, values[::2], values[1::2])))

    def add_all(self, other: "Series", shift_s: float = 0.0) -> None:
        """Take in what another series has recorded, its moments moved by `shift_s`."""
        # What it knows of a stretch holds for the covered part, wherever in the stretch that lay.
        for index, (covered_s, total) in enumerate(zip(other._covered_s, other._sums, strict=True)):
            if covered_s > 0:
                begin_s = other.start_s + shift_s + index * other.interval_s
                self.add(begin_s, begin_s + covered_s, total / covered_s)

    def shifted(self, shift_s: float) -> "Series":
        """Return the same series, its moments moved."""
        series = Series(self.start_s + shift_s, self.interval_s, self._max_points)
        series._covered_s, series._sums = self._covered_s[:], self._sums[:]
        return series

    def means(self) -> list[float | None]:
        """Return the mean of each stretch up to the last known one; None where nothing was read."""
        # Covered for less than rounding can make of nothing is not covered.
        least_s = self.interval_s * 1e-6
        means = [
            total / covered_s if covered_s > least_s else None
            for covered_s, total in zip(self._covered_s, self._sums, strict=True)
        ]
        while means and means[-1] is None:
            means.pop()
        return means

    def report(self, name: SeriesName, device_uuid: str | None) -> SeriesReport | None:
        """Return the series as a report has it, rounded; None where it has no point."""
        unit = SERIES_UNITS[name]
        decimals = _DECIMALS[unit]
        values = [None if mean is None else round(mean, decimals) for mean in self.means()]
        if not values:
            return None
        return SeriesReport(
            name=name,
            unit=unit,
            device_uuid=device_uuid,
            start_s=max(round(self.start_s, TIME_DECIMALS), 0.0),
            interval_s=self.interval_s,
            values=values,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the series as plain data for JSON. Packed, as it is written again and again."""
        return {
            "start_s": self.start_s,
            "interval_s": self.interval_s,
            "covered_s": _packed(self._covered_s),
            "sums": _packed(self._sums),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read a series back.

        Raises:
            ValueError: not the document of a series.
        """
        try:
            series = cls(float(document["start_s"]), float(document["interval_s"]))
            series._covered_s = _unpacked(document["covered_s"])
            series._sums = _unpacked(document["sums"])
        except (KeyError, TypeError) as error:
            raise ValueError("not a series") from error
        is_sound = series.interval_s > 0 and len(series._sums) <= MAX_POINTS
        if not is_sound or len(series._sums) != len(series._covered_s):
            raise ValueError("not a series")
        return series


@dataclass(frozen=True)
class RecordedSeries:
    """A series, what it is of and, for an accelerator's, whose."""

    name: SeriesName
    device_uuid: str | None
    series: Series


@dataclass(frozen=True)
class PartSeries:
    """The series that one process has recorded, in seconds since it entered the run."""

    hostname: str
    attempt: int
    started_at: datetime
    recorded: list[RecordedSeries]

    def to_document(self) -> dict[str, Any]:
        """Return the series as plain data for JSON."""
        return {
            "hostname": self.hostname,
            "attempt": self.attempt,
            "started_at": self.started_at.isoformat(),
            "recorded": [
                {"name": one.name, "device_uuid": one.device_uuid, **one.series.to_document()}
                for one in self.recorded
            ],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read the series back.

        Raises:
            ValueError: not the document of a part's series.
        """
        try:
            recorded = [
                RecordedSeries(_known(one["name"]), one["device_uuid"], Series.from_document(one))
                for one in document["recorded"]
            ]
            started_at = datetime.fromisoformat(document["started_at"])
            return cls(document["hostname"], document["attempt"], started_at, recorded)
        except (KeyError, TypeError) as error:
            raise ValueError("not the series of a part") from error


def _known(name: str) -> SeriesName:
    if name not in SERIES_NAMES:
        raise ValueError(f"{name!r} is no series known here")
    return name


def _packed(values: "array[float]") -> str:
    # Seven digits are more than any of these quantities is known to, and half the bytes.
    return base64.b64encode(array("f", values).tobytes()).decode()


def _unpacked(text: str) -> "array[float]":
    values = array("f")
    values.frombytes(base64.b64decode(text, validate=True))
    return array("d", values)
