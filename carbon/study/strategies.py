"""What is to be known of a strategy before any of its libraries is loaded: who starts its workers,
and what has to be installed."""

import importlib.util
from typing import Literal, NamedTuple

from carbon.errors import CarbonError, UsageError

Launcher = Literal["none", "torchrun", "horovodrun", "ray"]


class Start(NamedTuple):
    """How a strategy is started.

    Attributes:
        launcher: what starts its workers; "none" of one that has a single worker.
        needs: the libraries that not every installation has.
    """

    launcher: Launcher
    needs: tuple[str, ...] = ()


STARTS: dict[str, Start] = {
    "single": Start("none"),
    "ddp": Start("torchrun"),
    "fsdp": Start("torchrun"),
    "deepspeed": Start("torchrun", ("deepspeed",)),
    "horovod": Start("horovodrun", ("horovod",)),
    "ray-ddp": Start("ray", ("ray",)),
    "ray-deepspeed": Start("ray", ("ray", "deepspeed")),
}
"""Every strategy of the trainers; "other" is a command of the user's own, started as it says."""

INSTALL = {
    "deepspeed": "pip install 'carbon-ledger[deepspeed]'",
    "horovod": "make horovod",
    "ray": "pip install 'carbon-ledger[ray]'",
}
"""How to get each library."""


def launcher_of(strategy: str) -> Launcher:
    """Return what starts the workers of a strategy of the trainers.

    Raises:
        UsageError: they have no such strategy.
    """
    if strategy not in STARTS:
        raise UsageError(f"strategy {strategy!r} is none of the trainers': {', '.join(STARTS)}")
    return STARTS[strategy].launcher


def started_by(launcher: Launcher) -> list[str]:
    """Return the strategies whose workers a launcher starts."""
    return [name for name, start in STARTS.items() if start.launcher == launcher]


def shared() -> list[str]:
    """Return the strategies that share the work among several workers."""
    return [name for name, start in STARTS.items() if start.launcher != "none"]


def missing(strategy: str, library: str) -> str:
    """Return the sentence that says what a strategy lacks, and how to get it."""
    hint = f"; run: {INSTALL[library]}" if library in INSTALL else ""
    return f"strategy {strategy!r} needs {library}, which is not installed{hint}"


def require_installed(strategy: str) -> None:
    """Check that the libraries of a strategy are here, without loading them.

    Raises:
        CarbonError: one is missing; says how to get it.
    """
    for library in STARTS[strategy].needs if strategy in STARTS else ():
        if importlib.util.find_spec(library) is None:
            raise CarbonError(missing(strategy, library))
