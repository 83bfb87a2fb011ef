"""`python -m benchmarks`: measure ours and the peers side by side, keep and print the results."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
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
from benchmarks.environments import BENCH, Environment, SetUpError
from benchmarks.report import Results
from benchmarks.table import Row
from benchmarks.tools import ALL, BY_NAME, Tool

MEASUREMENTS: dict[str, Callable[[Bench], list[Row]]] = {
    "latency": latency.measure,
    "cpu": cpu.measure,
    "accuracy": accuracy.measure,
    "survival": survival.measure,
    "slowdown": slowdown.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what `arguments` ask for; return 0, or 1 where nothing could be measured."""
    options = parse(arguments)
    found = machine.describe()
    tools = tuple(tool for tool in ALL if tool.name in options.tools)
    try:
        made = {tool.name: environments.for_tool(tool) for tool in tools}
        with tempfile.TemporaryDirectory() as folder:
            library = simulated.build(Path(folder))
            bench = Bench(tools, made, library, Path(folder), options.quick)
            rows = [row for name in options.only for row in MEASUREMENTS[name](bench)]
            now = datetime.now(UTC).isoformat(timespec="seconds")
            results = Results(now, found, _versions(tools, made), options.quick, rows)
            results.problems = bench.problems
            real = None if options.no_gpu else gpu.measure(bench, results)
    except (SetUpError, RuntimeError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    folder_kept = BENCH / "quick" if options.quick else report.RESULTS
    for each, name in ((results, machine.short_name(found)), *([real] if real else [])):
        document, tables = report.keep(each, name, folder_kept)
        print(tables.read_text(encoding="utf-8"))
        print(f"kept in {document.relative_to(environments.ROOT)}", file=sys.stderr)
    return 0


def _versions(tools: tuple[Tool, ...], made: dict[str, Environment]) -> dict[str, str]:
    return {
        tool.distribution: made[tool.name].versions()[tool.distribution]
        for tool in tools
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
    parser.add_argument(
        "--no-gpu", action="store_true", help="leave a real GPU alone, should there be one"
    )
    return parser.parse_args(arguments)


def _names(known: dict[str, object] | dict[str, Tool]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        given = text.split(",")
        if unknown := sorted(set(given) - known.keys()):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return [name for name in known if name in given]

    return names


if __name__ == "__main__":
    sys.exit(main())
