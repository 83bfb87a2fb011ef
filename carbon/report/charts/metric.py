"""A metric against what it cost: time, energy, CO2e; and the learning curves of trials."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import altair as alt
import pandas as pd
from altair.typing import ChartType

from carbon import wording
from carbon.palette import GREY, VERMILLION
from carbon.report.charts import encodings
from carbon.report.charts.encodings import HEIGHT_PX
from carbon.report.charts.labels import Box, Label, Spot, along, place_labels
from carbon.report.charts.names import names_layer, with_places

Cost = Literal["time_s", "energy_kwh", "emissions_kg"]

_WORDS = [
    ("label", "Configuration"),
    ("epoch", "Epoch"),
    ("value_text", "Value"),
    ("time_text", "Time"),
    ("energy_text", "Energy"),
    ("emissions_text", "CO2e"),
    ("runs_text", "Averaged over"),
]


@dataclass(frozen=True)
class _Axes:
    x: list[float]
    y: list[float]


def metric_chart(
    frame: pd.DataFrame, metric: str, cost: Cost, target: float | None = None
) -> ChartType:
    """Draw a metric at the end of each epoch against its cost until then, on a logarithmic axis.

    Args:
        frame: of `carbon.report.frames.courses`; rows without the cost are not drawn.
        target: a value that is drawn across, dotted.
    """
    known = frame.dropna(subset=[cost])
    known = known[known[cost] > 0]
    size, title = _axis(cost, known[cost].tolist())
    known = known.assign(cost=known[cost] / size)
    axes = _Axes(encodings.log_domain(known["cost"], pad=1.3), _padded(known["value"], target))
    known = with_places(known, lambda px: _placed(known, axes, px))
    x = alt.X(
        "cost:Q",
        title=f"{title}, logarithmic)",
        scale=alt.Scale(type="log", domain=axes.x, nice=False),
        axis=alt.Axis(values=encodings.log_ticks(*axes.x), format="~g", labelOverlap="greedy"),
    )
    y = alt.Y("value:Q", title=metric, scale=alt.Scale(domain=axes.y, nice=False, zero=False))
    color = encodings.strategy_color(known["strategy"])
    shape = encodings.strategy_shape(known["strategy"])
    words = encodings.tooltips(_WORDS)
    base = alt.Chart(known)
    last = base.transform_filter("datum.is_last")
    layers: list[ChartType] = [
        base.mark_line(strokeWidth=1.5, opacity=0.7).encode(
            x=x, y=y, color=color, detail="label:N", order=alt.Order("epoch:Q")
        ),
        base.mark_point(filled=True, size=22, shape="circle", opacity=0.9).encode(
            x=x, y=y, color=color, tooltip=words
        ),
        last.mark_point(filled=True, size=120, opacity=1).encode(
            x=x, y=y, color=color, shape=shape, tooltip=words
        ),
        names_layer(last, x, y, font_px=11),
    ]
    return alt.layer(*_target(target, y), *layers, height=HEIGHT_PX)


def learning_curves_chart(
    frame: pd.DataFrame, metric: str, best: str | None, baseline: str | None
) -> ChartType:
    """Draw a metric by epoch for every trial of a search; the best and the baseline stand out.

    Args:
        frame: columns trial, epoch, value, status.
        best: the name of the best trial.
        baseline: the name of the one that it is compared with.
    """
    shown = {
        name: look
        for name, look in {best: VERMILLION, baseline: "#1B2624"}.items()
        if name is not None
    }
    kinds = {best: f"best (trial {best})", baseline: "baseline"}
    known = frame.assign(
        kind=[kinds.get(name, "other trials") for name in frame["trial"]],
        rank=[name in shown for name in frame["trial"]],
        value_text=frame["value"].map(wording.number),
    )
    domain = [kinds[name] for name in shown] + ["other trials"]
    color = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=domain, range=[*shown.values(), GREY]),
        legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=3),
    )
    x = alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False))
    words = [("trial", "Trial"), ("status", "Status"), ("epoch", "Epoch"), ("value_text", metric)]
    layers = []
    for is_shown, width, opacity in ((False, 1.2, 0.6), (True, 2.8, 1.0)):
        base = alt.Chart(known).transform_filter(f"datum.rank === {str(is_shown).lower()}")
        line = base.mark_line(strokeWidth=width, opacity=opacity)
        layers += [
            line.encode(x=x, y=y, color=color, detail="trial:N", order=alt.Order("epoch:Q")),
            base.mark_point(filled=True, size=20 * width, opacity=opacity).encode(
                x=x, y=y, color=color, tooltip=encodings.tooltips(words)
            ),
        ]
    return alt.layer(*layers, height=HEIGHT_PX)


def _axis(cost: Cost, values: list[float]) -> tuple[float, str]:
    if cost == "time_s":
        size, unit = (3600.0, "h") if max(values, default=0.0) >= 7200 else (1.0, "s")
        return size, f"Training time ({unit}"
    if cost == "energy_kwh":
        size, unit = wording.energy_unit(values)
        return size, f"Energy of the epochs ({unit}"
    size, unit = wording.mass_unit(values)
    return size, f"CO2e of the epochs ({unit}"


def _padded(values: "pd.Series[float]", target: float | None) -> list[float]:
    shown = [*values, *([] if target is None else [target])]
    low, high = min(shown), max(shown)
    pad = 0.12 * ((high - low) or abs(high) or 1.0)
    return [low - pad, high + pad]


def _target(target: float | None, y: alt.Y) -> list[ChartType]:
    if target is None:
        return []
    line = pd.DataFrame({"value": [target], "target_text": [f"target {wording.number(target)}"]})
    base = alt.Chart(line)
    text = base.mark_text(align="left", baseline="bottom", dx=4, dy=-3, fontSize=11)
    return [
        base.mark_rule(strokeDash=[2, 3], opacity=0.8).encode(y=y),
        text.encode(x=alt.value(0), y=y, text="target_text:N"),
    ]


def _placed(frame: pd.DataFrame, axes: _Axes, plot_px: tuple[int, int]) -> list[Label | None]:
    """Find places for names beside the last points, where there is room clear of the lines."""
    width, height = plot_px
    (left, right), (low, high) = [math.log(x) for x in axes.x], axes.y

    def spot(row: dict[str, object]) -> Spot:
        x = width * (math.log(float(str(row["cost"]))) - left) / (right - left)
        y = height * (high - float(str(row["value"]))) / (high - low)
        return Spot(x, y, str(row["label"]), important=False)

    rows: list[dict[str, object]] = frame.to_dict("records")  # type: ignore[assignment]
    lines: list[Box] = []
    for _, own in frame.sort_values("epoch").groupby("label"):
        spots = [spot(row) for row in own.to_dict("records")]  # type: ignore[arg-type]
        lines += [box for start, end in pairwise(spots) for box in along(start, end)]
    ends = {index: spot(row) for index, row in enumerate(rows) if row["is_last"]}
    found = dict(
        zip(
            ends,
            place_labels(list(ends.values()), lines, width, height, may_cross=False),
            strict=True,
        )
    )
    return [found.get(index) for index in range(len(rows))]
