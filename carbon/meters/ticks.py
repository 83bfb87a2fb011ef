"""When a counter that moves in steps was exact: at its ticks.

Between two ticks a counter shows what had been drawn by the first of them, so that each edge of a
window may be a step behind. Read every few milliseconds it shows its ticks: the value before one
was exact a period earlier, the value after it is exact there, and in between energy is
interpolated. Everything here is arithmetic; who reads and waits is elsewhere.
"""

from dataclasses import dataclass
from itertools import pairwise

from carbon.meters.base import Reading

LEARNING_INTERVAL_S = 0.002
"""How often a counter is read until the time between two ticks is known,"""

FOLLOWING_INTERVAL_S = 0.004
"""and how often while one tick is waited for."""

LEARNING_S = 0.5
"""How long the period is learned at most. Two ticks are enough where a driver answers at once."""

LEARNING_LOOKS = 50
"""As long as there have been fewer looks than this, learning goes on up to three times as long: on
a busy machine whoever looks is seldom given a turn."""

DEFAULT_PERIOD_S = 0.1
"""The longest time between two ticks that is known of energy counters, until one's own is found."""

PERIOD_ERROR = 0.05
"""How well the period has to be known, relative to itself."""


@dataclass(frozen=True)
class _Step:
    """Two looks in a row, in seconds, that showed different values."""

    from_s: float
    until_s: float
    energy_j: float
    """What the second one showed."""

    @property
    def tick_s(self) -> float:
        return (self.from_s + self.until_s) / 2

    @property
    def gap_s(self) -> float:
        return self.until_s - self.from_s


class Ticks:
    """Makes readings of what a counter shows, joules at moments of the monotonic clock.

    Attributes:
        period_s: the time between two ticks; `DEFAULT_PERIOD_S` where it was not found.
        is_following: whether the counter should be looked at every `interval_s`.
        seen_s: the moment of the last look.
        last: what the last look made known.
    """

    def __init__(self, at_s: float, energy_j: float) -> None:
        self.period_s = DEFAULT_PERIOD_S
        self.is_following = True
        self.seen_s = at_s
        self.last = Reading(at_s, energy_j, is_final=False)
        self._energy_j = energy_j
        self._first: Reading | None = self.last  # Until the period is learned, or given up.
        self._looks = 0
        self._steps: list[_Step] = []
        self._row: list[_Step] = []  # The last of them, with one tick in each.
        self._target_s = at_s
        self._give_up_s = at_s + LEARNING_S

    @property
    def interval_s(self) -> float:
        """How long to wait for the next look while following."""
        return FOLLOWING_INTERVAL_S if self._first is None else LEARNING_INTERVAL_S

    def follow(self, at_s: float) -> None:
        """Look for the first tick after `at_s`: by then the energy at that moment is known."""
        self._target_s = at_s
        self._give_up_s = max(
            self._give_up_s, at_s + 1.5 * self.period_s + 2 * FOLLOWING_INTERVAL_S
        )
        self.is_following = True

    def see(self, at_s: float, energy_j: float, *, is_whole: bool = True) -> Reading:
        """Return what is known now that the counter showed `energy_j`, never less than before.

        Args:
            is_whole: false where an unknown part is missing, after a restart of the counter.
        """
        step = _Step(self.seen_s, at_s, energy_j) if energy_j > self._energy_j else None
        before_j = self._energy_j
        self.seen_s, self._energy_j = at_s, energy_j
        if not is_whole:
            self.last = self._settled()
        elif self._first is not None:
            self._learn(step)
            if self._first is not None:
                self.last = self._guessed(self._first)
        elif not self.is_following:
            self.last = self._undated()
        else:
            self._look(step, before_j)
        return self.last

    def stand_still(self, at_s: float) -> Reading:
        """Return what is known where the counter does not answer at `at_s`: nothing is added."""
        self.seen_s = at_s
        known: tuple[Reading, ...] = ()
        if self._first is not None:
            settled = self._settled()
            known = (*settled.earlier, Reading(settled.at_s, settled.energy_j))
        self.is_following = False
        self.last = Reading(at_s, self._energy_j, known)
        return self.last

    def _learn(self, step: _Step | None) -> None:
        if step is not None:
            self._steps.append(step)
            self._row = [*self._row, step] if self._is_next(step) else [step]
            if len(self._row) > 1:
                count = len(self._row) - 1
                error_s = (self._row[0].gap_s + step.gap_s) / 2 / count
                if error_s <= PERIOD_ERROR * self._mean_period_s():
                    self.last = self._learned()
                    return
        self._looks += 1
        more_s = 0.0 if self._looks >= LEARNING_LOOKS else 2 * LEARNING_S
        if self.seen_s > self._give_up_s + more_s:
            self.last = self._settled()

    def _is_next(self, step: _Step) -> bool:
        """Whether there was one tick since the step before: a long gap may hide several."""
        if not self._row:
            return False
        last = self._row[-1]
        period_s = self._mean_period_s() if len(self._row) > 1 else step.tick_s - last.tick_s
        # Where every look shows another value, gaps are as long as what passes for the period.
        short_s, long_s = sorted([last.gap_s, step.gap_s])
        return long_s <= max(0.75 * period_s, 1.5 * short_s)

    def _mean_period_s(self) -> float:
        return (self._row[-1].tick_s - self._row[0].tick_s) / (len(self._row) - 1)

    def _look(self, step: _Step | None, before_j: float) -> None:
        if step is not None and step.gap_s <= self.period_s:
            tick_s = step.tick_s
            self.last = Reading(tick_s, step.energy_j, (Reading(tick_s - self.period_s, before_j),))
            self.is_following = tick_s <= self._target_s
        elif step is not None:
            self.last = Reading(self._undated().at_s, step.energy_j, is_final=False)
        if self.is_following and self.seen_s > self._give_up_s:
            self.last = self._settled()

    def _learned(self) -> Reading:
        """Put everything seen so far where the ticks are, by the last of them and the period."""
        assert self._first is not None
        period_s = self.period_s = self._mean_period_s()
        last_s = self._steps[-1].tick_s

        def dated(t_s: float) -> float:
            # Half a period before a moment, there is a tick no further than that from there.
            return last_s - round((last_s - t_s) / period_s + 0.5) * period_s

        begin_s = self._steps[0].tick_s - period_s
        if self._steps[0].gap_s > period_s / 2:
            begin_s = dated(self._first.at_s)
        points = [Reading(begin_s, self._first.energy_j)]
        for step in self._steps:
            is_sharp = step.gap_s <= period_s / 2 or step is self._steps[-1]
            points.append(Reading(step.tick_s if is_sharp else dated(step.until_s), step.energy_j))
        self.is_following = last_s <= self._target_s
        self._first, self._steps = None, []
        return Reading(last_s, points[-1].energy_j, tuple(points[:-1]))

    def _guessed(self, first: Reading) -> Reading:
        """Return what is known before the period is, for a run that is killed meanwhile."""
        late_s = self.period_s / 2
        begin = Reading(first.at_s - late_s, first.energy_j, is_final=False)
        return Reading(self.seen_s - late_s, self._energy_j, (begin,), is_final=False)

    def _settled(self) -> Reading:
        """Stop looking, and make do with what was seen."""
        first, self.is_following = self._first, False
        if first is None:
            return self._undated()
        if len(self._row) > 1:
            last = self._learned()
            self.is_following = False
            return last
        # There was a tick in each of two steps, so they hold a period between them.
        spans = (after.until_s - before.from_s for before, after in pairwise(self._steps))
        self.period_s = min([self.period_s, *spans])
        late_s = self.period_s / 2
        begin = Reading(first.at_s - late_s, first.energy_j)
        steps = (Reading(step.until_s - late_s, step.energy_j) for step in self._steps)
        self._first, self._steps = None, []
        undated = self._undated()
        return Reading(undated.at_s, undated.energy_j, (begin, *steps))

    def _undated(self) -> Reading:
        """Return the last look as if a tick had been half a period ago, which it was on average."""
        return Reading(self.seen_s - self.period_s / 2, self._energy_j)
