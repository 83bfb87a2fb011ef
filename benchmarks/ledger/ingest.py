"""How many reports a second are taken in, each durable when it is acknowledged.

Everything in turn, round by round: what else the machine does meets all alike.
"""

import statistics
import sys
from collections.abc import Mapping
from functools import partial

from benchmarks.ledger import load, reports
from benchmarks.ledger.empty import PLAIN_FIELDS
from benchmarks.ledger.load import Load
from benchmarks.ledger.servers import Running
from benchmarks.summary import percentile, spread
from benchmarks.table import Row

SECTION = "ingest"
EMPTY = "empty_route"
CLIENTS, BATCH = 8, 1000
WORKERS, BATCHING = 2, 4
"""With as many workers as the machine has cores, and clients for both while they store."""

# More than a client can send in the time.
_AT_MOST_A_SECOND = 1500
_BATCHES_A_SECOND = 6
_PLAIN_A_SECOND = 2000


def measure(
    servers: Mapping[str, Running],
    of_workers: Mapping[str, Running],
    rounds: int,
    duration_s: float,
) -> list[Row]:
    """Load the servers in turn; return the rates, and those of the ledgers over the empty route.

    Args:
        servers: with one worker each, by name; the empty route among them.
        of_workers: the ledgers again, each with `WORKERS` of them.
        rounds: how often each is loaded.
        duration_s: how long.
    """
    templates = reports.templates()
    kib = statistics.mean(map(len, templates)) / 1024
    single: dict[str, list[float]] = {name: [] for name in servers}
    batch: dict[str, list[float]] = {name: [] for name in of_workers}
    parallel: dict[str, list[float]] = {name: [] for name in of_workers}
    latency_ms: dict[str, list[float]] = {name: [] for name in servers}
    scale: list[float] = []
    for number in range(rounds):
        make_plain = partial(load.plain, int(_PLAIN_A_SECOND * duration_s))
        scale.append(_rate(load.press(servers[EMPTY].port, CLIENTS, make_plain, duration_s)))
        for name, server in servers.items():
            make = partial(load.single, templates, int(_AT_MOST_A_SECOND * duration_s))
            loads = load.press(server.port, CLIENTS, make, duration_s)
            single[name].append(_rate(loads))
            latencies = [each for one in loads for each in one.latencies_s]
            latency_ms[name].append(percentile(latencies, 95) * 1000)
        make = partial(load.batched, templates, int(_BATCHES_A_SECOND * duration_s), BATCH)
        for name in of_workers:
            loads = load.press(servers[name].port, 1, make, duration_s)
            batch[name].append(_rate(loads) * BATCH)
            loads = load.press(of_workers[name].port, BATCHING, make, duration_s)
            parallel[name].append(_rate(loads) * BATCH)
        print(
            f"round {number + 1}: {_said(single)} reports a second one by one, {_said(batch)} in "
            f"batches, {_said(parallel)} to {WORKERS} workers; {scale[-1]:,.0f} plain bodies",
            file=sys.stderr,
            flush=True,
        )
    ratios = {
        name: [ours / empty for ours, empty in zip(rates, single[EMPTY], strict=True)]
        for name, rates in single.items()
        if name != EMPTY
    }
    over_plain = {
        name: [ours / plain for ours, plain in zip(rates, scale, strict=True)]
        for name, rates in batch.items()
    }
    what = f"reports of {kib:.1f} KiB"
    return [
        _row(f"single {what}, {CLIENTS} clients", "1/s", single, 0),
        _row("the same over the empty route's rate", "", ratios, 3),
        _row("95th percentile of the time to the answer", "ms", latency_ms, 1),
        _row(f"the same reports in batches of {BATCH:,}, one client", "1/s", batch, 0),
        _row(f"the same, {BATCHING} clients, {WORKERS} workers", "1/s", parallel, 0),
        _row(f"bodies of {PLAIN_FIELDS} plain fields, {CLIENTS} clients", "1/s", {EMPTY: scale}, 0),
        _row("reports in batches, one client, over that rate", "", over_plain, 2),
    ]


def _rate(loads: list[Load]) -> float:
    return sum(one.answered / one.duration_s for one in loads)


def _row(measure: str, unit: str, values: Mapping[str, list[float]], decimals: int) -> Row:
    cells = {name: spread(each) for name, each in values.items()}
    return Row(SECTION, measure, unit, cells, decimals)


def _said(rates: Mapping[str, list[float]]) -> str:
    return ", ".join(f"{name} {values[-1]:,.0f}" for name, values in rates.items())
