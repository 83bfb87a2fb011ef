"""How the work of a training is shared out among workers, by name."""

from collections.abc import Mapping
from typing import get_args

from carbon import schema, topology
from carbon.errors import UsageError
from trainers.strategies.base import Strategy
from trainers.strategies.ddp import DataParallel
from trainers.strategies.single import Single

STRATEGIES: dict[str, type[Strategy]] = {"single": Single, "ddp": DataParallel}


def make_strategy(name: str, environ: Mapping[str, str]) -> Strategy:
    """Return the strategy called `name` for the place among the workers that `environ` gives.

    Raises:
        UsageError: there is none of that name, or it cannot run there; it never becomes another.
    """
    if name not in STRATEGIES:
        known = name in get_args(schema.Strategy)
        problem = "is not available yet" if known else "is unknown"
        raise UsageError(f"strategy {name!r} {problem}; there are: {', '.join(STRATEGIES)}")
    return STRATEGIES[name](topology.detect(environ))
