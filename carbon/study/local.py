"""Runs of a study on this machine, one after the other; with a Ray cluster started from here."""

import shlex
import time
from collections.abc import Sequence

from carbon.attribution.neighbours import runs_here
from carbon.schema import Status
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.study import commands, machine
from carbon.study.folder import StudyFolder
from carbon.study.plan import PlannedRun
from carbon.study.progress import Progress
from carbon.study.results import in_spool
from carbon.study.spec import StudySpec
from carbon.tracking.children import Child

POLL_INTERVAL_S = 0.1
LEFT_OVER_POLL_S = 0.5


def shown(spec: StudySpec, runs: Sequence[PlannedRun], settings: Settings) -> list[str]:
    """Return what would be started, as a shell would be told."""
    said = [f"{key}={value}" for key, value in machine.set_for_runs(spec, settings).items()]
    lines = ["# in this order, one after the other, each with a CARBON_RUN_ID of its own"]
    for number, run in enumerate(runs, 1):
        lines.append(f"# {number} of {len(runs)}: {run.name}")
        lines.append(" ".join([*said, shlex.join(commands.of_run(spec, run))]))
    return lines


def go_on_with_left_over(folder: StudyFolder, settings: Settings, progress: Progress) -> None:
    """Find out what became of the runs that were under way when the study was killed.

    One that goes on is waited for: a second one beside it would be measured with it. How it ended
    is what its report says; without one it was interrupted, and is made again.
    """
    for run in folder.history.begun():
        attempt = folder.history.last(run)
        if pids := machine.processes_of(attempt.run_id):
            goes_on = f", which goes on from before as process {min(pids)}"
            progress.began(run, goes_on)
            while machine.processes_of(attempt.run_id):
                progress.tick()
                time.sleep(LEFT_OVER_POLL_S)
        report = in_spool(Spool(settings.spool_dir), attempt.run_id)
        if report is None or report.status == "running":
            folder.end(run, "interrupted", None)
        else:
            folder.end(run, report.status, report.duration_s)
        progress.ended(run, " (begun before)")


def run_all(
    spec: StudySpec,
    folder: StudyFolder,
    runs: Sequence[PlannedRun],
    settings: Settings,
    progress: Progress,
    *,
    stop_on_failure: bool,
) -> None:
    """Make the runs in their order; a failed one stops the others only where that is asked for."""
    for run in runs:
        status = _run(spec, folder, run, settings, progress)
        if status == "failed" and stop_on_failure:
            return


def _run(
    spec: StudySpec,
    folder: StudyFolder,
    run: PlannedRun,
    settings: Settings,
    progress: Progress,
) -> Status:
    others = runs_here(Spool(settings.spool_dir))
    folder.begin(run, len(others))
    progress.began(run)
    if others:
        progress.say(
            f"carbon study: another tracked run is on this machine ({min(others)}): what "
            f"{run.name} takes does not compare with the others"
        )
    status: Status = "interrupted"
    began_s = time.monotonic()
    try:
        status = _train(spec, folder, run, settings, progress)
    finally:
        folder.end(run, status, time.monotonic() - began_s)
        progress.ended(run, f"; see {folder.log(run)}" if status == "failed" else "")
    return status


def _train(
    spec: StudySpec,
    folder: StudyFolder,
    run: PlannedRun,
    settings: Settings,
    progress: Progress,
) -> Status:
    command, log = commands.of_run(spec, run), folder.log(run)
    environ = machine.environment(spec, settings, folder.history.last(run).run_id)
    try:
        with Child(run.name, command, environ, log) as child:
            while (code := child.exit_code()) is None:
                progress.tick()
                time.sleep(POLL_INTERVAL_S)
    except OSError as error:
        log.write_text(f"{command[0]}: {error.strerror}\n", encoding="utf-8")
        return "failed"
    return "completed" if code == 0 else "failed"
