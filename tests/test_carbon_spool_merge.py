import math
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from carbon.schema import RunReport, Status
from carbon.spool.merge import merge
from carbon.spool.part import (
    Described,
    Ended,
    EpochEnded,
    EpochMeasured,
    Event,
    Metered,
    Part,
    Sampled,
    Started,
)
from tests.test_carbon_spool_part import STARTED

KWH = 3.6e6
PLACE = {"country_iso_code": "DEU", "intensity_g_per_kwh": 400.0, "pue": 1.5}


def started(**fields: Any) -> Started:
    return replace(STARTED, spec={"project": "digits", "strategy": "ddp"}, **fields)


def part(
    rank: int = 0,
    energy_j: dict[str, float] | None = None,
    *,
    status: Status | None = "completed",
    is_alive: bool = False,
    attempt: int = 0,
    hostname: str = "node-1",
    started_at: str = STARTED.started_at,
    duration_s: float = 10.0,
    epochs: tuple[EpochEnded, ...] = (),
    place: dict[str, Any] | None = None,
    unseen_s: float = 0.0,
) -> Part:
    energy_j = energy_j or {}
    first = started(
        rank=rank,
        pid=100 + rank,
        world_size=2,
        attempt=attempt,
        hostname=hostname,
        started_at=started_at,
    )
    meters = [
        Metered(
            key,
            key[:3],  # type: ignore[arg-type]
            f"steady_{key[:3]}",
            0.1 if key.startswith("gpu") else 0.4,
            key.removeprefix("gpu:") if key.startswith("gpu:") else None,
            int(key[-1]) if key.startswith("gpu:") else None,
            "A device",
            unseen_s=unseen_s,
        )
        for key in energy_j
    ]
    events: list[Event] = [
        first,
        Described(PLACE if place is None else place, {}),
        *meters,
        *epochs,
        Sampled(duration_s, energy_j, {key: 50.0 for key in energy_j if "gpu" in key}, {}),
    ]
    if status is not None:
        events.append(Ended(status, duration_s))
    merged = Part.replay(events, is_alive=is_alive)
    assert merged is not None
    return merged


def test_what_was_drawn_before_the_first_look_is_less_certain() -> None:
    energies = {"gpu:GPU-0": 1 * KWH, "gpu:GPU-1": 3 * KWH}
    report = merge([part(0, energies, duration_s=10.0, unseen_s=0.5)])
    # A twentieth is inferred, of both boards by what their meters showed at the same moment.
    errors = (0.95 * 1 * 0.1, 0.95 * 3 * 0.1, 0.05 * 4 / math.sqrt(3))
    assert report.energy_uncertainty == pytest.approx(math.hypot(*errors) / 4)
    devices = report.nodes[0].devices
    assert [device.energy_uncertainty for device in devices] == pytest.approx(
        [math.hypot(0.95 * 0.1, 0.05 / math.sqrt(3))] * 2
    )


def test_two_ranks_make_one_run_and_every_joule_counts_once() -> None:
    report = merge(
        [
            part(1, {"gpu:GPU-1": 2 * KWH}, epochs=(EpochEnded(0, 9.0, 2 * KWH, {"loss": 9.0}),)),
            part(
                0,
                {"gpu:GPU-0": 1 * KWH, "cpu": 0.5 * KWH, "ram": 0.25 * KWH},
                epochs=(EpochEnded(0, 8.0, 1.75 * KWH, {"loss": 1.0}),),
            ),
        ],
        seq=3,
    )
    assert report.seq == 3
    assert (report.gpu_energy_kwh, report.cpu_energy_kwh, report.ram_energy_kwh) == (3.0, 0.5, 0.25)
    assert report.energy_kwh == 3.75
    assert report.emissions_kg == pytest.approx(3.75 * 1.5 * 0.4, rel=1e-12)
    # Two boards, a model of the CPU and one of the RAM: four errors that are nobody else's.
    errors = (1 * 0.1, 2 * 0.1, 0.5 * 0.4, 0.25 * 0.4)
    assert report.energy_uncertainty == pytest.approx(math.hypot(*errors) / 3.75)
    assert report.gpu_energy_uncertainty == pytest.approx(math.hypot(0.1, 0.2) / 3)
    assert report.gpu_energy_method == "steady_gpu"
    assert report.world_size == 2
    (node,) = report.nodes
    assert node.ranks == [0, 1]
    assert node.energy_kwh == 3.75
    assert node.cpu_model == "A device"
    assert [(d.uuid, d.index, d.energy_kwh) for d in node.devices] == [
        ("GPU-0", 0, 1.0),
        ("GPU-1", 1, 2.0),
    ]
    (epoch,) = report.epochs
    assert (epoch.duration_s, epoch.energy_kwh, epoch.metrics) == (8.0, 3.75, {"loss": 1.0})
    assert report.metrics == {"loss": 1.0}


def test_a_device_measured_by_two_ranks_in_turn_is_one_device() -> None:
    report = merge([part(0, {"gpu:GPU-0": KWH}), part(1, {"gpu:GPU-0": 3 * KWH}, duration_s=30)])
    (device,) = report.nodes[0].devices
    assert device.energy_kwh == 4.0 == report.gpu_energy_kwh
    assert device.mean_utilization_percent == 50.0
    assert report.duration_s == 30.0


def test_what_nobody_measured_is_unknown_not_zero() -> None:
    report = merge([part(0), part(1)])
    assert report.energy_kwh is None
    assert report.emissions_kg is None
    assert report.energy_uncertainty is None
    assert report.nodes[0].cpu_energy_kwh is None


def test_what_was_measured_as_zero_is_zero() -> None:
    report = merge([part(0, {"gpu:GPU-0": 0.0})])
    assert report.gpu_energy_kwh == 0.0 == report.energy_kwh == report.emissions_kg
    assert report.cpu_energy_kwh is None


def test_an_unknown_place_has_energy_and_no_emissions() -> None:
    report = merge([part(0, {"cpu": KWH}, place={"pue": 1.0})])
    assert report.energy_kwh == 1.0
    assert report.emissions_kg is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("completed", False), ("completed", False), "completed"),
        (("completed", False), (None, True), "completed"),
        ((None, True), ("completed", False), "running"),
        (("completed", False), ("failed", False), "failed"),
        (("completed", False), (None, False), "interrupted"),
        (("failed", False), (None, False), "failed"),
        ((None, True), ("failed", False), "failed"),
        ((None, False), (None, False), "interrupted"),
        ((None, True), (None, True), "running"),
    ],
)
def test_a_run_stands_as_its_lead_does_unless_a_rank_ended_badly(
    first: tuple[Status | None, bool], second: tuple[Status | None, bool], expected: str
) -> None:
    report = merge(
        [
            part(0, status=first[0], is_alive=first[1]),
            part(1, status=second[0], is_alive=second[1]),
        ]
    )
    assert report.status == expected
    assert (report.ended_at is None) == (expected == "running")


def test_a_restart_stays_one_run_and_the_failed_attempt_counts() -> None:
    epochs = (EpochEnded(0, 5.0, KWH, {"loss": 2.0}),)
    report = merge(
        [
            part(0, {"cpu": KWH}, status="failed", epochs=epochs),
            part(
                0,
                {"cpu": 2 * KWH},
                attempt=1,
                started_at="2026-03-01T12:01:00+00:00",
                epochs=epochs,
            ),
        ]
    )
    assert report.status == "completed"
    assert report.attempts == 2
    assert report.energy_kwh == 3.0
    assert [(n.attempt, n.energy_kwh) for n in report.nodes] == [(0, 1.0), (1, 2.0)]
    assert [(e.attempt, e.index) for e in report.epochs] == [(0, 0), (1, 0)]
    assert report.duration_s == 70.0
    assert report.ended_at is not None
    assert (report.ended_at - report.started_at).total_seconds() == 70.0


def test_nodes_are_told_apart() -> None:
    report = merge([part(0, {"cpu": KWH}), part(1, {"cpu": 2 * KWH}, hostname="node-2")])
    assert [(n.hostname, n.ranks, n.energy_kwh) for n in report.nodes] == [
        ("node-1", [0], 1.0),
        ("node-2", [1], 2.0),
    ]


def test_the_order_of_parts_does_not_matter() -> None:
    parts = [
        part(0, {"cpu": 1.1, "gpu:GPU-0": 2.3}),
        part(1, {"gpu:GPU-1": 3.7}),
        part(0, {"cpu": 0.7}, attempt=1, status="failed"),
    ]
    reports: list[RunReport] = [merge(order) for order in permutations(parts)]
    assert all(report == reports[0] for report in reports)


def launcher(
    status: Status | None = "completed",
    *,
    is_alive: bool = False,
    spec: dict[str, Any] | None = None,
) -> Part:
    """The part of a `carbon run` that measured a host and its one GPU."""
    made = part(0, {"gpu:GPU-0": 4 * KWH, "cpu": 1 * KWH}, status=status, is_alive=is_alive)
    said = {"project": "digits"} if spec is None else spec
    made.started = replace(made.started, is_launcher=True, pid=1, world_size=1, spec=said)
    return made


def tracked(rank: int = 0, *, pid: int = 100, second: int = 0, **fields: Any) -> Part:
    """A process that `carbon run` measures for."""
    made = part(rank, started_at=f"2026-03-01T12:00:{second:02}+00:00", **fields)
    made.started = replace(made.started, pid=pid + rank)
    return made


def epochs(*losses: float) -> tuple[EpochEnded, ...]:
    return tuple(EpochEnded(i, 2.0, None, {"loss": loss}, 10.0) for i, loss in enumerate(losses))


def test_a_launcher_measures_and_is_no_rank() -> None:
    parts = [launcher(), tracked(0, epochs=epochs(1.0)), tracked(1, epochs=epochs(9.0))]
    # Rank 1 was heard of first.
    for rank in (1, 0):
        name = parts[1 + rank].started.part_name
        parts[0].apply(EpochMeasured(name, 0, (2 + rank) * KWH))
    for order in permutations(parts):
        report = merge(order)
        assert (report.world_size, report.energy_kwh) == (2, 5.0)
        assert [node.ranks for node in report.nodes] == [[0, 1]]
        (epoch,) = report.epochs
        assert (epoch.energy_kwh, epoch.metrics) == (2.0, {"loss": 1.0})


def test_what_a_rank_measured_by_itself_is_added_to_the_launchers() -> None:
    own = tracked(0, energy_j={"gpu:GPU-1": 1 * KWH}, epochs=(EpochEnded(0, 2.0, 1 * KWH, {}),))
    around = launcher()
    around.apply(EpochMeasured(own.started.part_name, 0, 3 * KWH))
    report = merge([around, own])
    assert report.energy_kwh == 6.0
    assert [epoch.energy_kwh for epoch in report.epochs] == [4.0]


def test_programs_of_one_launcher_follow_on_each_other() -> None:
    parts = [
        launcher(),
        tracked(0, second=5, pid=300, epochs=epochs(0.5)),
        tracked(0, epochs=epochs(3.0, 2.0)),
        tracked(1, epochs=epochs(8.0, 8.0)),
        tracked(1, second=6, pid=300, epochs=epochs(8.0)),
    ]
    for order in permutations(parts):
        report = merge(order)
        found = [(e.index, e.metrics["loss"]) for e in report.epochs]
        assert found == [(0, 3.0), (1, 2.0), (2, 0.5)]
        assert report.metrics == {"loss": 0.5}, "the last value counts"


@pytest.mark.parametrize(
    ("around", "inside", "expected"),
    [
        (("completed", False), ("completed", False), "completed"),
        (("completed", False), ("failed", False), "failed"),
        (("completed", False), ("interrupted", False), "completed"),
        (("completed", False), (None, False), "completed"),
        (("failed", False), ("completed", False), "failed"),
        (("interrupted", False), ("failed", False), "interrupted"),
        ((None, True), ("failed", False), "running"),
        ((None, True), ("completed", False), "running"),
        ((None, False), (None, True), "running"),
        ((None, False), ("completed", False), "interrupted"),
    ],
)
def test_the_launchers_end_decides(
    around: tuple[Status | None, bool], inside: tuple[Status | None, bool], expected: Status
) -> None:
    parts = [
        launcher(around[0], is_alive=around[1]),
        tracked(0, status=inside[0], is_alive=inside[1]),
    ]
    assert merge(parts).status == expected


def test_too_much_said_on_both_sides_still_makes_a_report() -> None:
    outer = {"project": "digits", "tags": {f"o{i}": "" for i in range(60)}, "config": {}}
    inside = tracked(0)
    inside.started.spec["tags"] = {f"i{i}": "" for i in range(60)}
    report = merge([launcher(spec=outer), inside])
    assert len(report.tags) == 100
    assert set(outer["tags"]) < set(report.tags)
    assert report.strategy == "ddp"
