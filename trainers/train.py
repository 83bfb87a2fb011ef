"""`python -m trainers.train`: one tracked training, alone or as a worker under torchrun."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import carbon
from carbon import settings
from carbon.errors import CarbonError
from carbon.schema import RunReport
from carbon.units import GRAMS_PER_KG
from trainers.loop import Plan, fit
from trainers.strategies import STRATEGIES, make_strategy
from trainers.tasks import TASKS, make_task


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as `arguments` say; return the exit code, 2 where they cannot be carried out."""
    options = parse(arguments)
    plan = Plan(options.epochs, options.batch_size, options.learning_rate, options.seed)
    try:
        task = make_task(options.task)
        strategy = make_strategy(options.strategy, os.environ)
        where = settings.load()
        strategy.check_batch_size(plan.global_batch_size)
        with (
            strategy,
            carbon.track(
                task.name if options.project is None else options.project,
                strategy=strategy.name,
                study=options.study,
                name=options.name,
                tags=dict(options.tag),
                config={
                    "task": task.name,
                    "model": task.model_name,
                    "epochs": plan.epochs,
                    "global_batch_size": plan.global_batch_size,
                    "learning_rate": plan.learning_rate,
                    "seed": plan.seed,
                },
            ) as run,
        ):
            fit(task, strategy, plan, run)
    except CarbonError as error:
        print(f"trainers.train: {error}", file=sys.stderr)
        return 2
    if strategy.rank == 0:
        print(describe(run.report, where))
    return 0


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


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with code 2 and one line where it cannot be read."""
    parser = OneLineParser(prog="trainers.train", description=__doc__, allow_abbrev=False)
    parser.add_argument("--task", required=True, help=f"one of: {', '.join(TASKS)}")
    parser.add_argument("--strategy", required=True, help=f"one of: {', '.join(STRATEGIES)}")
    parser.add_argument("--epochs", type=_positive_int, default=10)
    parser.add_argument(
        "--batch-size", type=_positive_int, default=96, help="of all workers together"
    )
    parser.add_argument("--learning-rate", type=_positive_float, default=1e-3)
    parser.add_argument("--seed", type=_seed, default=0)
    parser.add_argument("--project", help="by default the task's name")
    parser.add_argument("--study", help="runs to be compared with each other")
    parser.add_argument("--name", help="what to call this run")
    parser.add_argument("--tag", type=_tag, action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args(arguments)


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 4294967295")
    return int(text)


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
