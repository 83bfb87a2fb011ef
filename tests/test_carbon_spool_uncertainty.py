"""Whether a band covers the truth about as often as it says, through real parts and reports."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from carbon import units
from carbon.attribution.run_id import new_run_id
from carbon.schema import Component, RunReport, Totals
from carbon.spool.merge import merge
from carbon.spool.part import Ended, Event, Metered, Part, Sampled
from carbon.spool.uncertainty import Term, of_sum, source_of
from tests.test_carbon_spool_part import STARTED

COUNTER, CPU_MODEL, RAM_MODEL, RAPL = 0.05, 0.4, 0.5, 0.03
"""Relative standard uncertainties as the meters state them."""

ONE_SIGMA, TWO_SIGMA = math.erf(1 / math.sqrt(2)), math.erf(2 / math.sqrt(2))
"""How much of a normal distribution lies within one and within two standard deviations."""

CONFIGURATIONS, DRAWS = 40, 100
SAMPLES = CONFIGURATIONS * DRAWS


def tolerance(share: float) -> float:
    """Four standard deviations of a share that was counted in `SAMPLES` draws."""
    return 4 * math.sqrt(share * (1 - share) / SAMPLES)


@dataclass(frozen=True)
class Source:
    """One physical origin of an error: a board, a model, a processor's counters."""

    name: str
    uncertainty: float


@dataclass(frozen=True)
class Reading:
    """What one meter of one part has shown."""

    source: Source
    component: Component
    method: str
    energy_j: float
    uuid: str | None = None


def board(number: int) -> Source:
    return Source(f"GPU-{number}", COUNTER)


CPU, RAM = Source("the CPU model", CPU_MODEL), Source("the RAM model", RAM_MODEL)


def part(readings: list[Reading], *, node: str = "node-0", rank: int = 0, attempt: int = 0) -> Part:
    meters: list[Event] = []
    energies: dict[str, float] = {}
    for reading in readings:
        key = f"gpu:{reading.uuid}" if reading.uuid else reading.component
        u = reading.source.uncertainty
        meters.append(Metered(key, reading.component, reading.method, u, reading.uuid))
        energies[key] = reading.energy_j
    started = replace(STARTED, hostname=node, rank=rank, attempt=attempt, pid=rank)
    made = Part.replay(
        [started, *meters, Sampled(60.0, energies, {}, {}), Ended("completed", 60.0)],
        is_alive=False,
    )
    assert made is not None
    return made


Layout = Callable[[random.Random], list[tuple[list[Reading], dict[str, object]]]]
"""Makes the parts of a run: the readings of each and where it is."""


def gpu(number: int, rng: random.Random) -> Reading:
    energy_j = rng.uniform(60, 400) * 60.0
    return Reading(board(number), "gpu", "nvml_counter", energy_j, f"GPU-{number}")


def host(rng: random.Random) -> list[Reading]:
    return [
        Reading(CPU, "cpu", "codecarbon_cpu_load", rng.uniform(30, 300) * 60.0),
        Reading(RAM, "ram", "codecarbon_ram", rng.uniform(5, 40) * 60.0),
    ]


def one_node(gpus: int) -> Layout:
    def make(rng: random.Random) -> list[tuple[list[Reading], dict[str, object]]]:
        return [([*(gpu(i, rng) for i in range(gpus)), *host(rng)], {})]

    return make


def gpus_only(gpus: int) -> Layout:
    def make(rng: random.Random) -> list[tuple[list[Reading], dict[str, object]]]:
        return [([gpu(i, rng)], {"rank": i}) for i in range(gpus)]

    return make


def nodes(count: int, *, rapl: bool) -> Layout:
    """Nodes of four GPUs; their CPU models share an error, their RAPL counters do not."""

    def make(rng: random.Random) -> list[tuple[list[Reading], dict[str, object]]]:
        parts: list[tuple[list[Reading], dict[str, object]]] = []
        for node in range(count):
            cpu, ram = host(rng)
            if rapl:
                counters = Source(f"the processor of node {node}", RAPL)
                cpu = replace(cpu, source=counters, method="codecarbon_rapl")
            boards = [gpu(4 * node + i, rng) for i in range(4)]
            parts.append(([*boards, cpu, ram], {"node": f"node-{node}", "rank": node}))
        return parts

    return make


def restarted(rng: random.Random) -> list[tuple[list[Reading], dict[str, object]]]:
    """The same two boards and host in three attempts: the same errors three times."""
    return [([gpu(0, rng), gpu(1, rng), *host(rng)], {"attempt": i}) for i in range(3)]


LAYOUTS: dict[str, Layout] = {
    "host alone": one_node(0),
    "1 GPU": one_node(1),
    "2 GPUs": one_node(2),
    "8 GPUs": one_node(8),
    "16 GPUs": one_node(16),
    "1 GPU alone": gpus_only(1),
    "16 GPUs alone": gpus_only(16),
    "2 nodes": nodes(2, rapl=False),
    "4 nodes": nodes(4, rapl=False),
    "4 nodes with RAPL": nodes(4, rapl=True),
    "3 attempts": restarted,
}


def errors_of(sources: set[Source], rng: random.Random) -> dict[Source, float]:
    """Draw each source's relative error: a normal one, as wide as the source states."""
    # Sorted, so that a seed stands for the same draws in every process.
    return {s: rng.gauss(0, s.uncertainty) for s in sorted(sources, key=lambda s: s.name)}


def coverage(layout: Layout, of: Callable[[RunReport], list[tuple[float, float]]]) -> list[float]:
    """Return how often one and two sigma around a value enclose the truth.

    `of` picks the value and its relative uncertainty from a report, and "truth" is what the meters
    would have shown without their errors: a reading x (1 + its source's error).
    """
    rng = random.Random(20260301)
    inside = [0, 0]
    for _ in range(CONFIGURATIONS):
        parts = layout(rng)
        report = merge([part(readings, **where) for readings, where in parts])  # type: ignore[arg-type]
        ((shown_kwh, relative),) = of(report)
        readings = [reading for listed, _ in parts for reading in listed]
        for _ in range(DRAWS):
            errors = errors_of({reading.source for reading in readings}, rng)
            truth_j = sum(r.energy_j * (1 + errors[r.source]) for r in readings)
            off_kwh = abs(units.kwh_from_joules(truth_j) - shown_kwh)
            for i, sigmas in enumerate((1, 2)):
                inside[i] += off_kwh <= sigmas * relative * shown_kwh
    return [count / SAMPLES for count in inside]


def total(report: RunReport) -> list[tuple[float, float]]:
    assert report.energy_kwh is not None
    assert report.energy_uncertainty is not None
    return [(report.energy_kwh, report.energy_uncertainty)]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_band_of_a_run_covers_the_truth_as_often_as_it_says(layout: Layout) -> None:
    one, two = coverage(layout, total)
    assert one == pytest.approx(ONE_SIGMA, abs=tolerance(ONE_SIGMA))
    assert two == pytest.approx(TWO_SIGMA, abs=tolerance(TWO_SIGMA))


def test_the_band_of_a_node_and_of_a_device_covers_too() -> None:
    def node(report: RunReport) -> list[tuple[float, float]]:
        (only,) = report.nodes
        return [(only.energy_kwh or 0.0, only.energy_uncertainty or 0.0)]

    def device(report: RunReport) -> list[tuple[float, float]]:
        ((only,),) = [n.devices for n in report.nodes]
        return [(only.energy_kwh or 0.0, only.energy_uncertainty or 0.0)]

    for layout, of in ((one_node(4), node), (gpus_only(1), device)):
        one, two = coverage(layout, of)
        assert one == pytest.approx(ONE_SIGMA, abs=tolerance(ONE_SIGMA))
        assert two == pytest.approx(TWO_SIGMA, abs=tolerance(TWO_SIGMA))


@pytest.mark.parametrize("gpus", [1, 2, 8, 16])
def test_boards_of_known_power_are_covered(gpus: int) -> None:
    """The other way round: true powers and gains are drawn, and the meters show their product."""
    rng = random.Random(4)
    draws, inside = 1500, [0, 0]
    for _ in range(draws):
        truths_j = [rng.uniform(60, 400) * 60.0 for _ in range(gpus)]
        shown = [
            Reading(board(i), "gpu", "nvml_counter", j * (1 + rng.gauss(0, COUNTER)), f"GPU-{i}")
            for i, j in enumerate(truths_j)
        ]
        ((shown_kwh, relative),) = total(merge([part(shown)]))
        off_kwh = abs(units.kwh_from_joules(sum(truths_j)) - shown_kwh)
        for i, sigmas in enumerate((1, 2)):
            inside[i] += off_kwh <= sigmas * relative * shown_kwh
    for count, share in zip(inside, (ONE_SIGMA, TWO_SIGMA), strict=True):
        # Four standard deviations of a share, and what a gain of 5 % bends the normal curve by.
        slack = 4 * math.sqrt(share * (1 - share) / draws) + 0.005
        assert count / draws == pytest.approx(share, abs=slack)


# ------------------------------------------------------------------------- totals over many runs


def runs_of(layouts: list[Layout], rng: random.Random) -> tuple[list[RunReport], list[Reading]]:
    """Make a report of each layout, and all their readings."""
    reports, readings = [], []
    for number, layout in enumerate(layouts):
        parts = layout(rng)
        started_at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=number)
        report = merge([part(listed, **where) for listed, where in parts])  # type: ignore[arg-type]
        ended_at = started_at + timedelta(seconds=60)
        fields = {"run_id": new_run_id(), "started_at": started_at, "ended_at": ended_at}
        reports.append(report.model_copy(update=fields))
        readings += [reading for listed, _ in parts for reading in listed]
    return reports, readings


def covered(client: TestClient, layouts: list[Layout]) -> tuple[Totals, list[float]]:
    """Send the runs to the API; return its totals, and how often their band covers the truth."""
    rng = random.Random(7)
    reports, readings = runs_of(layouts, rng)
    for report in reports:
        answer = client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
        assert answer.status_code == 201, answer.text
    (listed,) = client.get("/v1/projects").json()["items"]
    totals = Totals.model_validate(_without_project(listed))
    assert totals.energy_kwh is not None
    assert totals.energy_uncertainty is not None
    by_source: dict[Source, float] = {}
    for reading in readings:
        by_source[reading.source] = by_source.get(reading.source, 0.0) + reading.energy_j
    inside = [0, 0]
    for _ in range(SAMPLES):
        errors = errors_of(set(by_source), rng)
        off_kwh = abs(sum(errors[s] * energy_j for s, energy_j in by_source.items())) / 3.6e6
        for i, sigmas in enumerate((1, 2)):
            inside[i] += off_kwh <= sigmas * totals.energy_uncertainty * totals.energy_kwh
    return totals, [count / SAMPLES for count in inside]


def _without_project(document: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in document.items() if key != "project"}


@pytest.mark.parametrize("runs", [1, 10, 100])
def test_runs_of_one_board_keep_the_boards_band(runs: int, api_client: TestClient) -> None:
    totals, (one, two) = covered(api_client, [gpus_only(1)] * runs)
    assert totals.runs == runs
    assert totals.energy_uncertainty == pytest.approx(COUNTER)
    assert one == pytest.approx(ONE_SIGMA, abs=tolerance(ONE_SIGMA))
    assert two == pytest.approx(TWO_SIGMA, abs=tolerance(TWO_SIGMA))


@pytest.mark.parametrize("runs", [1, 10, 100])
def test_runs_of_one_machine_never_cover_less_than_they_say(
    runs: int, api_client: TestClient
) -> None:
    """The mix of GPU, CPU and RAM differs from run to run, so the linear sum may be too wide."""
    totals, (one, two) = covered(api_client, [one_node(2)] * runs)
    assert ONE_SIGMA - tolerance(ONE_SIGMA) <= one <= 0.75
    assert TWO_SIGMA - tolerance(TWO_SIGMA) <= two
    own = [r.energy_uncertainty or 0.0 for r in runs_of([one_node(2)] * runs, random.Random(7))[0]]
    # The ledger keeps errors as counts of 1e-12 kWh, of some 0.01 kWh here.
    rounding = 1e-9
    least, most = min(own) * (1 - rounding), max(own) * (1 + rounding)
    assert least <= (totals.energy_uncertainty or 0.0) <= most


def test_runs_of_different_boards_cover_more_than_they_say(api_client: TestClient) -> None:
    """The ledger does not know which runs share a board, and takes it that all do."""

    def on(number: int) -> Layout:
        return lambda rng: [([gpu(number, rng)], {})]

    totals, (one, two) = covered(api_client, [on(number) for number in range(10)])
    assert totals.energy_uncertainty == pytest.approx(COUNTER)
    assert one > 0.99
    assert two == 1.0


# ----------------------------------------------------------------------------------- the rule


def test_errors_of_a_source_add_linearly_and_of_two_in_quadrature() -> None:
    assert of_sum([Term("a", 3.0, 0.1), Term("a", 1.0, 0.1)]) == pytest.approx(0.1)
    assert of_sum([Term("a", 3.0, 0.1), Term("b", 4.0, 0.1)]) == pytest.approx(0.5 / 7)
    assert of_sum([Term("a", 1.0, 0.1), Term("a", 1.0, 0.3)]) == pytest.approx(0.2)
    assert of_sum(iter([])) is None
    assert of_sum([Term("a", 0.0, 0.1), Term("b", 0.0, 0.4)]) == 0.4


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        (("gpu", "nvml_counter", "a", "GPU-1"), ("gpu", "nvml_power", "b", "GPU-1"), True),
        (("gpu", "nvml_counter", "a", "GPU-1"), ("gpu", "nvml_counter", "a", "GPU-2"), False),
        (
            ("cpu", "codecarbon_cpu_load", "a", None),
            ("cpu", "codecarbon_cpu_load", "b", None),
            True,
        ),
        (("cpu", "codecarbon_cpu_load", "a", None), ("ram", "codecarbon_ram", "a", None), False),
        (("cpu", "codecarbon_rapl", "a", None), ("cpu", "codecarbon_rapl", "b", None), False),
        (("cpu", "rapl", "a", None), ("ram", "rapl", "a", None), True),
        (("cpu", "rapl", "a", None), ("cpu", "codecarbon_cpu_load", "a", None), False),
    ],
)
def test_whose_error_it_is(
    first: tuple[Component, str, str, str | None],
    second: tuple[Component, str, str, str | None],
    is_shared: bool,
) -> None:
    assert (source_of(*first) == source_of(*second)) is is_shared
