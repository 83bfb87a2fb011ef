"""Charts as specifications: what is drawn, in which unit, and that nothing is fetched."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from carbon import grid, palette
from carbon.report.charts.labels import Spot, place_labels
from carbon.report.charts.tradeoff import DOTTED_AT_MOST, speedup_chart, tradeoff_chart
from carbon.report.frames import configurations
from carbon.schema import ProjectTotals
from tests.answers import SINGLE, cloud_region, place, point, summary, totals
from tests.factories import make_report
from ui import frames
from ui.charts import history, world
from ui.charts.regions import regions_chart
from ui.elsewhere import compare

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def spec(chart: Any) -> dict[str, Any]:
    """The chart as Vega-Lite, after validation; nothing in it leads out of this machine."""
    found: dict[str, Any] = chart.to_dict()
    del found["$schema"]
    assert '"url"' not in json.dumps(found)
    return found


def rows(found: dict[str, Any], *columns: str) -> list[dict[str, Any]]:
    """The rows of the data set that has these columns."""
    (data,) = [d for d in found["datasets"].values() if d and set(columns) <= set(d[0])][:1]
    return list(data)


def titles(found: Any) -> set[str]:
    """Every axis, legend and tooltip title."""
    if isinstance(found, dict):
        own = {found["title"]} if isinstance(found.get("title"), str) else set()
        return own.union(*(titles(v) for k, v in found.items() if k != "datasets"))
    return set().union(*(titles(v) for v in found)) if isinstance(found, list) else set()


def study() -> pd.DataFrame:
    """Three configurations, one of which is off the front and one repeated."""
    return configurations(
        [
            SINGLE,
            point("ddp", 2, 5.5, 0.00106, epoch_s_stdev=0.1, energy_per_epoch_kwh_stdev=0.00002),
            point("fsdp", 2, 6.0, 0.0013, on_pareto_front=False),
        ]
    )


def test_tradeoff_has_units_the_baseline_and_the_front() -> None:
    found = spec(tradeoff_chart(study(), "single × 1"))
    assert {"Speedup over single × 1 (times as fast)", "Energy per epoch (Wh)"} <= titles(found)
    drawn = {row["label"]: row for row in rows(found, "energy", "label_wide_dx")}
    assert drawn["ddp × 2"]["energy"] == pytest.approx(1.06)
    assert drawn["ddp × 2"]["energy_high"] == pytest.approx(1.08)
    assert drawn["ddp × 2"]["speedup_stdev"] == pytest.approx(10 / 5.5 * 0.1 / 5.5)
    assert drawn["single × 1"]["energy_high"] is None
    assert [name for name, row in drawn.items() if row["front"]] == ["single × 1", "ddp × 2"]
    line = next(layer for layer in found["layer"] if layer["mark"]["type"] == "line")
    assert {"filter": "datum.front"} in line["transform"]
    ring = next(layer for layer in found["layer"] if layer["mark"].get("filled") is False)
    assert ring["transform"] == [{"filter": "datum.front"}], "a front of one point is marked too"


def test_tradeoff_tells_strategies_by_colour_and_by_shape() -> None:
    found = spec(tradeoff_chart(study(), "single × 1"))
    points = next(layer for layer in found["layer"] if "shape" in layer["encoding"])
    for channel, position in (("color", 0), ("shape", 1)):
        scale = points["encoding"][channel]["scale"]
        assert scale["domain"] == ["single", "ddp", "fsdp"]
        assert scale["range"] == [palette.STRATEGIES[n][position] for n in scale["domain"]]


def test_every_strategy_has_a_colour_and_a_shape_of_its_own() -> None:
    colors, shapes = zip(*palette.STRATEGIES.values(), strict=True)
    assert len(set(colors)) == len(set(shapes)) == len(palette.STRATEGIES)


def test_tradeoff_leaves_out_what_has_no_energy() -> None:
    frame = configurations([SINGLE, point("ddp", 2, 5.5, None)])
    found = spec(tradeoff_chart(frame, "single × 1"))
    assert [row["label"] for row in rows(found, "energy", "label_wide_dx")] == ["single × 1"]


@pytest.mark.parametrize("n", [DOTTED_AT_MOST, DOTTED_AT_MOST + 1])
def test_only_few_points_are_joined_to_their_ideals(n: int) -> None:
    points = [SINGLE, *(point("ddp", k, 12 / k, 0.001 + k / 1e5) for k in range(2, n + 1))]
    found = spec(tradeoff_chart(configurations(points), "single × 1"))
    marks = [layer["mark"] for layer in found["layer"]]
    assert any("strokeDash" in mark for mark in marks) == (n == DOTTED_AT_MOST)
    assert [mark["type"] for mark in marks].count("tick") == 1


def test_without_any_energy_the_speedups_are_drawn_beside_their_ideal() -> None:
    frame = configurations([point("single", 1, 10.0, None), point("ddp", 2, 5.5, None)])
    found = spec(speedup_chart(frame, "single × 1"))
    assert [layer["mark"]["type"] for layer in found["layer"]] == ["bar", "tick"]
    assert [row["ideal_speedup"] for row in rows(found, "ideal_speedup")] == [1.0, 2.0]


@pytest.mark.parametrize("n", [1, 5, 24])
def test_labels_never_cover_each_other_or_a_point(n: int) -> None:
    spots = [
        Spot(20 + 9 * i % 230, 40 + 53 * i % 230, f"strategy × {i}", i % 2 == 0) for i in range(n)
    ]
    placed = place_labels(spots, [], 270, 310)
    assert placed[0] is not None
    boxes = []
    for spot, label in zip(spots, placed, strict=True):
        if label is not None:
            width = len(spot.text) * 6.0
            left = (
                spot.x_px
                + label.dx_px
                - {"left": 0, "center": width / 2, "right": width}[label.align]
            )
            boxes.append(
                (left, spot.y_px + label.dy_px - 7, left + width, spot.y_px + label.dy_px + 7)
            )
    for i, a in enumerate(boxes):
        assert a[0] >= 0
        assert a[2] <= 270
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        for spot in spots:
            inside = a[0] < spot.x_px < a[2] and a[1] < spot.y_px < a[3]
            assert not inside


def project_runs() -> pd.DataFrame:
    """A complete run, a failed one with GPU, one without any energy, out of order."""
    return frames.runs(
        [
            make_report(
                started_at=START + timedelta(days=2), cpu_energy_kwh=None, ram_energy_kwh=None
            ),
            make_report(started_at=START, cpu_energy_kwh=0.002, ram_energy_kwh=0.001),
            make_report(started_at=START + timedelta(days=1), gpu_energy_kwh=0.5, status="failed"),
        ]
    )


def test_the_timeline_ends_at_the_total_and_starts_at_what_is_not_shown() -> None:
    all_runs = ProjectTotals(**totals(energy_kwh=1.503, emissions_kg=None), project="p")
    frame = frames.timeline(project_runs(), all_runs)
    assert frame["cumulative_energy_kwh"].tolist() == pytest.approx([1.0, 1.503, 1.503])
    found = spec(history.timeline_chart(frame, "Energy"))
    assert {"Energy so far (kWh)", "Start of the run (UTC)"} <= titles(found)
    assert found["layer"][0]["encoding"]["x"]["scale"] == {"type": "utc"}


def test_the_band_of_the_timeline_grows_with_it_and_ends_at_the_totals() -> None:
    frame = project_runs()
    all_runs = ProjectTotals(**totals(energy_kwh=1.503, energy_uncertainty=0.3), project="p")
    found = spec(history.timeline_chart(frames.timeline(frame, all_runs), "Energy"))
    drawn = rows(found, "low", "high", "cumulative")
    assert [row["high"] - row["low"] for row in drawn] == pytest.approx([0.6, 0.9018, 0.9018])
    assert drawn[-1]["cumulative_text"] == "1.50 ± 0.45 kWh"
    assert [row["added_text"] for row in drawn] == ["3 ± 0.90 Wh", "503 ± 151 Wh", "unknown"]
    assert titles(found) >= {"Energy so far (kWh)"}
    assert not {"low", "high"} & titles(found)


def test_a_timeline_without_known_uncertainty_has_no_band() -> None:
    frame = frames.runs([make_report(energy_uncertainty=None) for _ in range(2)])
    all_runs = ProjectTotals(**totals(energy_kwh=0.006, energy_uncertainty=None), project="p")
    found = spec(history.timeline_chart(frames.timeline(frame, all_runs), "Energy"))
    drawn = rows(found, "low", "cumulative")
    assert [row["low"] for row in drawn] == [None, None]
    assert [row["cumulative_text"] for row in drawn] == ["3 Wh", "6 Wh"]


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        (timedelta(minutes=5), "%H:%M:%S"),
        (timedelta(hours=2), "%-d %b %H:%M"),
        (timedelta(days=30), "%-d %b"),
        (timedelta(days=900), "%b %Y"),
    ],
)
def test_the_timelines_labels_tell_its_moments_apart(span: timedelta, labels: str) -> None:
    both = frames.runs([make_report(started_at=START), make_report(started_at=START + span)])
    all_runs = ProjectTotals(**totals(energy_kwh=0.006), project="p")
    found = spec(history.timeline_chart(frames.timeline(both, all_runs), "Energy"))
    axes = [layer["encoding"]["x"]["axis"]["format"] for layer in found["layer"]]
    assert set(axes) == {labels}


def test_the_timeline_of_emissions_has_a_unit_of_mass() -> None:
    all_runs = ProjectTotals(**totals(energy_kwh=0.506, emissions_kg=0.25), project="p")
    found = spec(
        history.timeline_chart(frames.timeline(project_runs(), all_runs), "CO₂-equivalent")
    )
    assert "CO₂-equivalent so far (g)" in titles(found)


def test_runs_are_stacked_by_component_and_marked_where_something_is_wrong() -> None:
    found = spec(history.runs_chart(project_runs(), None))
    parts = rows(found, "component", "part")
    assert [(row["component"], row["part"]) for row in parts if row["status"] == "failed"] == [
        ("GPU", pytest.approx(500)),
        ("CPU", pytest.approx(2)),
        ("RAM", pytest.approx(1)),
    ]
    assert [(row["component"], row["position"]) for row in parts if row["status"] == "failed"] == [
        ("GPU", 0),
        ("CPU", 1),
        ("RAM", 2),
    ], "from the bottom in the order of the legend"
    bars, signs, unknown = found["layer"]
    assert bars["encoding"]["order"]["field"] == "position"
    (failed,) = found["datasets"][signs["data"]["name"]]
    assert failed["status"] == "failed"
    shapes = signs["encoding"]["shape"]["scale"]
    assert dict(zip(shapes["domain"], shapes["range"], strict=True)) == history.SIGNS
    (without,) = found["datasets"][unknown["data"]["name"]]
    assert (without["energy_kwh"], unknown["mark"]["text"]) == (None, "?")
    assert "Energy (Wh)" in titles(found)


def test_only_the_newest_runs_get_a_bar() -> None:
    many = [
        make_report(started_at=START + timedelta(hours=i)) for i in range(history.BARS_AT_MOST + 5)
    ]
    found = spec(history.runs_chart(frames.runs(many), None))
    drawn = {row["run_id"] for row in rows(found, "component")}
    assert drawn == {str(run.run_id) for run in many[5:]}


def test_epochs_are_drawn_by_energy_or_else_by_duration() -> None:
    with_energy = frames.epochs(make_report(gpu_energy_kwh=0.3).epochs)
    assert "Energy (Wh)" in titles(spec(history.epochs_chart(with_energy)))
    without = frames.epochs(make_report(cpu_energy_kwh=None, ram_energy_kwh=None).epochs)
    assert "Time (s)" in titles(spec(history.epochs_chart(without)))


@pytest.mark.parametrize("quantity", world.QUANTITIES)
def test_the_map_shows_every_country_it_can_with_its_source(quantity: str) -> None:
    factors = grid.all_factors()
    found = spec(world.world_chart(frames.world(factors), quantity, ["276"]))
    lookup = found["layer"][1]["transform"]
    name = next(step for step in lookup if "lookup" in step)["from"]["data"]["name"]
    records = found["datasets"][name]
    germany = next(record for record in records if record["id"] == "276")
    factor = grid.lookup("DEU", None)
    assert factor is not None
    mix = factor.mix_percent or {}
    expected = factor.intensity_g_per_kwh if quantity == "intensity" else mix[quantity]
    assert germany["value"] == pytest.approx(expected)
    assert str(factor.year) in germany["source"]
    # All but a few of the shapes with a code have a figure.
    assert len(world.drawn_countries() & {record["id"] for record in records}) > 165
    # The shapes are sent once, not once a layer.
    assert json.dumps(found).count('"Topology"') == 1
    assert found["layer"][2]["transform"][-1]["filter"] == {"field": "id", "oneOf": ["276"]}


def test_regions_are_drawn_with_the_own_place_set_off() -> None:
    comparison = compare(
        summary(place("DEU", 400.0, 2.0)),
        [cloud_region("clean", 40.0), cloud_region("dirty", 800.0)],
        "cloud region",
    )
    found = spec(regions_chart(comparison.frame))
    assert "CO₂-equivalent (kg)" in titles(found)
    scale = found["layer"][0]["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True))["yours"] == palette.VERMILLION
    drawn = rows(found, "emissions", "group")
    assert [row["group"] for row in drawn] == ["lowest", "yours", "lowest"]
    assert drawn[1]["label"] == "This project\nGermany"
