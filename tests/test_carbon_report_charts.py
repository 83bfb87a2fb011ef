"""Charts of a report as specifications: axes with units, looks, error bars, extrapolations."""

import json
from typing import Any

import pytest
from altair.typing import ChartType

from carbon.palette import STRATEGIES
from carbon.report.charts.encodings import DASHES, log_domain, log_ticks
from carbon.report.charts.labels import Spot, place_labels
from carbon.report.content import content_of
from carbon.report.figures import Figure
from carbon.report.frames import configurations
from carbon.report.study import Asked, analyse
from carbon.report.style import for_file, for_page
from carbon.schema import RunReport
from tests import studies
from tests.answers import point

Spec = dict[str, Any]

FIGURES = {
    "epoch-time": "Mean time per epoch (s, logarithmic)",
    "speedup": "Speedup over ddp × 1 (times as fast, logarithmic)",
    "efficiency": "Efficiency against ddp × 1 (%)",
    "throughput": "Throughput (samples/s, logarithmic)",
    "energy-against-speedup": "Energy per epoch (mWh)",
    "energy": "Energy per epoch (mWh)",
    "emissions": "CO2e per epoch (mg)",
    "cpu-utilization": "Mean CPU utilisation of the hosts (%)",
    "cpu-frequency": "Mean CPU frequency (MHz)",
    "network-traffic": "Mean network traffic of all hosts (MB/s)",
    "metric-against-time": "Training time (s, logarithmic)",
    "metric-against-energy": "Energy of the epochs (mWh, logarithmic)",
    "metric-against-emissions": "CO2e of the epochs (mg, logarithmic)",
}
"""What a study on one host without GPUs and profiles has, each with a title of an axis."""


def figures_of(runs: list[RunReport], **asked: Any) -> dict[str, Figure]:
    study = analyse("studies", "scaling", runs, Asked(**asked))
    return {figure.name: figure for figure in content_of(study).figures}


@pytest.fixture(scope="module")
def repeated() -> dict[str, Figure]:
    return figures_of(list(studies.repeated()))


@pytest.fixture(scope="module")
def virgo() -> dict[str, Figure]:
    return figures_of(studies.virgo())


def spec(chart: ChartType) -> Spec:
    """The chart as Vega-Lite."""
    return for_page(chart)


def layers(found: Spec) -> list[Spec]:
    return list(found.get("layer", [found]))


def data(found: Spec, layer: Spec) -> list[Spec]:
    name = (layer.get("data") or found["data"])["name"]
    return list(found["datasets"][name])


def titles(layer: Spec) -> set[str]:
    encodings = (layer["encoding"].get(axis, {}) for axis in ("x", "y"))
    return {str(encoding.get("title")) for encoding in encodings}


def test_every_figure_is_there_with_units_on_its_axes_and_its_data_within(
    repeated: dict[str, Figure],
) -> None:
    assert repeated.keys() == FIGURES.keys()
    for name, title in FIGURES.items():
        found = repeated[name].chart.to_dict()  # Validated.
        assert title in set().union(*map(titles, layers(found))), name
        del found["$schema"]
        assert "http" not in json.dumps(found), "nothing in a chart leads elsewhere"


def test_utilization_and_shares_are_drawn_where_they_were_measured(
    repeated: dict[str, Figure], virgo: dict[str, Figure]
) -> None:
    measured = {"gpu-utilization", "communication"}
    assert not measured & repeated.keys()
    assert measured <= virgo.keys()
    parts = data(*(2 * [spec(virgo["communication"].chart)]))
    of_one = {row["part"]: row["share"] for row in parts if row["label"] == "ddp × 4"}
    assert of_one["computation"] == pytest.approx(0.3504)
    assert sum(of_one.values()) == pytest.approx(1.0)


def test_error_bars_are_one_standard_deviation_over_repeats(repeated: dict[str, Figure]) -> None:
    found = spec(repeated["epoch-time"].chart)
    (bars,) = (layer for layer in layers(found) if layer["mark"]["type"] == "rule")
    (row,) = (row for row in data(found, bars) if row["label"] == "ddp × 1")
    # 3 s, 3.06 s and 3.12 s.
    assert (row["epoch_s_low"], row["epoch_s_high"]) == pytest.approx((3.0, 3.12))
    assert row["runs_text"] == "3 runs"
    for name in ("efficiency", "cpu-utilization"):
        marks = [layer["mark"]["type"] for layer in layers(spec(repeated[name].chart))]
        assert "rule" in marks


def test_without_repeats_there_are_no_error_bars(virgo: dict[str, Figure]) -> None:
    for name in ("epoch-time", "energy", "speedup"):
        assert "rule" not in [layer["mark"]["type"] for layer in layers(spec(virgo[name].chart))]


def test_strategies_look_alike_in_every_layer(virgo: dict[str, Figure]) -> None:
    """Layers share their scales: one that knew fewer names would give another's colour away."""
    for name in ("epoch-time", "speedup", "efficiency", "energy", "metric-against-time"):
        for layer in layers(spec(virgo[name].chart)):
            for channel, position in (("color", 0), ("shape", 1)):
                scale = layer["encoding"].get(channel, {}).get("scale")
                if scale is not None:
                    assert scale["domain"] == ["ddp", "deepspeed", "horovod"], name
                    assert scale["range"] == [STRATEGIES[n][position] for n in scale["domain"]]


def test_extrapolated_is_dashed_and_hollow_and_never_among_the_measured(
    virgo: dict[str, Figure],
) -> None:
    found = spec(virgo["epoch-time"].chart)
    points = [layer for layer in layers(found) if layer["mark"]["type"] == "point"]
    (hollow,) = (layer for layer in points if not layer["mark"]["filled"])
    (filled,) = (layer for layer in points if layer["mark"]["filled"])
    predicted = [row for row in data(found, hollow) if row["is_predicted"]]
    assert predicted
    assert {row["workers"] for row in predicted} <= {64, 128}
    assert {row["kind"] for row in predicted} == {"extrapolated"}
    assert {row["workers"] for row in data(found, filled)} == {4, 8, 16, 32}
    dashes = {
        kind: dash
        for layer in layers(found)
        for scale in [layer["encoding"].get("strokeDash", {}).get("scale")]
        if scale
        for kind, dash in zip(scale["domain"], scale["range"], strict=True)
    }
    assert dashes == {kind: DASHES[kind] for kind in ("measured", "extrapolated")}
    assert "extrapolated, not measured" in virgo["epoch-time"].told


def test_the_ideal_speedup_is_of_the_study_s_own_baseline(virgo: dict[str, Figure]) -> None:
    found = spec(virgo["speedup"].chart)
    ideal = next(rows for rows in found["datasets"].values() if rows[0].get("kind") == "ideal")
    assert all(row["speedup"] == row["workers"] / 4 for row in ideal)


def test_a_target_is_drawn_across_the_metric() -> None:
    found = spec(figures_of(list(studies.repeated()), target=0.9)["metric-against-time"].chart)
    assert any(
        {"value": 0.9, "target_text": "target 0.900"} in r for r in found["datasets"].values()
    )


@pytest.mark.parametrize(
    ("low", "high"), [(1.7, 4.1), (0.8, 40.0), (1e-4, 1e4), (3000.0, 3010.0), (0.011, 0.012)]
)
def test_a_logarithmic_axis_has_a_few_round_ticks(low: float, high: float) -> None:
    found = log_ticks(low, high)
    assert 3 <= len(found) <= 16
    assert all(low <= value <= high for value in found)
    assert found == sorted(set(found))


def test_an_axis_of_nothing_known_still_has_ends() -> None:
    assert log_domain([]) == [0.1, 10.0]
    assert log_domain([2.0, float("nan"), 0.0, 8.0], pad=2) == [1.0, 16.0]


def test_a_name_without_a_clear_place_is_left_out_where_it_may_not_cross() -> None:
    spot, everywhere = Spot(100, 100, "ddp × 1", important=False), [(0.0, 0.0, 500.0, 500.0)]
    assert place_labels([spot], everywhere, 500, 500) != [None]
    assert place_labels([spot], everywhere, 500, 500, may_cross=False) == [None]


def test_names_are_placed_anew_for_a_narrow_page(virgo: dict[str, Figure]) -> None:
    """On a phone the names of a wide plot would cover each other and leave the picture."""
    for name in ("energy-against-speedup", "metric-against-time"):
        found = spec(virgo[name].chart)
        (text,) = (
            layer
            for layer in layers(found)
            if layer["mark"]["type"] == "text" and "dx" in layer["mark"]
        )
        assert "width < 480 ? datum.label_narrow_dx" in text["mark"]["dx"]["expr"]
        rows = data(found, text)
        wide, narrow = (
            {row["label"]: (row[f"label_{plot}_dx"], row[f"label_{plot}_dy"]) for row in rows}
            for plot in ("wide", "narrow")
        )
        assert any(place != (None, None) for place in narrow.values()), name
        assert wide != narrow, name
        json.dumps(found, allow_nan=False)  # A browser reads no NaN.


def test_a_picture_has_its_title_and_a_page_gives_the_width(repeated: dict[str, Figure]) -> None:
    figure = repeated["speedup"]
    assert for_file(figure.chart, "Speedup").to_dict()["title"] == "Speedup"
    assert spec(figure.chart)["width"] == "container"


def test_a_configuration_says_over_how_many_runs_its_energy_is() -> None:
    frame = configurations(
        [
            point("ddp", 2, 5.0, 0.001, runs=3, runs_with_energy=2),
            point("single", 1, 9.0, 0.001),
            point("fsdp", 2, 5.0, None),
        ]
    )
    assert frame["runs_text"].tolist() == [
        "3 runs, 2 of them with energy",
        "1 run",
        "1 run, without energy",
    ]
