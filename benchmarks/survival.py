"""What survives the end of a process: the share of its energy that its files still tell."""

import contextlib
import random
import signal
import time
from collections import defaultdict

from benchmarks import leftovers, simulated
from benchmarks.bench import Bench
from benchmarks.children import Child, ChildError
from benchmarks.summary import spread
from benchmarks.table import Row
from benchmarks.tools import NOTHING
from tests.nvml_sim.gpus import SimulatedGpus

SECTION = "survival"
ENDINGS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "an uncaught exception": None}
ROUNDS = 5
LASTS_S = 5.0
EPOCH_S = 1.0
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 30.0
PERCENT = 100.0


def measure(bench: Bench) -> list[Row]:
    """End tracked processes after five to six seconds, in epochs of one second.

    One GPU of steady power, so that only what is lost shows.
    """
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(bench.rounds(ROUNDS)):
        for ending, by in ENDINGS.items():
            bench.say(f"survival: {ending}, round {number + 1} of {bench.rounds(ROUNDS)}")
            _end_all(bench, by, shares[ending])
    return rows(shares, [tool.name for tool in bench.tools])


def _end_all(bench: Bench, by: signal.Signals | None, shares: dict[str, list[float]]) -> None:
    config = bench.folder / "survival.conf"
    gpus = simulated.host(bench.library, config, 1, simulated.WITH_COUNTER, duty=0)
    lasts_s = LASTS_S + random.uniform(0, EPOCH_S)
    options = {"epoch_s": EPOCH_S, "raise_after_s": lasts_s if by is None else None}
    with contextlib.ExitStack() as children:
        running = [
            children.enter_context(
                Child(tool, bench.environment(tool), "endless", options, gpus.env)
            )
            for tool in bench.tools
            if tool != NOTHING
        ]
        began_s: dict[str, float] = {}
        for child in running:
            try:
                began_s[child.tool.name] = child.wait_for(child.started_file, START_TIMEOUT_S)
            except ChildError as error:
                bench.failed(SECTION, child.tool, error)
        ours = [child for child in running if child.tool.name in began_s]
        for child in sorted(ours, key=lambda child: began_s[child.tool.name]):
            at_s = began_s[child.tool.name]
            try:
                if by is None:
                    ended_s = child.wait_for(child.ended_file, START_TIMEOUT_S)
                else:
                    time.sleep(max(at_s + lasts_s - time.monotonic(), 0.0))
                    ended_s = time.monotonic()
                    child.process.send_signal(by)
                child.wait(END_TIMEOUT_S)
                shares[child.tool.name].append(_share(child, gpus, at_s, ended_s))
            except (ChildError, ValueError, KeyError) as error:
                bench.failed(SECTION, child.tool, error)


def _share(child: Child, gpus: SimulatedGpus, began_s: float, ended_s: float) -> float:
    if child.tool.name == "eco2ai":
        return (leftovers.eco2ai_duration_s(child.work) or 0.0) / (ended_s - began_s)
    left_j = leftovers.ENERGY_J[child.tool.name](child.work, child.spool)
    return (left_j or 0.0) / gpus.total_energy_j(began_s, ended_s)


def rows(shares: dict[str, dict[str, list[float]]], tools: list[str]) -> list[Row]:
    """Return a row for each ending: the share of the energy, in percent."""
    return [
        Row(
            SECTION,
            f"left on disk after {ending}",
            "%",
            {
                tool: spread(shares[ending][tool], PERCENT) if shares[ending].get(tool) else "fails"
                for tool in tools
                if tool != NOTHING.name
            },
            decimals=0,
        )
        for ending in shares
    ]
