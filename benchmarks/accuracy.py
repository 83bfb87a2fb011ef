"""The error of every tool's figure for the GPUs against the true integral of their power."""

import contextlib
import statistics
from collections import defaultdict

from benchmarks import simulated
from benchmarks.bench import Bench
from benchmarks.children import Child, ChildError
from benchmarks.summary import Summary, percentile
from benchmarks.table import Row
from benchmarks.tools import BY_NAME, NOTHING, Tool
from tests.nvml_sim.gpus import SimulatedGpus

SECTION = "accuracy"
KINDS = {
    "counter in steps of 100 ms": simulated.WITH_COUNTER,
    "no counter": simulated.WITHOUT_COUNTER,
    "no counter, power averaged over 1 s": simulated.AVERAGED_POWER,
}
WINDOW_S = (5.0, 5.6)
"""Drawn anew for every window: a whole number of the counter's steps would flatter."""
WINDOWS = 12
QUICK_WINDOWS = 3
N_GPUS = 2
APART: tuple[Tool, ...] = (BY_NAME["zeus"],)
"""Not beside the others: without a counter it keeps a core busy or two."""
TIMEOUT_S = 300.0
PERCENT = 100.0

NO_FIGURE = "no figure"

Errors = dict[str, list[float]]


def measure(bench: Bench) -> list[Row]:
    """Measure windows of about five seconds of two GPUs whose power is a square wave.

    The tools run beside each other, as far as they leave each other the processor, and meet every
    window at a phase drawn at random. A window is the body of the block: from when `enter` returns
    to when `exit` is called.
    """
    made = []
    for kind, fields in KINDS.items():
        found: Errors = defaultdict(list)
        apart = () if fields is simulated.WITH_COUNTER else APART
        for together in (
            [tool for tool in bench.tools if tool not in (NOTHING, *apart)],
            [tool for tool in bench.tools if tool in apart],
        ):
            if together:
                bench.say(f"accuracy: {kind}: {', '.join(tool.name for tool in together)}")
                found |= _errors(bench, fields, together)
        made += rows(kind, found, [tool.name for tool in bench.tools])
    return made


def _errors(bench: Bench, fields: dict[str, object], tools: list[Tool]) -> Errors:
    options = {
        "count": bench.rounds(WINDOWS, QUICK_WINDOWS),
        "gap_s": simulated.PERIOD_S,
        "window_s": WINDOW_S,
    }
    found: Errors = defaultdict(list)
    with contextlib.ExitStack() as children:
        running: list[tuple[Child, SimulatedGpus]] = []
        for tool in tools:
            config = bench.folder / f"accuracy-{tool.name}.conf"
            gpus = simulated.host(bench.library, config, N_GPUS, fields)
            child = Child(tool, bench.environment(tool), "windows", options, gpus.env)
            running.append((children.enter_context(child), gpus))
        for child, gpus in running:
            try:
                windows = child.result(TIMEOUT_S)["windows"]
            except ChildError as error:
                bench.failed(SECTION, child.tool, error)
                continue
            for window in windows:
                if window["energy_j"] is not None:
                    true_j = gpus.total_energy_j(window["began_s"], window["ended_s"])
                    found[child.tool.name].append(window["energy_j"] / true_j - 1)
    return found


def rows(kind: str, errors: Errors, tools: list[str]) -> list[Row]:
    """Return signed mean, median and 95th percentile of the absolute error, in percent."""
    cells: dict[str, dict[str, Summary | str]] = defaultdict(dict)
    for tool in tools:
        if tool == NOTHING.name:
            continue
        signed = errors.get(tool, [])
        sizes = [abs(error) for error in signed]
        for measure, figure in {
            "mean error": statistics.fmean(signed) if signed else None,
            "median size of the error": statistics.median(sizes) if sizes else None,
            "95th percentile of it": percentile(sizes, 95) if sizes else None,
        }.items():
            if figure is None:
                cells[measure][tool] = NO_FIGURE
            else:
                figure *= PERCENT
                cells[measure][tool] = Summary(figure, figure, figure, len(signed))
    return [
        Row(SECTION, f"{kind}: {measure}", "%", by_tool, decimals=2)
        for measure, by_tool in cells.items()
    ]
