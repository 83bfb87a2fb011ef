"""Shares of a run by node, and the run that they make."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from carbon import units
from carbon.delivery.delivery import split
from carbon.schema import EpochReport, NodeReport, RunReport
from carbon.spool.merge import merge
from carbon.spool.part import EpochEnded, Part
from carbon.spool.series import RecordedSeries
from carbon.spool.shares import counted, interrupted, merge_reports
from tests.factories import make_report, run_id_at
from tests.test_carbon_spool_merge import KWH, part
from tests.test_carbon_spool_series_merge import recorded, steady

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN_ID = run_id_at(NOON)


def share(host: str, rank: int = 0, *, attempts: int = 1, **fields: Any) -> RunReport:
    """What one node says of its share: of every attempt up to the last."""
    nodes = [NodeReport(hostname=host, attempt=a, ranks=[rank]) for a in range(attempts)]
    values = {
        "run_id": RUN_ID,
        "reporter": host,
        "n_nodes": 2,
        "world_size": 2,
        "attempts": attempts,
        "nodes": nodes,
        "seq": 1,
    }
    return make_report(**(values | fields))


def whole(*hosts: str, **fields: Any) -> RunReport:
    nodes = [NodeReport(hostname=host, ranks=[rank]) for rank, host in enumerate(hosts)]
    return make_report(run_id=RUN_ID, nodes=nodes, **fields)


def test_one_share_is_the_run_as_it_is() -> None:
    report = share("a", epochs=[EpochReport(index=0, duration_s=1.0)])
    assert merge_reports([report]) == report.model_copy(update={"reporter": None})


def test_energies_add_up_and_the_lowest_rank_leads() -> None:
    lead = share(
        "b",
        0,
        seq=5,
        gpu_energy_kwh=1.0,
        metrics={"loss": 0.1},
        started_at=NOON + timedelta(seconds=5),
        git_commit=None,
        epochs=[EpochReport(index=0, duration_s=9.0, energy_kwh=0.5, metrics={"loss": 0.1})],
    )
    other = share(
        "a",
        1,
        seq=7,
        gpu_energy_kwh=2.0,
        metrics={"loss": 9.0, "only_here": 1.0},
        country_iso_code="FRA",
        intensity_g_per_kwh=56.0,
        pue=1.0,
        git_commit="0123abc",
        ram_energy_kwh=None,
        epochs=[
            EpochReport(index=0, duration_s=8.0, energy_kwh=0.25, metrics={"loss": 9.0}),
            EpochReport(index=1, duration_s=8.0, energy_kwh=0.25),
        ],
    )
    run = merge_reports([other, lead])
    assert (run.gpu_energy_kwh, run.cpu_energy_kwh, run.ram_energy_kwh) == (3.0, 0.004, 0.001)
    assert run.energy_kwh == 3.005
    assert run.emissions_kg == units.emissions_kg(3.005, 1.2, 380.95)
    assert (run.country_iso_code, run.pue) == ("DEU", 1.2)
    assert (run.reporter, run.seq, run.n_nodes) == (None, 12, 2)
    assert (run.started_at, run.ended_at) == (NOON, NOON + timedelta(seconds=65))
    assert run.duration_s == 65.0
    assert [node.hostname for node in run.nodes] == ["a", "b"]
    assert run.metrics == {"loss": 0.1, "only_here": 1.0}
    assert run.git_commit == "0123abc"
    assert run.epochs == [
        EpochReport(index=0, duration_s=9.0, energy_kwh=0.75, metrics={"loss": 0.1}),
        EpochReport(index=1, duration_s=8.0, energy_kwh=0.25),
    ]


def test_errors_of_boards_are_independent_and_those_of_a_model_are_not() -> None:
    bands: dict[str, Any] = {"gpu_energy_uncertainty": 0.05, "cpu_energy_uncertainty": 0.3}
    one, two = (
        share(host, rank, gpu_energy_kwh=1.0, cpu_energy_kwh=1.0, ram_energy_kwh=None, **bands)
        for rank, host in enumerate("ab")
    )
    run = merge_reports([one, two])
    assert run.gpu_energy_uncertainty == pytest.approx(0.05 / 2**0.5)
    assert run.cpu_energy_uncertainty == pytest.approx(0.3)
    assert run.energy_uncertainty == pytest.approx((2 * 0.05**2 + 0.6**2) ** 0.5 / 4)


def test_a_node_that_tells_its_total_only_leaves_the_components_unknown() -> None:
    total_only = share("b", 1).model_copy(
        update={"cpu_energy_kwh": None, "ram_energy_kwh": None, "energy_kwh": 0.5}
    )
    run = merge_reports([share("a"), total_only])
    assert (run.energy_kwh, run.cpu_energy_kwh) == (0.503, None)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("completed", "completed"), "completed"),
        (("completed", "running"), "running"),
        (("running", "completed"), "running"),
        (("running", "failed"), "failed"),
        (("interrupted", "failed"), "failed"),
        (("completed", "interrupted"), "interrupted"),
    ],
)
def test_a_run_stands_as_its_nodes_do(statuses: tuple[str, str], expected: str) -> None:
    shares = [
        share(host, rank, status=status, ended_at=None if status == "running" else NOON)
        for rank, (host, status) in enumerate(zip("ab", statuses, strict=True))
    ]
    run = merge_reports(shares)
    assert run.status == expected
    assert (run.ended_at is None) == (expected == "running")


def test_a_node_that_has_left_before_the_last_attempt_says_nothing_of_its_end() -> None:
    left = share("a", 0, status="failed")
    stayed = share("b", 1, attempts=2, name="the lead's")
    run = merge_reports([left, stayed])
    assert (run.status, run.attempts, run.name) == ("completed", 2, "the lead's")
    assert run.energy_kwh == 0.006


def test_the_order_of_shares_does_not_matter() -> None:
    shares = [share(host, rank, gpu_energy_kwh=0.1 * rank) for rank, host in enumerate("cab")]
    runs = [merge_reports(order) for order in permutations(shares)]
    assert all(run == runs[0] for run in runs)


def test_what_was_last_heard_of_is_the_end_of_a_lost_share() -> None:
    lost = interrupted(share("a", status="running", ended_at=None, live_interval_s=10))
    assert (lost.status, lost.ended_at) == ("interrupted", NOON + timedelta(seconds=60))
    assert lost.live_interval_s is None


COUNTED: list[tuple[list[RunReport], list[str | None]]] = [
    ([whole("a")], [None]),
    ([share("a"), share("b")], ["a", "b"]),
    # Shares tell all that the whole does, and are what is newer.
    ([whole("a", "b"), share("a"), share("b")], ["a", "b"]),
    ([whole(), share("a")], ["a"]),
    # One node's share is missing: the whole has it, and it has the other one's too.
    ([whole("a", "b"), share("a")], [None]),
    # A restart elsewhere: neither knows of the other.
    ([whole("a"), share("b", attempts=2)], [None, "b"]),
    # A restart in the same place with the same spool.
    ([whole("a"), share("a", attempts=2)], ["a"]),
]


@pytest.mark.parametrize(("reports", "expected"), COUNTED)
def test_nothing_counts_twice_and_nothing_is_left_out(
    reports: list[RunReport], expected: list[str | None]
) -> None:
    for order in permutations(reports):
        assert sorted(map(str, (r.reporter for r in counted(order)))) == sorted(map(str, expected))


# ------------------------------------------------------------------------- what a tracker sends


def two_nodes() -> list[Part]:
    epochs = (EpochEnded(0, 9.0, KWH, {"loss": 1.0}),)
    return [
        part(0, {"cpu": KWH, "gpu:GPU-0": 2 * KWH}, hostname="node-1", epochs=epochs),
        part(1, {"cpu": 3 * KWH, "gpu:GPU-1": KWH}, hostname="node-2", epochs=epochs),
    ]


def on_nodes(parts: list[Part], n_nodes: int) -> list[Part]:
    for each in parts:
        each.started = replace(each.started, n_nodes=n_nodes)
    return parts


def test_a_run_of_one_node_is_sent_as_it_is() -> None:
    parts = two_nodes()[:1]
    report = merge(parts, 3)
    assert split(parts, report) == [report]


def test_shares_from_one_spool_or_from_two_are_the_same_and_make_the_same_run() -> None:
    parts = on_nodes(two_nodes(), 2)
    together = split(parts, merge(parts, 1))
    apart = [share for own in parts for share in split([own], merge([own], 1))]
    assert together == apart
    assert [share.reporter for share in together] == ["node-1", "node-2"]
    run, report = merge_reports(together), merge(parts, 2)
    bands = {name: None for name in RunReport.model_fields if name.endswith("uncertainty")}
    assert run.model_copy(update=bands) == report.model_copy(update=bands)


def test_nodes_of_one_name_are_told_apart_by_their_spools() -> None:
    one, other = on_nodes([replace_host(each, "localhost") for each in two_nodes()], 2)
    shares = split([one], merge([one], 1), spool_id="ab") + split([other], merge([other], 1))
    assert [share.reporter for share in shares] == ["localhost/ab", "localhost"]
    run = merge_reports(counted(shares))
    assert run.energy_kwh == 7.0
    assert [(node.hostname, node.ranks) for node in run.nodes] == [
        ("localhost", [0]),
        ("localhost", [1]),
    ]


def replace_host(part: Part, hostname: str) -> Part:
    return replace(part, started=replace(part.started, hostname=hostname))


def test_every_node_sends_the_series_that_it_has_recorded() -> None:
    parts = on_nodes(two_nodes(), 2)
    series = [
        recorded(RecordedSeries("cpu_power", None, steady(60.0, 0.0, 4.0)), hostname=hostname)
        for hostname in ("node-1", "node-2")
    ]
    sent = split(parts, merge(parts, 1, series), series)
    assert [len(node.series) for share in sent for node in share.nodes] == [1, 1]


def test_a_run_that_was_restarted_may_have_been_elsewhere_before() -> None:
    here = part(0, {"cpu": 2 * KWH}, attempt=1, hostname="node-2")
    (sent,) = split([here], merge([here], 1))
    assert (sent.reporter, sent.attempts) == ("node-2", 2)
    before = part(0, {"cpu": KWH}, status="failed")
    (first,) = split([before], merge([before], 5))
    run = merge_reports(counted([first, sent]))
    assert (run.status, run.energy_kwh, run.attempts) == ("completed", 3.0, 2)
