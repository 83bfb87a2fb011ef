"""This machine, as the runs of a study find it: its cores, its GPUs, and who else is on it."""

import os
from collections.abc import Mapping, Sequence
from uuid import UUID

from carbon.attribution import enclosing_run, run_id
from carbon.settings import Settings
from carbon.study.spec import StudySpec
from carbon.tracking.metering import machine_sources

THREADS = "OMP_NUM_THREADS"


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1  # macOS does not bind processes to cores.


def with_threads(spec: StudySpec, environ: Mapping[str, str]) -> StudySpec:
    """Return the study with a number of threads for each worker, the same for every run.

    As OMP_NUM_THREADS says, else the cores divided by the most workers: one worker that computes on
    every core would make the speedup of two look like none.
    """
    if spec.threads_per_worker is not None:
        return spec
    said = environ.get(THREADS, "")
    if spec.launcher == "slurm":
        threads = spec.slurm.cpus_per_worker
    else:
        is_said = said.isdecimal() and int(said) > 0
        threads = int(said) if is_said else max(cores() // max(spec.workers), 1)
    return spec.model_copy(update={"threads_per_worker": threads})


def set_for_runs(spec: StudySpec, settings: Settings) -> dict[str, str]:
    """Return the variables that every run of a study is started with beside the user's own."""
    said = {} if "series" in settings.model_fields_set else {"CARBON_SERIES": "all"}
    if spec.threads_per_worker is not None:
        said[THREADS] = str(spec.threads_per_worker)
    return said


def environment(spec: StudySpec, settings: Settings, the_run: UUID) -> dict[str, str]:
    """Return all variables of a run that is started from this process."""
    inherited = {k: v for k, v in os.environ.items() if k != enclosing_run.VARIABLE}
    return {**inherited, **set_for_runs(spec, settings), run_id.VARIABLE: str(the_run)}


def processes_of(the_run: UUID) -> list[int]:
    """Return the processes of this user that were started with a run's id, at any depth."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(run_id.VARIABLE) == str(the_run):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue  # Gone, or somebody else's.
    return found


def overcrowding(spec: StudySpec, settings: Settings) -> list[str]:
    """Return a sentence for what the most workers of a study are too many for."""
    most = max(spec.workers)
    gpus = _gpus(settings)
    if gpus and most > gpus:
        return [f"{most} workers on {gpus} GPU{'s' * (gpus > 1)}: each needs one of its own"]
    n_cores = cores()
    if not gpus and most > n_cores:
        return [
            f"{most} workers on {n_cores} cores: they take turns, and their times tell nothing of "
            "how the training scales"
        ]
    return []


def _gpus(settings: Settings) -> int:
    meters: Sequence[object] = ()
    opened = machine_sources(settings).accelerators()
    try:
        meters = [meter for meter in opened if meter.device is not None]
    finally:
        for meter in opened:
            meter.close()
    return len(meters)
