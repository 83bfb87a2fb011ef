"""How the work of a training is shared out among workers, by name."""

import importlib
from collections.abc import Mapping
from typing import NamedTuple

from carbon.attribution import topology
from carbon.errors import UsageError
from carbon.study.strategies import STARTS, missing
from trainers.strategies.base import Options, Strategy


class Kind(NamedTuple):
    """Where a strategy is; its module, and the library it needs, are loaded when it is chosen.

    Who starts its workers and what it needs stands in `carbon.study.strategies`.

    Attributes:
        module, class_name: its class.
        has_zero_stages: whether it shards as DeepSpeed's ZeRO does.
    """

    module: str
    class_name: str
    has_zero_stages: bool = False


STRATEGIES = {
    "single": Kind("trainers.strategies.single", "Single"),
    "ddp": Kind("trainers.strategies.ddp", "DataParallel"),
    "fsdp": Kind("trainers.strategies.fsdp", "FullyShardedDataParallel"),
    "deepspeed": Kind("trainers.strategies.deepspeed", "ZeRO", has_zero_stages=True),
    "horovod": Kind("trainers.strategies.horovod", "Horovod"),
    "ray-ddp": Kind("trainers.strategies.ray", "RayDataParallel"),
    "ray-deepspeed": Kind("trainers.strategies.ray_deepspeed", "RayZeRO", has_zero_stages=True),
}


def make_strategy(
    name: str, environ: Mapping[str, str], options: Options | None = None
) -> Strategy:
    """Return the strategy called `name` for the place among the workers that `environ` gives.

    Raises:
        UsageError: there is none of that name, or it cannot run there; it never becomes another.
    """
    options = options or Options()
    if name not in STRATEGIES:
        raise UsageError(f"strategy {name!r} is unknown; there are: {', '.join(STRATEGIES)}")
    kind = STRATEGIES[name]
    if options.zero_stage is not None and not kind.has_zero_stages:
        zero = ", ".join(each for each, kind in STRATEGIES.items() if kind.has_zero_stages)
        raise UsageError(f"strategy {name!r} has no ZeRO stages; those that have: {zero or 'none'}")
    try:
        module = importlib.import_module(kind.module)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in STARTS[name].needs:
            raise
        raise UsageError(missing(name, library)) from error
    found: type[Strategy] = getattr(module, kind.class_name)
    return found(topology.detect(environ), options)
