"""`python -m benchmarks`: measure ours and the peers side by side, keep and print the results."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    accuracy,
    cpu,
    environments,
    gpu,
    latency,
    machine,
    report,
    simulated,
    slowdown,
    survival,
)
from benchmarks.bench import Bench
from benchmarks.environments import BENCH, SetUpError
from benchmarks.report import Results
from benchmarks.table import Row
from benchmarks.tools import ALL, BY_NAME

MEASUREMENTS: dict[str, Callable[[Bench], list[Row]]] = {
    "latency": latency.measure,
    "cpu": cpu.measure,
    "accuracy": accuracy.measure,
    "survival": survival.measure,
    "slowdown": slowdown.measure,
    gpu.SECTION: gpu.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what `arguments` ask for; return 0, or 1 where nothing could be measured."""
    options = parse(arguments)
    tools = tuple(tool for tool in ALL if tool.name in options.tools)
    try:
        made = {tool.name: environments.for_tool(tool) for tool in tools}
        with tempfile.TemporaryDirectory() as folder:
            library = simulated.build(Path(folder))
            bench = Bench(tools, made, library, Path(folder), options.quick)
            about = machine.describe()
            tables = None
            for name in options.only:
                # Kept at once: what comes after may fail, or be interrupted.
                tables = _measure(bench, name, about) or tables
            if tables is not None:
                print(tables.read_text(encoding="utf-8"))
    except (SetUpError, RuntimeError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(bench: Bench, name: str, about: dict[str, str | int | float]) -> Path | None:
    """Measure one section, keep it beside the others and return the file of their tables."""
    file_name = machine.short_name(about)
    if name == gpu.SECTION:
        board = gpu.find()
        if board is None:
            bench.say("gpu: no NVIDIA GPU on this machine, so nothing is said about one")
            return None
        about = {**about, "gpu": board.name, "driver": board.driver}
        file_name = machine.short_name(about, gpu.short(board))
    bench.problems = []
    rows = MEASUREMENTS[name](bench)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    results = Results({name: now}, about, _versions(bench), bench.is_quick, rows, bench.problems)
    folder = BENCH / "quick" if bench.is_quick else report.RESULTS
    document, tables = report.keep(results, file_name, folder)
    bench.say(f"{name}: kept in {document.relative_to(environments.ROOT)}")
    return tables


def _versions(bench: Bench) -> dict[str, str]:
    return {
        tool.distribution: bench.environment(tool).versions()[tool.distribution]
        for tool in bench.tools
        if tool.distribution is not None
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, to see that it works; kept in .bench/"
    )
    parser.add_argument(
        "--only",
        type=_names(MEASUREMENTS),
        default=list(MEASUREMENTS),
        metavar="MEASUREMENT,...",
        help=f"of: {', '.join(MEASUREMENTS)}",
    )
    parser.add_argument(
        "--tools",
        type=_names(BY_NAME),
        default=list(BY_NAME),
        metavar="TOOL,...",
        help=f"of: {', '.join(BY_NAME)}",
    )
    return parser.parse_args(arguments)


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        given = text.split(",")
        if unknown := sorted(set(given) - set(known)):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return [name for name in known if name in given]

    return names


if __name__ == "__main__":
    sys.exit(main())
