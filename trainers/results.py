"""What the API says of a study: its table, what its energies are, whether its totals are exact."""

import time
from collections.abc import Sequence
from decimal import Decimal

from rich import box
from rich.table import Table

from carbon.errors import CarbonError
from carbon.rest.client import Client
from carbon.schema import RunFields, Summary, TradeoffPoint
from carbon.units import GRAMS_PER_KG

UNKNOWN = "unknown"
POLL_INTERVAL_S = 0.2
SUMMED = (
    "energy_kwh",
    "gpu_energy_kwh",
    "cpu_energy_kwh",
    "ram_energy_kwh",
    "emissions_kg",
)


class ResultsError(CarbonError):
    """The API does not hold what was sent to it."""


def wait_for_runs(
    client: Client, project: str, study: str, n_runs: int, timeout_s: float
) -> list[RunFields]:
    """Return the completed runs of the study once they have arrived: delivery takes a moment.

    Raises:
        ResultsError: fewer than `n_runs` have after `timeout_s` seconds.
        ApiError: the API cannot be asked.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        runs = client.runs(project=project, study=study, status="completed").items
        if len(runs) >= n_runs:
            return runs
        if time.monotonic() > deadline_s:
            raise ResultsError(
                f"{len(runs)} of the {n_runs} runs of study {study!r} have reached the API "
                f"after {timeout_s:.0f} s; `carbon sync` delivers those that wait in the spool"
            )
        time.sleep(POLL_INTERVAL_S)


def study_table(points: Sequence[TradeoffPoint], runs: Sequence[RunFields], title: str) -> Table:
    """Return one line for each configuration of a study in which each of them ran once."""
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("configuration", no_wrap=True)
    for heading in (
        "run\ns",
        "epoch\ns",
        f"speedup over\n{_baseline(points[0])}",
        "energy\nkWh",
        "emissions\ng CO2e",
        "accuracy\n%",
    ):
        table.add_column(heading, justify="right")
    for point in points:
        run = next(
            run for run in runs if (run.strategy, run.world_size) == (point.strategy, point.workers)
        )
        table.add_row(
            f"{point.strategy} x{point.workers}",
            f"{run.duration_s:.1f}",
            f"{point.epoch_s:.2f}",
            f"{point.speedup:.2f}",
            _shown(run.energy_kwh),
            _shown(None if run.emissions_kg is None else run.emissions_kg * GRAMS_PER_KG),
            _percent(run.metrics.get("accuracy")),
        )
    return table


def explain_energy(runs: Sequence[RunFields]) -> str:
    """Say in a sentence or two how the energy of `runs` was found and how far it can be trusted."""
    parts = {
        "GPU": {run.gpu_energy_method for run in runs},
        "CPU": {run.cpu_energy_method for run in runs},
        "RAM": {run.ram_energy_method for run in runs},
    }
    methods = {name: " or ".join(sorted(filter(None, found))) for name, found in parts.items()}
    measured = ", ".join(f"{name} by {method}" for name, method in methods.items() if method)
    missing = " and ".join(name for name, method in methods.items() if not method)
    bands = [run.energy_uncertainty for run in runs if run.energy_uncertainty is not None]
    trust = f"; give or take {max(bands):.0%} (one standard deviation)" if bands else ""
    known = f"Energy: {measured}{trust}." if measured else "No energy was measured."
    return f"{known} Not measured: {missing}." if measured and missing else known


def explain_speedup(points: Sequence[TradeoffPoint]) -> str:
    """Say in a sentence what the fastest configuration of a study gained, and for what energy."""
    fastest = max(points, key=lambda point: point.speedup)
    if fastest.speedup <= 1:
        return f"No configuration is faster than {_baseline(fastest)}."
    ratio = fastest.energy_ratio
    cost = "for energy not known" if ratio is None else f"for {ratio:.2f} times its energy"
    return (
        f"{fastest.strategy} x{fastest.workers} trains an epoch {fastest.speedup:.2f} times as "
        f"fast as {_baseline(fastest)}, {cost}."
    )


def inexact_totals(summary: Summary, runs: Sequence[RunFields]) -> list[str]:
    """Return what differs between the API's totals and the exact sums of its runs; nothing should.

    A sum is taken in decimal, of the digits each run shows, and compared digit by digit.
    """
    differences = []
    if summary.runs != len(runs):
        differences.append(f"runs: the total is {summary.runs}, there are {len(runs)}")
    for field in SUMMED:
        total = getattr(summary, field)
        known = [value for run in runs if (value := getattr(run, field)) is not None]
        exact = sum((Decimal(repr(value)) for value in known), Decimal(0)) if known else None
        if (None if total is None else Decimal(repr(total))) != exact:
            differences.append(f"{field}: the total is {total}, the runs add up to {exact}")
    return differences


def _baseline(point: TradeoffPoint) -> str:
    return f"{point.baseline_strategy} x{point.baseline_workers}"


def _shown(value: float | None) -> str:
    """Write three significant digits, never as a power of ten: 0.0000913."""
    if value is None:
        return UNKNOWN
    return format(Decimal(f"{value:.2e}"), "f")


def _percent(fraction: float | None) -> str:
    return UNKNOWN if fraction is None else f"{fraction * 100:.1f}"
