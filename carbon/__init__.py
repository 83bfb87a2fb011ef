"""Carbon Ledger: what a training run costs in energy and carbon.

    import carbon

    with carbon.track("digits", strategy="ddp") as run:
        for epoch in run.epochs(range(10)):
            ...
            run.log(loss=loss)
    print(run.report.energy_kwh, run.report.emissions_kg)

Importing this loads nothing heavy: each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carbon.errors import (
        ApiError,
        ApiRejectedError,
        ApiUnreachableError,
        CarbonError,
        SettingsError,
        SpoolError,
        UnknownPlaceError,
        UsageError,
    )
    from carbon.rest.client import Client
    from carbon.schema import RunReport
    from carbon.tracking.tracker import Run, track

__all__ = [
    "ApiError",
    "ApiRejectedError",
    "ApiUnreachableError",
    "CarbonError",
    "Client",
    "Run",
    "RunReport",
    "SettingsError",
    "SpoolError",
    "UnknownPlaceError",
    "UsageError",
    "track",
]

_HOMES = {
    "Client": "rest.client",
    "Run": "tracking.tracker",
    "RunReport": "schema",
    "track": "tracking.tracker",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'carbon' has no attribute {name!r}")
    value = getattr(import_module(f"carbon.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
