"""Energy against speedup, one point a configuration, with the Pareto front joined by a line."""

from dataclasses import dataclass
from itertools import pairwise

import altair as alt
import pandas as pd
from altair.typing import ChartType

from carbon import wording
from carbon.report.charts import encodings
from carbon.report.charts.labels import Box, Label, Spot, along, place_labels
from carbon.report.charts.names import names_layer, with_places

HEIGHT_PX = 460
ROW_PX = 34
FRAME_PX = 70
"""What the axis takes of a chart of rows."""

DOTTED_AT_MOST = 6
"""Of more points the lines to the ideals would strike through names; there the ticks suffice."""

STRETCH_PX = 50
TOOLTIP = (
    ("label", "Configuration"),
    ("speedup_text", "Speedup"),
    ("ideal_text", "Ideal speedup"),
    ("efficiency_text", "Efficiency"),
    ("epoch_text", "Time per epoch"),
    ("energy_text", "Energy per epoch"),
    ("emissions_text", "CO₂e per epoch"),
    ("runs_text", "Averaged over"),
    ("front_text", "On the Pareto front"),
)


def tradeoff_chart(
    frame: pd.DataFrame,
    baseline: str,
    *,
    with_ideals: bool = True,
) -> ChartType:
    """Draw one study's configurations: speedup over `baseline` on x, energy per epoch on y.

    Bars are one standard deviation over repeats, a tick marks each point's ideal speedup; of few
    points a dotted line leads there.

    Args:
        frame: of `carbon.report.frames.configurations`; rows without an energy are not drawn.
        baseline: the name of the configuration that the speedups are over.
        with_ideals: whether the ideal speedups are drawn, which may be far to the right.
    """
    known = frame.dropna(subset=["energy_per_epoch_kwh"]).copy()
    size, unit = wording.energy_unit(known["energy_per_epoch_kwh"].tolist())
    for end in ("", "_low", "_high"):
        known[f"energy{end}"] = known[f"energy_per_epoch_kwh{end}"] / size
    x_domain = _padded(
        known[["speedup_low", "speedup", "speedup_high", *(["ideal_speedup"] * with_ideals)]]
    )
    y_domain = _padded(known[["energy_low", "energy", "energy_high"]])
    known = with_places(
        known, lambda px: _placed(known, _Plot(px, x_domain, y_domain), with_ideals)
    )

    x = alt.X(
        "speedup:Q",
        title=f"Speedup over {baseline} (times as fast)",
        scale=alt.Scale(domain=x_domain, nice=False, zero=False),
        axis=alt.Axis(tickCount=6, grid=True),
    )
    y = alt.Y(
        "energy:Q",
        title=f"Energy per {encodings.unit_of(frame)} ({unit})",
        scale=alt.Scale(domain=y_domain, nice=False, zero=False),
        axis=alt.Axis(tickCount=6),
    )
    color = encodings.strategy_color(known["strategy"])
    shape = encodings.strategy_shape(known["strategy"])
    every = alt.Chart(known)
    repeated_energy = every.transform_filter("isValid(datum.energy_low)")
    repeated_speedup = every.transform_filter("isValid(datum.speedup_low)")
    to_ideal = every.mark_rule(strokeDash=[2, 4], opacity=0.55)
    ideal = every.mark_tick(orient="vertical", size=12, thickness=1.5, opacity=0.7)
    front = every.transform_filter("datum.front").mark_line(strokeWidth=1.5, opacity=0.5)
    ring = every.transform_filter("datum.front").mark_point(
        shape="circle", filled=False, size=380, strokeWidth=1.5, opacity=0.8
    )
    points = every.mark_point(filled=True, size=150, opacity=1)
    tooltip = encodings.tooltips(TOOLTIP, encodings.unit_of(frame))
    dotted = [to_ideal.encode(x=x, x2="ideal_speedup:Q", y=y, color=color)]
    ideals = [
        *(dotted if len(known) <= DOTTED_AT_MOST else []),
        ideal.encode(x="ideal_speedup:Q", y=y, color=color),
    ]
    return alt.layer(
        *(ideals if with_ideals else []),
        front.encode(x=x, y=y, order=alt.Order("speedup:Q")),
        repeated_energy.mark_rule(strokeWidth=1.5).encode(
            x=x, y=alt.Y("energy_low:Q"), y2="energy_high:Q", color=color
        ),
        repeated_speedup.mark_rule(strokeWidth=1.5).encode(
            x=alt.X("speedup_low:Q"), x2="speedup_high:Q", y=y, color=color
        ),
        ring.encode(x=x, y=y),
        points.encode(x=x, y=y, color=color, shape=shape, tooltip=tooltip),
        names_layer(every, x, y, font_px=12),
        height=HEIGHT_PX,
        width="container",
    )


def speedup_chart(frame: pd.DataFrame, baseline: str) -> ChartType:
    """Draw the speedups alone, for a study in which no energy was measured; a tick is the ideal."""
    ordered = frame.sort_values(["ideal_speedup", "strategy"])
    y = alt.Y("label:N", title=None, sort=ordered["label"].tolist(), axis=alt.Axis(labelLimit=160))
    x = alt.X(
        "speedup:Q",
        title=f"Speedup over {baseline} (times as fast)",
        scale=alt.Scale(zero=True),
    )
    color = encodings.strategy_color(ordered["strategy"])
    bars = alt.Chart(ordered).mark_bar(height=16, cornerRadiusEnd=3)
    ticks = alt.Chart(ordered).mark_tick(thickness=2, size=22)
    tooltip = encodings.tooltips(TOOLTIP, encodings.unit_of(ordered))
    return alt.layer(
        bars.encode(x=x, y=y, color=color.legend(None), tooltip=tooltip),
        ticks.encode(x="ideal_speedup:Q", y=y),
        height=ROW_PX * len(ordered) + FRAME_PX,
        width="container",
    )


@dataclass(frozen=True)
class _Plot:
    """The plot's domains, and with them where a value falls on a plot of some size."""

    px: tuple[int, int]
    x_domain: list[float]
    y_domain: list[float]

    def x_px(self, value: float) -> float:
        low, high = self.x_domain
        return self.px[0] * (value - low) / (high - low)

    def y_px(self, value: float) -> float:
        low, high = self.y_domain
        return self.px[1] * (high - value) / (high - low)


def _padded(values: pd.DataFrame) -> list[float]:
    """Return a domain that leaves room for marks and labels around all values."""
    low, high = float(values.min().min()), float(values.max().max())
    span = (high - low) or abs(high) or 1.0
    return [max(0.0, low - 0.14 * span), high + 0.14 * span]


def _placed(frame: pd.DataFrame, plot: _Plot, with_ideals: bool) -> list[Label | None]:
    rows = frame.to_dict("records")
    spots = [
        Spot(plot.x_px(row["speedup"]), plot.y_px(row["energy"]), row["label"], row["front"])
        for row in rows
    ]
    lines: list[Box] = []
    for row, spot in zip(rows, spots, strict=True):
        reach = [row["speedup_low"], row["speedup_high"]]
        if with_ideals and len(rows) <= DOTTED_AT_MOST:
            reach.append(row["ideal_speedup"])
        elif with_ideals:
            tick_px = plot.x_px(row["ideal_speedup"])
            lines.append((tick_px - 3, spot.y_px - 7, tick_px + 3, spot.y_px + 7))
        ends = [spot.x_px, *(_stretched(spot, plot.x_px(v)) for v in reach if pd.notna(v))]
        lines.append((min(ends), spot.y_px - 2, max(ends), spot.y_px + 2))
        if pd.notna(row["energy_low"]):
            top, bottom = plot.y_px(row["energy_high"]), plot.y_px(row["energy_low"])
            lines.append((spot.x_px - 2, top, spot.x_px + 2, bottom))
    front = sorted((spot for spot in spots if spot.important), key=lambda spot: spot.x_px)
    for start, end in pairwise(front):
        lines += along(start, end)
    # Ideals are left out where it is crowded; there a name across a line would not be read.
    return place_labels(spots, lines, *plot.px, may_cross=with_ideals)


def _stretched(spot: Spot, end_px: float) -> float:
    """Move the end of a line away from its point: short here, it may be long on a larger plot."""
    if end_px == spot.x_px:
        return end_px
    if end_px > spot.x_px:
        return max(end_px, spot.x_px + STRETCH_PX)
    return min(end_px, spot.x_px - STRETCH_PX)
