"""The command line of `python -m trainers.train`."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from trainers.strategies import STRATEGIES
from trainers.tasks import SIZES, TASKS


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with code 2 and one line where it cannot be read."""
    parser = OneLineParser(
        prog="trainers.train",
        description="One tracked training, alone or as one of several workers.",
        allow_abbrev=False,
    )
    parser.add_argument("--task", required=True, help=f"one of: {', '.join(TASKS)}")
    parser.add_argument("--size", default="small", help=f"one of: {', '.join(SIZES)}")
    parser.add_argument("--strategy", required=True, help=f"one of: {', '.join(STRATEGIES)}")
    parser.add_argument(
        "--workers", type=_positive_int, help="of a strategy that Ray starts, by default 1"
    )
    parser.add_argument("--zero-stage", type=int, choices=(1, 2, 3), help="of DeepSpeed's ZeRO")
    parser.add_argument("--epochs", type=_positive_int, default=10)
    parser.add_argument(
        "--batch-size",
        type=_positive_int,
        help="of all workers together, or with --scaling weak of each; by default what suits the "
        "task",
    )
    parser.add_argument(
        "--learning-rate", type=_positive_float, help="Adam's; by default what suits the task"
    )
    parser.add_argument("--seed", type=_seed, default=0)
    parser.add_argument(
        "--scaling",
        choices=("strong", "weak"),
        default="strong",
        help="strong: workers share the same work; weak: each has as much as one alone",
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="save there after every epoch"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from what --checkpoint DIR holds"
    )
    parser.add_argument(
        "--profile-steps",
        type=_whole_number,
        default=0,
        metavar="N",
        help="find out what the last N steps of the first epoch spend on communication",
    )
    parser.add_argument("--project", help="by default the task's name")
    parser.add_argument("--study", help="runs to be compared with each other")
    parser.add_argument("--name", help="what to call this run")
    parser.add_argument("--tag", type=_tag, action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    if options.resume and options.checkpoint is None:
        parser.error("--resume needs --checkpoint DIR, where the training was saved")
    return options


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _whole_number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
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
