"""How far a study is: a bar on a terminal, plain lines elsewhere."""

import statistics
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.text import Text

from carbon.study.folder import History
from carbon.study.plan import PlannedRun

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_WORDS = {"completed": "completed", "failed": "FAILED", "interrupted": "interrupted"}


class Progress:
    """Shows a study's runs as they begin and end, and how long those that remain will take."""

    def __init__(self, console: Console, history: History, *, are_together: bool = False) -> None:
        """Show nothing before the block is entered.

        Args:
            console: where.
            history: the study's, which goes on growing.
            are_together: whether runs are made at the same time: then nothing is known of how long
                all of them take.
        """
        self._console = console
        self._history = history
        self._are_together = are_together
        self._began_s: dict[PlannedRun, float] = {}
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            text = TextColumn("{task.description}", markup=False)
            left = TextColumn("{task.fields[left]}", markup=False)
            bar = Bar(BarColumn(), MofNCompleteColumn(), left, text, console=self._console)
            bar.add_task("", total=len(self._history.planned), left="")
            bar.start()
            self._bar = bar
            self.tick()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Write a line."""
        self._console.print(Text(text), soft_wrap=True)

    def began(self, run: PlannedRun, note: str = "") -> None:
        """Show that a run begins."""
        self._began_s[run] = time.monotonic()
        if self._bar is None:
            self._line(f"{run.name} begins{note}", self._ended() + len(self._began_s))
        self.tick()

    def ended(self, run: PlannedRun, note: str = "") -> None:
        """Show how a run ended."""
        self._began_s.pop(run, None)
        attempt = self._history.last(run)
        took = "" if attempt.duration_s is None else f" after {attempt.duration_s:.1f} s"
        self._line(f"{run.name} {_WORDS[attempt.status]}{took}{note}", self._ended())
        self.tick()

    def tick(self) -> None:
        """Let the bar show what is so now."""
        if self._bar is None:
            return
        now = ", ".join(str(run.configuration) for run in self._began_s)
        self._bar.update(
            self._bar.task_ids[0],
            completed=self._ended(),
            total=len(self._history.planned),
            description=now,
            left=self._left(),
        )

    def time_left_s(self) -> float | None:
        """Return how long the runs that remain will take, in seconds; None where none was measured.

        A run takes what those of its configuration took, or all runs where none of those ended.
        """
        if self._are_together:
            return None
        left = [run for run in self._history.planned if not self._has_ended(run)]
        taken = {run.configuration: self._history.completed_s(run.configuration) for run in left}
        everything = [
            attempt.duration_s
            for attempts in self._history.attempts.values()
            for attempt in attempts
            if attempt.status == "completed" and attempt.duration_s is not None
        ]
        if not everything:
            return None
        now_s, total_s = time.monotonic(), 0.0
        for run in left:
            expected_s = statistics.fmean(taken[run.configuration] or everything)
            spent_s = now_s - self._began_s[run] if run in self._began_s else 0.0
            total_s += max(expected_s - spent_s, 0.0)
        return total_s

    def _line(self, text: str, number: int) -> None:
        total = len(self._history.planned)
        left = self._left() if self._bar is None else ""
        self.say(f"[{number:{len(str(total))}}/{total}] {text}" + (f"; {left}" if left else ""))

    def _left(self) -> str:
        left_s = self.time_left_s()
        return (
            "" if left_s is None or self._ended() == len(self._history.planned) else about(left_s)
        )

    def _has_ended(self, run: PlannedRun) -> bool:
        return self._history.status(run) in ("completed", "failed")

    def _ended(self) -> int:
        return sum(map(self._has_ended, self._history.planned))


def about(duration_s: float) -> str:
    """Write how long something will take, no more exactly than it is known."""
    if duration_s < 60:
        return f"about {duration_s:.0f} s left"
    minutes = round(duration_s / 60)
    if minutes < 60:
        return f"about {minutes} min left"
    return f"about {minutes // 60} h {minutes % 60} min left"
