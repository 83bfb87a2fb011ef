"""Processor time, memory and threads of a tracker, in a process that does nothing but sleep."""

import contextlib
from collections import defaultdict
from typing import Any

from benchmarks import simulated
from benchmarks.bench import Bench
from benchmarks.children import Child, ChildError
from benchmarks.summary import Summary, spread
from benchmarks.table import Row
from benchmarks.tools import NOTHING

SECTION = "cpu"
ROUNDS = 5
SETTLE_S = 20.0
"""Long enough for every tool to have found out what machine it is on, where all of them do so at
once; what that takes is a measure of its own."""
WINDOW_S = 30.0
QUICK_WINDOW_S = 10.0
TIMEOUT_S = 120.0
MS_PER_S = 1000.0
MIB = 1 << 20

Found = dict[str, list[dict[str, Any]]]


def measure(bench: Bench) -> list[Row]:
    """Measure every tool reading once a second, with eight simulated GPUs and with none.

    The tools of a round run beside each other: they sleep nearly all the time.
    """
    window_s = QUICK_WINDOW_S if bench.is_quick else WINDOW_S
    options = {"settle_s": SETTLE_S, "window_s": window_s}
    found: dict[int, Found] = {8: defaultdict(list), 0: defaultdict(list)}
    for number in range(bench.rounds(ROUNDS)):
        for n_gpus, results in found.items():
            bench.say(f"cpu: {n_gpus} GPUs, round {number + 1} of {bench.rounds(ROUNDS)}")
            env = {}
            if n_gpus:
                config = bench.folder / "cpu.conf"
                env = simulated.host(bench.library, config, n_gpus, simulated.WITH_COUNTER).env
            with contextlib.ExitStack() as children:
                running = [
                    children.enter_context(
                        Child(tool, bench.environment(tool), "cpu", options, env)
                    )
                    for tool in bench.tools
                ]
                for child in running:
                    try:
                        results[child.tool.name].append(child.result(TIMEOUT_S))
                    except ChildError as error:
                        bench.failed(f"{SECTION}, {n_gpus} GPUs", child.tool, error)
    tools = [tool.name for tool in bench.tools]
    return [row for n_gpus, results in found.items() for row in rows(results, tools, n_gpus)]


def rows(found: Found, tools: list[str], n_gpus: int) -> list[Row]:
    """Return the rows for one number of GPUs; the floor's own figures are taken off."""
    floor = found.get(NOTHING.name, [])
    measures = {
        ("CPU a second tracked", "ms", 2): ("cpu_s_per_s", MS_PER_S),
        ("CPU at start and end", "ms", 0): ("once_cpu_s", MS_PER_S),
        ("memory (RSS)", "MiB", 1): ("rss_bytes", 1 / MIB),
        ("threads", "", 0): ("threads", 1.0),
        ("processes", "", 0): ("processes", 1.0),
    }
    made = []
    for (measure, unit, decimals), (key, scale) in measures.items():
        at_floor = spread([result[key] for result in floor]).value if floor else 0.0
        cells: dict[str, Summary | str] = {}
        for tool in tools:
            off = 0.0 if tool == NOTHING.name else at_floor
            values = [result[key] - off for result in found.get(tool, [])]
            cells[tool] = spread(values, scale) if values else "fails"
        made.append(Row(SECTION, f"{n_gpus} GPUs: {measure}", unit, cells, decimals))
    return made
