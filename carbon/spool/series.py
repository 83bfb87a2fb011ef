"""A quantity over time in bounded memory: the mean of each of equal stretches, which grow wider.

A long run has no more points than a short one, they stand for longer. Widening adds the sums of two
neighbours, so that the mean over all that was covered stays what it was, to rounding.
"""

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

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
        self.add_row((from_s, until_s), (value,))

    def add_row(self, edges_s: Sequence[float], values: Sequence[float | None]) -> None:
        """Let each value stand for the time between its edge and the next one, as `add` does.

        Args:
            edges_s: moments in order, one more than there are values.
            values: what holds in between; None where nothing is known.
        """
        start_s, until_s = self.start_s, edges_s[-1]
        if not until_s > max(edges_s[0], start_s):
            return
        while until_s - start_s > self._max_points * self.interval_s:
            self.widen()
        interval_s, covered_s, sums = self.interval_s, self._covered_s, self._sums
        # A moment on the edge of two stretches ends the earlier one, whatever rounding makes of it.
        last = min(int((until_s - start_s) / interval_s), self._max_points - 1)
        missing = last + 1 - len(sums)
        if missing > 0:
            zeros = array("d", bytes(8 * missing))
            covered_s.extend(zeros)
            sums.extend(zeros)
        from_s = max(edges_s[0], start_s)
        index = min(int((from_s - start_s) / interval_s), last)
        edge_s = start_s + (index + 1) * interval_s
        for until_s, value in zip(edges_s[1:], values, strict=True):
            while until_s > edge_s and index < last:
                if edge_s > from_s:
                    if value is not None:
                        covered_s[index] += edge_s - from_s
                        sums[index] += (edge_s - from_s) * value
                    from_s = edge_s
                index += 1
                edge_s = start_s + (index + 1) * interval_s
            if until_s > from_s:
                if value is not None:
                    covered_s[index] += until_s - from_s
                    sums[index] += (until_s - from_s) * value
                from_s = until_s

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

    def packed(self) -> bytes:
        """Return what the points hold, as bytes that `unpack` reads."""
        return self._covered_s.tobytes() + self._sums.tobytes()

    def unpack(self, data: bytes) -> None:
        """Take over the points that `packed` returned; raises ValueError where they are none."""
        numbers = array("d")
        numbers.frombytes(data)
        points, rest = divmod(len(numbers), 2)
        if rest or points > self._max_points or not self.interval_s > 0:
            raise ValueError("not the points of a series")
        self._covered_s, self._sums = numbers[:points], numbers[points:]


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

    def to_bytes(self) -> bytes:
        """Return the series as the spool keeps them: a line of JSON, and after it the bare points.

        They are written again and again beside a training, and this takes the least time: text
        takes ten times as long. The bytes are this machine's own, for no other to read.
        """
        points = [one.series.packed() for one in self.recorded]
        heading = {
            "hostname": self.hostname,
            "attempt": self.attempt,
            "started_at": self.started_at.isoformat(),
            "recorded": [
                {
                    "name": one.name,
                    "device_uuid": one.device_uuid,
                    "start_s": one.series.start_s,
                    "interval_s": one.series.interval_s,
                    "bytes": len(packed),
                }
                for one, packed in zip(self.recorded, points, strict=True)
            ],
        }
        return b"\n".join([json.dumps(heading).encode(), b"".join(points)])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the series back.

        Raises:
            ValueError: not what `to_bytes` returned.
        """
        line, _, points = data.partition(b"\n")
        try:
            heading = json.loads(line)
            recorded, at = [], 0
            for one in heading["recorded"]:
                series = Series(float(one["start_s"]), float(one["interval_s"]))
                series.unpack(points[at : at + one["bytes"]])
                recorded.append(RecordedSeries(_known(one["name"]), one["device_uuid"], series))
                at += one["bytes"]
            started_at = datetime.fromisoformat(heading["started_at"])
            part = cls(heading["hostname"], heading["attempt"], started_at, recorded)
        except (KeyError, TypeError) as error:
            raise ValueError("not the series of a part") from error
        if at != len(points):
            raise ValueError("not all of the series of a part")
        return part


def _known(name: str) -> SeriesName:
    if name not in SERIES_NAMES:
        raise ValueError(f"{name!r} is no series known here")
    return name
