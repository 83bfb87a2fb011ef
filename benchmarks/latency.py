"""How long a training waits for its tracker, in fresh processes, one at a time."""

from collections import defaultdict
from typing import Any

from benchmarks import simulated
from benchmarks.bench import Bench
from benchmarks.children import Child, ChildError
from benchmarks.summary import Summary, spread
from benchmarks.table import Row

SECTION = "latency"
MS_PER_S = 1000.0
ROUNDS = 5
FURTHER = 3
FIRST_S = 1.0
FURTHER_S = 0.25
TIMEOUT_S = 90.0

Found = dict[str, list[dict[str, Any]]]

FAILED = "fails"


def measure(bench: Bench) -> list[Row]:
    """Measure import, enter and exit of every tool, with two simulated GPUs to be found."""
    gpus = simulated.host(bench.library, bench.folder / "latency.conf", 2, simulated.WITH_COUNTER)
    options = {"further": FURTHER, "first_s": FIRST_S, "further_s": FURTHER_S}
    found: Found = defaultdict(list)
    # The first round reads files that the others find in memory, and is not counted.
    for number in range(1 + bench.rounds(ROUNDS)):
        bench.say(f"latency: round {number} of {bench.rounds(ROUNDS)}")
        for tool in bench.tools:
            environment = bench.environment(tool)
            with Child(tool, environment, "latency", options, gpus.env) as child:
                try:
                    result = child.result(TIMEOUT_S)
                except ChildError as error:
                    bench.failed(SECTION, tool, error)
                    continue
            if number:
                found[tool.name].append(result)
    return rows(found, [tool.name for tool in bench.tools])


def rows(found: Found, tools: list[str]) -> list[Row]:
    """Return the table's rows: medians over processes, of further blocks over all of them."""
    cells: dict[str, dict[str, Summary | str]] = defaultdict(dict)
    for tool in tools:
        results = found.get(tool, [])
        imports = [result["import_s"] for result in results]
        enters = [result["enter_s"][0] for result in results]
        for measure, values in {
            "import": imports,
            "first enter": enters,
            "import and first enter": [sum(both) for both in zip(imports, enters, strict=True)],
            "every further enter": [s for result in results for s in result["enter_s"][1:]],
            f"first exit, after {FIRST_S:.0f} s": [result["exit_s"][0] for result in results],
            f"every further exit, after {FURTHER_S} s": [
                s for result in results for s in result["exit_s"][1:]
            ],
            "end of the process after that": [
                result["ended_s"] - result["done_at_s"] for result in results
            ],
        }.items():
            cells[measure][tool] = spread(values, MS_PER_S) if values else FAILED
    return [Row(SECTION, measure, "ms", by_tool) for measure, by_tool in cells.items()]
