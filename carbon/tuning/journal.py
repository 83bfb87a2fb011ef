"""The search's own journal: what was started, heard of and decided, one line of JSON each.

It is all that a search is resumed from. Lines are appended whole, by whoever looks after a trial.
"""

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from carbon.errors import CarbonError
from carbon.tuning.space import Value

TrialStatus = Literal["running", "completed", "stopped", "failed", "interrupted"]
"""`stopped` is by the search's decision, `interrupted` when the search itself was ended."""

BASELINE, FINAL = "baseline", "final"
"""Names of the trials that are not counted among the searched ones, which are numbers."""


@dataclass
class Trial:
    """One trial as the journal tells of it.

    Attributes:
        name: its number, from 0 on, or `BASELINE` or `FINAL`.
        values: the metric by epoch, the first epoch being 1; None where it was not finite.
        reported_s: when each of these epochs ended, in seconds since the trial began.
        energy_kwh, emissions_kg: of its run, once that has ended; None is unknown.
        reason: why it ended, where it did not complete.
    """

    name: str
    parameters: dict[str, Value]
    run_id: UUID
    started_at: datetime
    values: dict[int, float | None] = field(default_factory=dict)
    reported_s: dict[int, float] = field(default_factory=dict)
    status: TrialStatus = "running"
    ended_at: datetime | None = None
    reason: str | None = None
    energy_kwh: float | None = None
    emissions_kg: float | None = None

    @property
    def is_searched(self) -> bool:
        """Whether it is one of the search's own, not the baseline or the final training."""
        return self.name not in (BASELINE, FINAL)

    @property
    def last_value(self) -> float | None:
        """The metric at the last epoch that is known."""
        return self.values[max(self.values)] if self.values else None


class Journal:
    """The file `search.jsonl` in the search's directory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "search.jsonl"

    def spec(self) -> dict[str, Any] | None:
        """Return what the search was asked for when it began; None where it has not."""
        return next((line["spec"] for line in self._lines() if line["event"] == "search"), None)

    def trials(self) -> list[Trial]:
        """Return the trials in the order in which they began.

        One that was interrupted begins once more under its name when the search is resumed.
        """
        everything: list[Trial] = []
        found: dict[str, Trial] = {}
        for line in self._lines():
            match line["event"]:
                case "started":
                    found[line["trial"]] = Trial(
                        line["trial"],
                        line["parameters"],
                        UUID(line["run_id"]),
                        datetime.fromisoformat(line["at"]),
                    )
                    everything.append(found[line["trial"]])
                case "reported":
                    trial, epoch = found[line["trial"]], line["epoch"]
                    took = datetime.fromisoformat(line["at"]) - trial.started_at
                    trial.values[epoch], trial.reported_s[epoch] = (
                        line["value"],
                        took.total_seconds(),
                    )
                case "ended":
                    trial = found[line["trial"]]
                    trial.status, trial.reason = line["status"], line["reason"]
                    trial.energy_kwh, trial.emissions_kg = (
                        line["energy_kwh"],
                        line["emissions_kg"],
                    )
                    trial.ended_at = datetime.fromisoformat(line["at"])
        return everything

    def begun(self, spec: dict[str, Any]) -> None:
        """Note what the search is asked for."""
        self._say("search", spec=spec)

    def started(self, name: str, parameters: dict[str, Value], run_id: UUID) -> None:
        """Note a trial before its process is there."""
        self._say("started", trial=name, parameters=parameters, run_id=str(run_id))

    def reported(self, name: str, epoch: int, value: float | None) -> None:
        """Note the metric after an epoch."""
        self._say("reported", trial=name, epoch=epoch, value=value)

    def ended(
        self,
        name: str,
        status: TrialStatus,
        reason: str | None,
        energy_kwh: float | None,
        emissions_kg: float | None,
    ) -> None:
        """Note how a trial ended, and what its run cost."""
        self._say(
            "ended",
            trial=name,
            status=status,
            reason=reason,
            energy_kwh=energy_kwh,
            emissions_kg=emissions_kg,
        )

    def _say(self, event: str, **said: Any) -> None:
        line = json.dumps({"event": event, "at": datetime.now(UTC).isoformat(), **said}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                os.write(fd, line.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise CarbonError(
                f"{self.path} cannot be written: {error.strerror}; give another --folder"
            ) from error

    def _lines(self) -> list[dict[str, Any]]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CarbonError(f"{self.path} cannot be read: {error.strerror}") from error
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                found.append(json.loads(line))
            except ValueError:
                if number < text.count("\n"):  # The last one may have been torn by a kill.
                    raise CarbonError(f"{self.path}, line {number}, is no JSON") from None
        return found
