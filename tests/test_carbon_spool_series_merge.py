"""From what processes have recorded to the series of a report."""

from datetime import UTC, datetime, timedelta

import pytest

from carbon.schema import MAX_POINTS, SERIES_NAMES, NodeReport, SeriesName, is_of_device
from carbon.spool.merge import merge
from carbon.spool.series import PartSeries, RecordedSeries, Series
from carbon.spool.series_merge import MAX_REPORT_POINTS, merge_series
from tests.test_carbon_spool_merge import part

BEGAN = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
LARGEST_BODY = 16 * 1024 * 1024


def steady(value: float, from_s: float, until_s: float, interval_s: float = 1.0) -> Series:
    series = Series(from_s, interval_s)
    series.add(from_s, until_s, value)
    return series


def recorded(
    *series: RecordedSeries, hostname: str = "node-1", attempt: int = 0, after_s: float = 0.0
) -> PartSeries:
    return PartSeries(hostname, attempt, BEGAN + timedelta(seconds=after_s), list(series))


def test_a_device_read_by_two_in_turn_has_one_series() -> None:
    one = recorded(RecordedSeries("gpu_power", "GPU-0", steady(100.0, 0.0, 4.0)))
    other = recorded(RecordedSeries("gpu_power", "GPU-0", steady(300.0, 1.0, 3.0)), after_s=5.0)
    (series,) = merge_series([other, one], {"node-1": BEGAN})[0, "node-1"]
    assert (series.start_s, series.interval_s) == (0.0, 1.0)
    assert series.values == [100.0, 100.0, 100.0, 100.0, None, None, 300.0, 300.0]


def test_the_coarser_of_two_is_kept() -> None:
    one = recorded(RecordedSeries("ram_used", None, steady(4.0, 0.0, 4.0, interval_s=2.0)))
    other = recorded(RecordedSeries("ram_used", None, steady(8.0, 0.0, 4.0)), after_s=4.0)
    (series,) = merge_series([one, other], {"node-1": BEGAN})[0, "node-1"]
    assert (series.interval_s, series.values) == (2.0, [4.0, 4.0, 8.0, 8.0])


def test_attempts_and_nodes_have_their_own_in_the_time_of_their_node() -> None:
    parts = [
        part(0, {"gpu:GPU-0": 1.0}, status="failed"),
        part(0, {"gpu:GPU-0": 1.0}, attempt=1, started_at="2026-03-01T12:01:00+00:00"),
        part(1, {"gpu:GPU-1": 1.0}, hostname="node-2", started_at="2026-03-01T12:00:07+00:00"),
    ]
    own = RecordedSeries("gpu_power", "GPU-0", steady(100.0, 0.5, 2.5))
    report = merge(
        parts,
        series=[
            recorded(own),
            recorded(own, attempt=1, after_s=60.0),
            recorded(
                RecordedSeries("gpu_power", "GPU-1", steady(50.0, 0.0, 1.0)),
                hostname="node-2",
                after_s=7.0,
            ),
        ],
    )
    shown = {
        (node.hostname, node.attempt): [(s.device_uuid, s.start_s) for s in node.series]
        for node in report.nodes
    }
    assert shown == {
        ("node-1", 0): [("GPU-0", 0.5)],
        ("node-1", 1): [("GPU-0", 60.5)],
        ("node-2", 0): [("GPU-1", 0.0)],
    }


def test_a_report_has_series_only_where_they_are_asked_for() -> None:
    parts = [part(0, {"cpu": 1.0})]
    with_series = merge(parts, series=[recorded(RecordedSeries("ram_used", None, steady(4, 0, 2)))])
    assert [series.name for series in with_series.nodes[0].series] == ["ram_used"]
    without = merge(parts)
    assert without.nodes[0].series == []
    assert without.nodes[0].series_means == {}
    assert without.energy_kwh == with_series.energy_kwh


def test_a_node_has_the_means_of_what_its_host_did() -> None:
    uneven = Series(0.0, 1.0)
    for second, value in ((0, 10.0), (1, 40.0), (5, 100.0)):
        uneven.add(second, second + 1.0, value)
    found = recorded(
        RecordedSeries("cpu_utilization", None, uneven),
        RecordedSeries("gpu_utilization", "GPU-0", steady(4, 0, 2)),
    )
    (node,) = merge([part(0, {"cpu": 1.0})], series=[found]).nodes
    assert node.series_means == {"cpu_utilization": 50.0}


def everything(gpus: int) -> PartSeries:
    """Every series at its full length, its values as long as they can be."""
    names: list[tuple[SeriesName, str | None]] = []
    for name in SERIES_NAMES:
        uuids = [f"GPU-{i:032d}" for i in range(gpus)] if is_of_device(name) else [None]
        names += [(name, uuid) for uuid in uuids]
    found = []
    for name, uuid in names:
        series = Series(0.0, 1.0)
        for second in range(MAX_POINTS):
            series.add(second, second + 1.0, 54321.98765 + second)
        found.append(RecordedSeries(name, uuid, series))
    return recorded(*found)


@pytest.mark.parametrize(("gpus", "at_most"), [(16, 2 * 1024**2), (100, LARGEST_BODY / 2)])
def test_a_report_stays_small_enough_to_be_sent(gpus: int, at_most: float) -> None:
    series = merge_series([everything(gpus)], {})[0, "node-1"]
    assert len(series) == 4 * gpus + 7
    assert sum(len(one.values) for one in series) <= MAX_REPORT_POINTS
    if gpus == 16:
        assert {len(one.values) for one in series} == {MAX_POINTS}
    node = NodeReport(hostname="node-1", series=series)
    assert len(node.model_dump_json()) < at_most


def test_a_part_whose_host_is_unknown_is_told_from_its_own_start() -> None:
    series = recorded(RecordedSeries("ram_used", None, steady(4.0, 1.0, 2.0)))
    assert merge_series([series], {})[0, "node-1"][0].start_s == 1.0
    early = {"node-1": datetime(2026, 3, 2, tzinfo=UTC)}
    assert merge_series([series], early)[0, "node-1"][0].start_s == 1.0


def test_a_series_that_makes_no_sense_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    sound = RecordedSeries("ram_used", None, steady(4.0, 0.0, 2.0))
    nobodys = RecordedSeries("gpu_power", None, steady(4.0, 0.0, 2.0))
    found = merge_series([recorded(nobodys, sound)], {"node-1": BEGAN})
    assert [one.name for one in found[0, "node-1"]] == ["ram_used"]
    assert "gpu_power belongs to an accelerator" in caplog.text
