"""The frame and the charts of what a run recorded over time."""

import pytest

from tests.reports import recorded_run
from ui import series
from ui.charts.series import series_chart

POWER, UTILIZATION, MEMORY, TEMPERATURE, FREQUENCY, NETWORK = series.PANELS


def test_every_series_has_its_place() -> None:
    frame = series.frame(recorded_run(gpus=2, points=10).nodes)
    assert set(frame["name"]) == {name for panel in series.PANELS for name in panel.lines}
    assert frame["line"].nunique() == 2 * 4 + 7
    assert set(frame["where"]) == {"GPU 0", "GPU 1", "the host"}
    first = frame[frame["line"] == frame["line"].iloc[0]]
    assert first["at_s"].tolist() == [0.75 + i for i in range(10)]
    assert first["value"].isna().sum() == 1


def test_nodes_are_told_apart_where_there_are_several() -> None:
    nodes = recorded_run(gpus=1, points=3).nodes * 2
    frame = series.frame(nodes)
    assert "GPU 0 of node-1, attempt 1" in set(frame["where"])
    assert frame["line"].nunique() == 2 * (4 + 7)


def test_a_long_series_is_drawn_with_fewer_points_and_its_mean() -> None:
    run = recorded_run(gpus=1, points=2000)
    frame = series.frame(run.nodes)
    temperature = frame[frame["name"] == "gpu_temperature"]
    assert len(temperature) == series.POINTS_SHOWN
    (whole,) = (one for one in run.nodes[0].series if one.name == "gpu_temperature")
    known = [value for value in whole.values if value is not None]
    assert temperature["value"].mean() == pytest.approx(sum(known) / len(known), rel=1e-3)
    assert temperature["at_s"].iloc[0] == 0.25 + 2.5
    assert temperature["at_s"].iloc[-1] == 0.25 + 2000 - 2.5


def test_of_many_devices_each_line_has_fewer_points() -> None:
    frame = series.frame(recorded_run(gpus=16, points=2000).nodes)
    for panel in series.PANELS:
        drawn = frame[frame["name"].isin(list(panel.lines))]
        assert len(drawn) <= series.PANEL_POINTS
        assert drawn.groupby("line").size().min() >= series.LEAST_POINTS
    hundreds = series.frame(recorded_run(gpus=100, points=200, names=("gpu_power",)).nodes)
    assert set(hundreds.groupby("line").size()) == {series.LEAST_POINTS}


def test_no_series_make_an_empty_frame() -> None:
    assert series.frame(recorded_run(names=()).nodes).empty


@pytest.mark.parametrize("panel", series.PANELS, ids=lambda panel: panel.title)
def test_a_chart_has_its_own_lines_alone(panel: series.Panel) -> None:
    frame = series.frame(recorded_run().nodes)
    drawn = series_chart(frame, panel).to_dict()
    (data,) = drawn["datasets"].values()
    assert {row["name"] for row in data} == set(panel.lines)
    y = drawn["layer"][0]["encoding"]["y"]
    assert y["title"] == f"{panel.title} ({panel.unit})"
    legend = drawn["layer"][0]["encoding"]["color"]["legend"]
    assert (legend is None) == (len(panel.lines) == 1)


@pytest.mark.parametrize(("points", "unit"), [(60, "s"), (1000, "min"), (1999, "min")])
def test_time_is_told_in_a_fitting_unit(points: int, unit: str) -> None:
    frame = series.frame(recorded_run(points=points).nodes)
    drawn = series_chart(frame, POWER).to_dict()
    assert drawn["layer"][0]["encoding"]["x"]["title"] == f"Time since the start ({unit})"


def test_a_single_point_is_drawn_as_one() -> None:
    frame = series.frame(recorded_run(points=1).nodes).assign(value=5.0)
    drawn = series_chart(frame, POWER).to_dict()
    assert drawn["layer"][1]["mark"]["opacity"] == 1.0
    many = series.frame(recorded_run(points=9).nodes)
    assert series_chart(many, POWER).to_dict()["layer"][1]["mark"]["opacity"] == 0.0
