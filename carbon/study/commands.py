"""The command line of each run of a study, by the launcher of its strategy."""

import sys
from collections.abc import Sequence
from pathlib import Path

from carbon.study.plan import PlannedRun
from carbon.study.spec import StudySpec
from carbon.study.strategies import launcher_of

TORCHRUN = (sys.executable, "-m", "torch.distributed.run")


def trainer(strategy: str, workers: int, arguments: Sequence[str]) -> list[str]:
    """Return the words of one worker, or of what starts them all, without the interpreter."""
    words = ["-m", "trainers.train", "--strategy", strategy, *arguments]
    return [*words, "--workers", str(workers)] if launcher_of(strategy) == "ray" else words


def training(strategy: str, workers: int, arguments: Sequence[str]) -> list[str]:
    """Return the command line that trains on this machine.

    Args:
        strategy: how the work is shared out.
        workers: among how many.
        arguments: the other options of `python -m trainers.train`.
    """
    words = trainer(strategy, workers, arguments)
    launcher = launcher_of(strategy)
    if launcher == "torchrun":
        return [*TORCHRUN, "--standalone", f"--nproc-per-node={workers}", *words]
    if launcher == "horovodrun":
        return [horovodrun(), "-np", str(workers), sys.executable, *words]
    return [sys.executable, *words]


def horovodrun() -> str:
    """Return Horovod's launcher: the one of this interpreter's environment, if there is one."""
    beside = Path(sys.executable).with_name("horovodrun")
    return str(beside) if beside.is_file() else beside.name


def of_run(spec: StudySpec, run: PlannedRun) -> list[str]:
    """Return the command line of a study's run on this machine."""
    if spec.command is not None:
        return tracked(spec, run)
    return training(run.configuration.strategy, run.configuration.workers, arguments(spec, run))


def arguments(spec: StudySpec, run: PlannedRun) -> list[str]:
    """Return the options of the trainers for a run of a study, but for its strategy."""
    options = {
        "--task": spec.task,
        "--size": spec.size,
        "--epochs": spec.epochs,
        "--batch-size": spec.batch_size,
        "--learning-rate": spec.learning_rate,
        "--scaling": None if spec.scaling == "strong" else spec.scaling,
        "--seed": spec.seed,
        "--project": spec.project,
        "--study": spec.name,
        "--name": run.name,
    }
    given = [(option, str(value)) for option, value in options.items() if value is not None]
    return [*(word for pair in given for word in pair), *spec.arguments]


def tracked(spec: StudySpec, run: PlannedRun) -> list[str]:
    """Return the command line of a command of the user's own, measured by `carbon run`."""
    strategy, workers = run.configuration.strategy, str(run.configuration.workers)
    said = ["--project", spec.project, "--study", spec.name, "--name", run.name]
    said += ["--strategy", strategy, "--workers", workers, "--config", f"workers={workers}"]
    if spec.scaling == "weak":
        said += ["--config", "scaling=weak"]
    values = {
        "{workers}": workers,
        "{strategy}": strategy,
        "{repeat}": str(run.repeat),
        "{name}": spec.name,
        "{seed}": str(spec.seed),
    }
    words = list(spec.command or ())
    for placeholder, value in values.items():
        words = [word.replace(placeholder, value) for word in words]
    return [sys.executable, "-m", "carbon", "run", *said, "--", *words]
