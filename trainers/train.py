"""`python -m trainers.train`: one tracked training, alone or as one of several workers."""

import argparse
import os
import sys
from collections.abc import Sequence

import carbon
from carbon import settings
from carbon.errors import CarbonError, UsageError
from carbon.schema import RunReport
from carbon.study.strategies import started_by
from carbon.units import GRAMS_PER_KG
from trainers import checkpoints, ray_launch
from trainers.checkpoints import Checkpoint
from trainers.loop import Plan, fit
from trainers.options import parse
from trainers.strategies import make_strategy
from trainers.strategies.base import FullState, Options, Strategy
from trainers.tasks import make_task
from trainers.tasks.base import Task

Config = dict[str, str | int | float | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as `arguments` say; return the exit code, 2 where they cannot be carried out."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(words)
    try:
        where = settings.load()
        n_workers = _workers_by_ray(options)
        if n_workers is None:
            report = work(words)
        else:
            report = ray_launch.on_workers("trainers.train", "work", words, n_workers)
    except ray_launch.WorkersError as error:
        print(f"trainers.train: {error}", file=sys.stderr)
        return 1
    except CarbonError as error:
        print(f"trainers.train: {error}", file=sys.stderr)
        return 2
    if report is not None:
        print(describe(report, where))
    return 0


def work(arguments: Sequence[str]) -> RunReport | None:
    """Be one of the workers; return the run's report on rank 0.

    Raises:
        CarbonError: what `arguments` say cannot be carried out here.
    """
    options = parse(arguments)
    task = make_task(options.task, options.size)
    strategy = make_strategy(options.strategy, os.environ, Options(options.zero_stage))
    plan = make_plan(options, task, strategy.world_size)
    strategy.check_batch_size(plan.global_batch_size)
    report = train(options, task, strategy, plan)
    return report if strategy.rank == 0 else None


def _workers_by_ray(options: argparse.Namespace) -> int | None:
    """Return how many workers Ray Train is to start; None where another launcher has started them.

    Raises:
        UsageError: their number was given, and Ray does not start those of this strategy.
    """
    if options.strategy in started_by("ray"):
        return options.workers or 1
    if options.workers is not None:
        raise UsageError(
            f"--workers {options.workers} is for strategies that Ray starts; the launcher says "
            f"how many strategy {options.strategy!r} has, see --help"
        )
    return None


def make_plan(options: argparse.Namespace, task: Task, world_size: int) -> Plan:
    """Return what the options and, where they are silent, the task decide."""
    batch_size = options.batch_size or task.batch_size
    n_times = world_size if options.scaling == "weak" else 1
    return Plan(
        epochs=options.epochs,
        global_batch_size=batch_size * n_times,
        learning_rate=options.learning_rate or task.learning_rate,
        seed=options.seed,
        n_times=n_times,
    )


def train(options: argparse.Namespace, task: Task, strategy: Strategy, plan: Plan) -> RunReport:
    """Train, tracked as one run, and return its report.

    Raises:
        UsageError: the checkpoint or the names of the run cannot be used.
        DataError: the task's data are not those it was written for.
    """
    config = configuration(task, plan)
    identity = {key: value for key, value in config.items() if key != "epochs"}
    resume = None
    if options.resume:
        resume = checkpoints.load(options.checkpoint, identity, plan.epochs)
    if strategy.zero_stage is not None:
        config["zero_stage"] = strategy.zero_stage
    with (
        strategy,
        carbon.track(
            task.name if options.project is None else options.project,
            strategy=strategy.name,
            study=options.study,
            name=options.name,
            tags=dict(options.tag),
            config=config,
            resumed_from=None if resume is None else resume.run_id,
        ) as run,
    ):

        def save(epochs_trained: int, state: FullState) -> None:
            saved = Checkpoint(str(run.run_id), epochs_trained, identity, state)
            checkpoints.save(options.checkpoint, saved)

        fit(
            task,
            strategy,
            plan,
            run,
            profile_steps=options.profile_steps,
            resume=resume,
            save=None if options.checkpoint is None else save,
        )
    return run.report


def configuration(task: Task, plan: Plan) -> Config:
    """Return what the run's report says of it; runs that differ in it are not compared."""
    warm_up = {"warm_up_steps": task.warm_up_steps} if task.warm_up_steps else {}
    return warm_up | {
        "task": task.name,
        "model": task.model_name,
        "size": task.size,
        "epochs": plan.epochs,
        "global_batch_size": plan.global_batch_size,
        "learning_rate": plan.learning_rate,
        "seed": plan.seed,
        "samples_per_epoch": task.n_training_examples * plan.n_times,
    }


def describe(report: RunReport, where: settings.Settings) -> str:
    """Return the run's energy and emissions, and where its report is, in one line."""
    energy = "unknown energy" if report.energy_kwh is None else f"{report.energy_kwh:.7f} kWh"
    emissions = "unknown g CO2e"
    if report.emissions_kg is not None:
        emissions = f"{report.emissions_kg * GRAMS_PER_KG:.4f} g CO2e"
    return (
        f"{energy}  {emissions}  run {report.run_id} is in {where.spool_dir} and on its way to "
        f"{where.base_url}"
    )


if __name__ == "__main__":
    sys.exit(main())
