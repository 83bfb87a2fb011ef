"""How the work of a training is shared out among workers, by name."""

import importlib
from collections.abc import Mapping
from typing import NamedTuple

from carbon import topology
from carbon.errors import UsageError
from trainers.strategies.base import Options, Strategy


class Kind(NamedTuple):
    """Where a strategy is; its module, and the library it needs, are loaded when it is chosen.

    Attributes:
        module, class_name: its class.
        vendor: the library that not every installation has, empty for none.
        install: how to get that library.
        has_zero_stages: whether it shards as DeepSpeed's ZeRO does.
        by_ray: whether Ray Train starts its workers.
    """

    module: str
    class_name: str
    vendor: str = ""
    install: str = ""
    has_zero_stages: bool = False
    by_ray: bool = False


STRATEGIES = {
    "single": Kind("trainers.strategies.single", "Single"),
    "ddp": Kind("trainers.strategies.ddp", "DataParallel"),
    "fsdp": Kind("trainers.strategies.fsdp", "FullyShardedDataParallel"),
    "deepspeed": Kind(
        "trainers.strategies.deepspeed",
        "ZeRO",
        vendor="deepspeed",
        install="pip install 'carbon-ledger[deepspeed]'",
        has_zero_stages=True,
    ),
    "horovod": Kind(
        "trainers.strategies.horovod", "Horovod", vendor="horovod", install="run: make horovod"
    ),
    "ray-ddp": Kind("trainers.strategies.ray", "RayDataParallel", by_ray=True),
    "ray-deepspeed": Kind(
        "trainers.strategies.ray_deepspeed",
        "RayZeRO",
        vendor="deepspeed",
        install="pip install 'carbon-ledger[deepspeed]'",
        has_zero_stages=True,
        by_ray=True,
    ),
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
        if not kind.vendor or (error.name or "").partition(".")[0] != kind.vendor:
            raise
        raise UsageError(
            f"strategy {name!r} needs {kind.vendor}, which is not installed; {kind.install}"
        ) from error
    found: type[Strategy] = getattr(module, kind.class_name)
    return found(topology.detect(environ), options)
