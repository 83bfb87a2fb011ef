"""A study's folder: what was planned, what began and how it ended, so that it can be gone on with.

    study.yaml      the study as it was checked; can be given to `carbon study run` again
    journal.jsonl   what happened, appended line by line, locked by whoever runs the study
    logs/           the output of each run
    jobs/           the scripts of `--launcher slurm`

The journal holds a line for each thing that happened, before or just after it did. The last line
may be torn by a kill; it is then as if it had not been written.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from carbon.attribution.run_id import new_run_id
from carbon.errors import CarbonError
from carbon.schema import Status
from carbon.spool.spool import HeldFile
from carbon.study.machine import with_threads
from carbon.study.plan import Configuration, PlannedRun
from carbon.study.spec import StudySpec, extended, make_spec, read_document, write_document


@dataclass
class Attempt:
    """One time that a planned run was started."""

    run_id: UUID
    began_at: datetime
    status: Status = "running"
    duration_s: float | None = None
    job: str | None = None
    """The Slurm job's number."""
    neighbours: int = 0
    """How many other tracked runs were on the machine when it began."""


@dataclass
class History:
    """What a journal says."""

    planned: list[PlannedRun] = field(default_factory=list)
    attempts: dict[PlannedRun, list[Attempt]] = field(default_factory=dict)

    def status(self, run: PlannedRun) -> Status | None:
        """Return how the last attempt of a run ended, "running" if not, None if there is none."""
        attempts = self.attempts.get(run)
        return attempts[-1].status if attempts else None

    def begun(self) -> list[PlannedRun]:
        """Return the runs whose end was never noted."""
        return [run for run in self.planned if self.status(run) == "running"]

    def to_do(self, *, retry_failed: bool) -> list[PlannedRun]:
        """Return the runs that have to be started, in their order."""
        done: list[Status | None] = ["completed", "running"]
        if not retry_failed:
            done.append("failed")
        return [run for run in self.planned if self.status(run) not in done]

    def last(self, run: PlannedRun) -> Attempt:
        """Return the last attempt of a run that has one."""
        return self.attempts[run][-1]

    def completed_s(self, configuration: Configuration) -> list[float]:
        """Return how long the completed runs of a configuration took, in seconds."""
        return [
            attempt.duration_s
            for run, attempts in self.attempts.items()
            for attempt in attempts
            if run.configuration == configuration
            and attempt.status == "completed"
            and attempt.duration_s is not None
        ]


class StudyFolder:
    """A study that this process alone runs; see `opened`.

    Attributes:
        path: where it is.
        history: what has happened.
    """

    def __init__(self, path: Path, journal: HeldFile) -> None:
        self.path = path
        self._journal = journal
        text = journal.path.read_text(encoding="utf-8", errors="replace")
        self.history = read(text)
        if text and not text.endswith("\n"):
            journal.append("\n")  # After a torn line, which must not take the next with it.

    def plan(self, runs: Sequence[PlannedRun]) -> None:
        """Put runs at the end of the order."""
        keys = [[run.configuration.strategy, run.configuration.workers, run.repeat] for run in runs]
        if keys:
            self._say("planned", runs=keys)

    def begin(self, run: PlannedRun, neighbours: int = 0) -> Attempt:
        """Note that a run is about to be started, under a run id of its own."""
        self._say("began", run=run.key, run_id=str(new_run_id()), neighbours=neighbours)
        return self.history.last(run)

    def submitted(self, run: PlannedRun, job: str) -> None:
        """Note the number of a run's job."""
        self._say("submitted", run=run.key, job=job)

    def end(self, run: PlannedRun, status: Status, duration_s: float | None) -> None:
        """Note how a run ended, and how long it took in seconds where that is known."""
        rounded = None if duration_s is None else round(duration_s, 3)
        self._say("ended", run=run.key, status=status, duration_s=rounded)

    def log(self, run: PlannedRun) -> Path:
        """Return the file for the output of a run's last attempt."""
        n_attempts = len(self.history.attempts[run])
        again = f"-{n_attempts}" if n_attempts > 1 else ""
        return self.path / "logs" / f"{run.key}{again}.log"

    def _say(self, event: str, **said: Any) -> None:
        line = {"event": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **said}
        try:
            self._journal.append(json.dumps(line) + "\n")
        except OSError as error:
            raise CarbonError(
                f"{self._journal.path} cannot be written: {error.strerror or error}"
            ) from error
        _apply(self.history, line)


@contextmanager
def opened(path: Path, spec: StudySpec) -> Iterator[tuple[StudyFolder, StudySpec]]:
    """Open a study's folder for running it, creating it; gives the study as it goes on too.

    Raises:
        CarbonError: the folder cannot be written, or another process runs the study.
        UsageError: it was begun as another study.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        journal = HeldFile.open(path / "journal.jsonl")
    except OSError as error:
        raise CarbonError(
            f"the study cannot be kept in {path}: {error.strerror or error}; choose a --folder "
            "that can be written"
        ) from error
    if journal is None:
        raise CarbonError(f"the study in {path} is being run by another process")
    try:
        kept = kept_spec(path)
        spec = with_threads(spec if kept is None else extended(kept, spec), os.environ)
        if spec != kept:
            draft = path / "study.yaml.new"
            draft.write_text(write_document(spec), encoding="utf-8")
            os.replace(draft, path / "study.yaml")
        yield StudyFolder(path, journal), spec
    finally:
        journal.close()


def kept_spec(path: Path) -> StudySpec | None:
    """Return the study that is in a folder; None where there is none.

    Raises:
        UsageError: it cannot be read.
    """
    file = path / "study.yaml"
    return make_spec(read_document(file), str(file)) if file.is_file() else None


def read_history(path: Path) -> History:
    """Read what has happened to a study, which somebody may be running."""
    try:
        text = (path / "journal.jsonl").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        text = ""
    return read(text)


def read(text: str) -> History:
    """Fold the lines of a journal; those that were torn are left out."""
    history = History()
    for line in text.splitlines():
        try:
            _apply(history, json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError):
            continue
    return history


def _apply(history: History, line: dict[str, Any]) -> None:
    if line["event"] == "planned":
        history.planned += [
            PlannedRun(Configuration(strategy, workers), repeat)
            for strategy, workers, repeat in line["runs"]
        ]
        return
    run = next((run for run in history.planned if run.key == line["run"]), None)
    if run is None:
        return
    if line["event"] == "began":
        attempt = Attempt(UUID(line["run_id"]), datetime.fromisoformat(line["at"]))
        attempt.neighbours = line["neighbours"]
        history.attempts.setdefault(run, []).append(attempt)
    elif line["event"] == "submitted":
        history.last(run).job = line["job"]
    elif line["event"] == "ended":
        last = history.last(run)
        last.status, last.duration_s = line["status"], line["duration_s"]
