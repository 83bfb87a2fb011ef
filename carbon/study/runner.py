"""`carbon study run`: every run of a study that has not been made yet, and what they came to."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from carbon import local_ray
from carbon.errors import CarbonError
from carbon.processes import require
from carbon.settings import Settings
from carbon.study import local, machine, slurm
from carbon.study.folder import History, StudyFolder, kept_spec, opened, read_history
from carbon.study.plan import configurations, left_out, plan
from carbon.study.progress import Progress
from carbon.study.results import reports_of, table
from carbon.study.spec import StudySpec, extended
from carbon.study.strategies import require_installed

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


@dataclass(frozen=True)
class Wishes:
    """How a study is to be run, which is not part of what it is."""

    retry_failed: bool = False
    stop_on_failure: bool = False


def dry_run(spec: StudySpec, path: Path, settings: Settings, wishes: Wishes) -> list[str]:
    """Return what a call would start, line by line, without starting or writing anything."""
    kept = kept_spec(path)
    spec = machine.with_threads(spec if kept is None else extended(kept, spec), os.environ)
    history = read_history(path)
    history.planned += plan(spec, history.planned)
    runs = [
        *(run for run in history.begun() if spec.launcher != "slurm"),
        *history.to_do(retry_failed=wishes.retry_failed),
    ]
    if spec.launcher == "slurm":
        return slurm.shown(spec, path, runs, settings, to_stop=wishes.stop_on_failure)
    return local.shown(spec, runs, settings)


def run(spec: StudySpec, path: Path, settings: Settings, wishes: Wishes, console: Console) -> int:
    """Run a study, or go on with it, and show what it came to.

    Returns:
        The exit code: 0, 1 where runs failed, 130 where it was interrupted.

    Raises:
        CarbonError: it cannot be run here, or is being run.
        UsageError: its folder holds another study.
    """
    check(spec)
    with opened(path, spec) as (folder, spec):
        folder.plan(plan(spec, folder.history.planned))
        for line in _remarks(spec, settings):
            console.print(Text(f"carbon study: {line}"), soft_wrap=True)
        with _interruptible():
            try:
                _run_all(spec, folder, settings, wishes, console)
            except KeyboardInterrupt:
                hint = "the same command goes on with what is left"
                console.print(Text(f"carbon study: interrupted; {hint}"), soft_wrap=True)
                return INTERRUPTED
        show(spec, folder.history, settings, console)
        failed = [run for run in folder.history.planned if folder.history.status(run) == "failed"]
    if failed:
        many = f"{len(failed)} runs" if len(failed) > 1 else "a run"
        hint = f"see {path / 'logs'}; --retry-failed tries again"
        console.print(Text(f"carbon study: {many} failed, {hint}"), soft_wrap=True)
    return 1 if failed else 0


def _run_all(
    spec: StudySpec, folder: StudyFolder, settings: Settings, wishes: Wishes, console: Console
) -> None:
    history = folder.history
    if spec.launcher == "slurm":
        with Progress(console, history, are_together=not spec.slurm.in_order) as progress:
            slurm.run_all(
                spec,
                folder,
                settings=settings,
                progress=progress,
                retry_failed=wishes.retry_failed,
                stop_on_failure=wishes.stop_on_failure,
            )
        return
    with Progress(console, history) as progress:
        local.go_on_with_left_over(folder, settings, progress)
        runs = history.to_do(retry_failed=wishes.retry_failed)
        local.run_all(
            spec, folder, runs, settings, progress, stop_on_failure=wishes.stop_on_failure
        )


def check(spec: StudySpec) -> None:
    """Check that what a study needs is here.

    Raises:
        CarbonError: something is missing; says what.
    """
    if spec.launcher == "ray" and not local_ray.address():
        raise CarbonError(
            "--launcher ray needs a cluster: start one with `ray start --head` and set "
            "RAY_ADDRESS to its address, host:6379 say"
        )
    if spec.task is None or spec.launcher == "slurm":
        return  # What a job finds on its node is not known here.
    require("trainers", "trainers", "torch")
    for strategy in spec.strategies:
        require_installed(strategy)


def show(spec: StudySpec, history: History, settings: Settings, console: Console) -> None:
    """Show the table of a study, and in how far its runs were alone on their machine."""
    completed = [history.last(run) for run in history.planned if history.status(run) == "completed"]
    reports = reports_of([attempt.run_id for attempt in completed], settings)
    console.print(table(spec, configurations(spec), history, reports))
    if shared := sum(attempt.neighbours > 0 for attempt in completed):
        console.print(
            Text(f"{shared} of these runs began while others were tracked on the machine."),
            soft_wrap=True,
        )


def _remarks(spec: StudySpec, settings: Settings) -> Sequence[str]:
    skipped = [f"{each} is left out: single has one worker" for each in left_out(spec)]
    return [*skipped, *(machine.overcrowding(spec, settings) if spec.launcher == "local" else [])]


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the signals that end a program end the block, so that a run is never left behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Once is enough: a second one must not break off the stopping of the run.
        for each in STOPS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    # Who calls it with `nohup` wants to close the terminal.
    taken = [n for n in STOPS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
