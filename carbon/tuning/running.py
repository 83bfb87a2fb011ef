"""A trial while it runs: its process, what its run says of the metric, and its end."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from carbon.attribution.run_id import VARIABLE, new_run_id
from carbon.delivery.delivery import deliver, settle
from carbon.errors import CarbonError
from carbon.schema import RunReport
from carbon.settings import Settings
from carbon.spool.merge import merge
from carbon.spool.part import Ended, Part
from carbon.spool.running_parts import RunningParts
from carbon.spool.spool import Spool, encode
from carbon.tuning import guard
from carbon.tuning.commands import trial_command
from carbon.tuning.journal import Journal, TrialStatus
from carbon.tuning.space import Value
from carbon.tuning.spec import TuneSpec
from carbon.tuning.trials import STOPPED_TAG, curve, kept_report

POLL_S = 0.2
"""How often a trial is asked for news: what its run has written to the spool."""

GRACE_S = 10.0
"""How long a trial that is to stop may take before it is killed."""

DELIVERY_TIMEOUT_S = 3.0

_Told = tuple[tuple[str, int, float, bool], ...]


class RunningTrial:
    """One trial, from the start of its process to the delivery of its run.

    Attributes:
        reason: why it is to end before its time, once it is; a search's name or a sentence.
    """

    def __init__(
        self,
        spec: TuneSpec,
        name: str,
        parameters: Mapping[str, Value],
        directory: Path,
        settings: Settings,
        working_directory: Path,
    ) -> None:
        """Start it."""
        self.name = name
        self.parameters = dict(parameters)
        self.run_id = new_run_id()
        self.reason: str | None = None
        self._stop_status: TrialStatus | None = None
        self._spec = spec
        self._settings = settings
        self._spool = Spool(settings.spool_dir)
        self._parts = RunningParts(self._spool, self.run_id)
        self._told: _Told = ()
        self._report: RunReport | None = None
        self._values: dict[int, float | None] = {}
        self._journal = Journal(directory)
        self._log = directory / f"trial-{name}.log"
        self._journal.started(name, self.parameters, self.run_id)
        self._process = self._start(working_directory)

    def poll(self) -> list[tuple[int, float | None]]:
        """Return the metric of the epochs that have ended since this was last asked."""
        self._read()
        known = {} if self._report is None else curve(self._report, self._spec.metric)
        news = [(epoch, value) for epoch, value in known.items() if epoch not in self._values]
        for epoch, value in news:
            self._values[epoch] = value
            self._journal.reported(self.name, epoch, value)
        return news

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is left running. Ask before the last `poll`."""
        return self._process.poll() is not None

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop_status is not None

    @property
    def report(self) -> RunReport | None:
        """Its run as it was when `poll` was last called."""
        return self._report

    def stop(self, status: TrialStatus, reason: str) -> None:
        """Let it end; it has ended when `has_ended` says so."""
        if self._stop_status is None:
            self._stop_status, self.reason = status, reason
            assert self._process.stdin is not None
            self._process.stdin.close()

    def finish(self) -> TrialStatus:
        """Settle the run of a trial that has ended, deliver it, and say how it ended."""
        code = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        status = self._how_it_ended(code)
        if status == "stopped":
            mark_stopped(self._spool, self.run_id, self.reason or "search")
        hand_over(self._settings, self.run_id)
        report = self._report = kept_report(self._spool, self.run_id) or self._report
        self._journal.ended(
            self.name,
            status,
            self.reason,
            None if report is None else report.energy_kwh,
            None if report is None else report.emissions_kg,
        )
        return status

    def _how_it_ended(self, code: int) -> TrialStatus:
        is_whole = not self.is_stopping or max(self._values, default=0) >= self._spec.max_epochs
        if code == 0 and self._values and is_whole:
            self.reason = None  # It may have been quicker than the decision to stop it.
            return "completed"
        if self._stop_status is not None:
            return self._stop_status
        if code == 0:
            logged = sorted(self._report.metrics) if self._report else []
            found = f"it logged {', '.join(logged)}" if logged else "it logged nothing"
            self.reason = f"no metric {self._spec.metric!r}: {found}"
        else:
            self.reason = f"exit code {code}: {_last_line(self._log, self.run_id)}"
        return "failed"

    def _start(self, working_directory: Path) -> "subprocess.Popen[bytes]":
        command = trial_command(self._spec, self.name, self.parameters)
        environ = {**os.environ, VARIABLE: str(self.run_id)}
        environ["CARBON_SPOOL_DIR"] = str(self._settings.spool_dir)
        environ["CARBON_TRIAL"] = self.name
        try:
            with open(self._log, "wb") as log:
                return subprocess.Popen(
                    # Isolated and without `site`: it needs nothing and starts at once.
                    [sys.executable, "-I", "-S", guard.__file__, str(GRACE_S), *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environ,
                    cwd=working_directory,
                    # Ctrl-C is the search's, which stops its trials in order.
                    start_new_session=True,
                )
        except OSError as error:
            raise CarbonError(f"trial {self.name} cannot be started: {error}") from error

    def _read(self) -> None:
        parts = self._parts.parts()
        if not parts:  # Not begun yet, or delivered already.
            self._report = kept_report(self._spool, self.run_id) or self._report
            return
        told: _Told = tuple(
            (p.started.part_name, len(p.epochs), p.sampled.at_s, p.ended is None) for p in parts
        )
        if told != self._told:  # To merge takes milliseconds of a core that trials could use.
            self._told, self._report = told, merge(parts)


def mark_stopped(spool: Spool, run_id: UUID, by: str) -> None:
    """Say in the run itself that a search ended it: the ledger then tells it from a broken one.

    The search speaks as `carbon run` does, as a part around the tracked processes, and adds a tag.
    """
    states = ("runs", "delivered", "rejected")
    if not any((spool.directory / state / str(run_id)).exists() for state in states):
        return  # It was stopped before it said anything.
    held = spool.open_part(run_id, f"search-{os.getpid()}-{time.monotonic_ns()}-launcher")
    try:
        said = spool.parts(run_id)
        if not said:
            held.path.unlink()
            return
        lead = max(said, key=lambda part: (part.started.attempt, -part.started.rank)).started
        started = replace(
            lead,
            is_launcher=True,
            pid=os.getpid(),
            spec={"project": lead.spec["project"], "tags": {STOPPED_TAG: by}},
        )
        held.append(encode([started, Ended("interrupted", 0.0)]))
    finally:
        held.close()


def hand_over(settings: Settings, run_id: UUID) -> None:
    """Finish a run whose processes are gone, and deliver it where the API answers."""
    from carbon.rest.client import Client

    spool = Spool(settings.spool_dir)
    if run_id not in spool.waiting():
        return  # Delivered by its own processes.
    with spool.locked(run_id):
        settle(spool, run_id)
    with Client(settings, timeout_s=DELIVERY_TIMEOUT_S) as client:
        deliver(spool, client, [run_id])


def end_leftovers(spool: Spool, run_id: UUID, hostname: str) -> None:
    """Kill what is still alive on this host of a run whose search was killed."""
    import signal
    from contextlib import suppress

    def living() -> list[Part]:
        return [p for p in spool.parts(run_id) if p.is_alive and p.started.hostname == hostname]

    give_up_s = time.monotonic() + GRACE_S + 5.0  # Its guard ends it by itself within the grace.
    while parts := living():
        if time.monotonic() > give_up_s:
            for part in parts:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(part.started.pid, signal.SIGKILL)
        time.sleep(0.05)


def _last_line(log: Path, run_id: UUID) -> str:
    """Return the last line that a trial wrote, but for what its tracking said at the end."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return "no output"
    lines = [line.strip() for line in text.splitlines() if str(run_id) not in line]
    last = next((line for line in reversed(lines) if line), "no output")
    return f"{last[:200]} ({log.name})"
