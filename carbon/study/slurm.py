"""Runs of a study as jobs of a Slurm cluster: submitted in order, and watched to their end."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from carbon.errors import CarbonError
from carbon.schema import Status
from carbon.settings import Settings
from carbon.study import machine
from carbon.study.folder import StudyFolder
from carbon.study.plan import PlannedRun
from carbon.study.progress import Progress
from carbon.study.results import reports_of
from carbon.study.slurm_script import job_name, script
from carbon.study.spec import StudySpec

ASKED_TIMEOUT_S = 60.0

# squeue(1), "JOB STATE CODES". What somebody else ended says nothing against the run.
_OVER: dict[str, Status] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "TIMEOUT": "failed",
    "OUT_OF_MEMORY": "failed",
    "DEADLINE": "failed",
    "LAUNCH_FAILED": "failed",
    "RECONFIG_FAIL": "failed",
    "BOOT_FAIL": "interrupted",
    "NODE_FAIL": "interrupted",
    "CANCELLED": "interrupted",
    "PREEMPTED": "interrupted",
    "REVOKED": "interrupted",
}


def shown(
    spec: StudySpec, path: Path, runs: Sequence[PlannedRun], settings: Settings, *, to_stop: bool
) -> list[str]:
    """Return the scripts that would be submitted, and how."""
    lines = []
    variables = machine.set_for_runs(spec, settings)
    for number, run in enumerate(runs, 1):
        before = "JOB_BEFORE" if number > 1 else None
        command = _sbatch(spec, path / "jobs" / f"{run.key}.sh", before, to_stop=to_stop)
        log = path / "logs" / f"{run.key}.log"
        lines.append(f"# {number} of {len(runs)}: {run.name}: {' '.join(command)}")
        lines += script(spec, run, "AN_ID_OF_ITS_OWN", log, variables).splitlines()
    return lines


def run_all(
    spec: StudySpec,
    folder: StudyFolder,
    *,
    settings: Settings,
    progress: Progress,
    retry_failed: bool,
    stop_on_failure: bool,
) -> None:
    """Submit what has to be run and watch it, together with what was submitted before.

    An interruption ends the watching; the jobs go on, and the next call watches them again.
    """
    _find_lost(spec, folder, settings)
    watched = folder.history.begun()
    for run in watched:
        progress.began(run, f" as job {folder.history.last(run).job}, submitted before")
    job = folder.history.last(watched[-1]).job if watched else None
    for run in folder.history.to_do(retry_failed=retry_failed):
        attempt = folder.begin(run)
        log = folder.log(run)
        path = folder.path / "jobs" / f"{log.stem}.sh"
        for each in (path, log):
            each.parent.mkdir(parents=True, exist_ok=True)
        variables = machine.set_for_runs(spec, settings)
        path.write_text(script(spec, run, str(attempt.run_id), log, variables), encoding="utf-8")
        try:
            job = _submit(_sbatch(spec, path, job, to_stop=stop_on_failure))
        except CarbonError:
            folder.end(run, "interrupted", None)
            raise
        folder.submitted(run, job)
        progress.began(run, f" as job {job}")
    try:
        _watch(spec, folder, settings, progress)
    except KeyboardInterrupt:
        progress.say("carbon study: the jobs go on; `scancel` ends them")
        raise


def _sbatch(spec: StudySpec, path: Path, before: str | None, *, to_stop: bool) -> list[str]:
    command = ["sbatch", "--parsable"]
    if before is not None and to_stop:
        command += [f"--dependency=afterok:{before}", "--kill-on-invalid-dep=yes"]
    elif before is not None and spec.slurm.in_order:
        command.append(f"--dependency=afterany:{before}")
    return [*command, str(path)]


def _submit(command: Sequence[str]) -> str:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ASKED_TIMEOUT_S, check=False
        )
    except OSError as error:
        raise CarbonError(f"{command[0]}: {error.strerror}; is this a login node?") from error
    except subprocess.TimeoutExpired as error:
        raise CarbonError(f"sbatch did not answer within {ASKED_TIMEOUT_S:.0f} s") from error
    # With several clusters the job's number is followed by the cluster's name.
    job = answer.stdout.strip().partition(";")[0]
    if answer.returncode or not job.isdecimal():
        raise CarbonError(
            f"sbatch refused {command[-1]}: {(answer.stderr or answer.stdout).strip()}"
        )
    return job


def _watch(spec: StudySpec, folder: StudyFolder, settings: Settings, progress: Progress) -> None:
    while runs := folder.history.begun():
        jobs = {run: folder.history.last(run).job or "" for run in runs}
        states = _states(list(jobs.values()))
        for run, job in jobs.items():
            state = states.get(job)
            if state is None or (state and state not in _OVER):
                continue
            run_id = folder.history.last(run).run_id
            report = reports_of([run_id], settings).get(run_id)
            # A job that nobody knows any more ended as its report says.
            status = _OVER.get(state) or ("failed" if report is None else report.status)
            folder.end(run, status, None if report is None else report.duration_s)
            note = f"; see {folder.log(run)}" if status == "failed" else ""
            progress.ended(run, f" ({state.lower() or 'forgotten'}){note}")
        progress.tick()
        if folder.history.begun():
            time.sleep(spec.slurm.poll_interval_s)


def _states(jobs: Sequence[str]) -> dict[str, str]:
    """Return the states of jobs as squeue and sacct know them.

    Empty is the state of one that neither knows; where they do not answer a job is missing.
    """
    known = _ask(["squeue", "--me", "--noheader", "--format=%i|%T"])
    sacct = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State"]
    kept = _ask([*sacct, f"--jobs={','.join(jobs)}"])
    if known is None and kept is None:
        return {}
    states = {}
    for job in jobs:
        # sacct writes who cancelled a job behind its state. It may lag behind.
        state = (kept or {}).get(job, "").partition(" ")[0]
        state = state if state in _OVER else (known or {}).get(job, state)
        if state or known is not None:
            states[job] = state
    return states


def _ask(command: Sequence[str]) -> dict[str, str] | None:
    """Return the lines of an answer, by what is before the first bar; None where there is none."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ASKED_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.partition("|") for line in answer.stdout.splitlines())
    return {first.strip(): rest.strip() for first, _, rest in rows}


def _find_lost(spec: StudySpec, folder: StudyFolder, settings: Settings) -> None:
    """Find the jobs whose numbers were not noted, because the study was killed just then."""
    for run in folder.history.begun():
        attempt = folder.history.last(run)
        if attempt.job is not None:
            continue
        queued = _ask(["squeue", "--me", "--noheader", "--format=%j|%i"])
        if queued is None:
            raise CarbonError("squeue does not answer: it is not known which jobs were submitted")
        if job := queued.get(job_name(spec, run, str(attempt.run_id))):
            folder.submitted(run, job)
            continue
        report = reports_of([attempt.run_id], settings).get(attempt.run_id)
        is_known = report is not None and report.status != "running"
        folder.end(
            run,
            report.status if report is not None and is_known else "interrupted",
            report.duration_s if report is not None and is_known else None,
        )
