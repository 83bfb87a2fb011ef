"""The ledger over time: how it grew, and what each run added."""

import altair as alt
import pandas as pd
from altair.typing import ChartType
from altair.utils import Undefined
from altair.utils.schemapi import UndefinedType

from carbon import wording
from carbon.palette import GREEN, GREY
from ui.frames import COMPONENTS as COMPONENT_COLUMNS
from ui.frames import STDEVS
from ui.theme import COMPONENTS

BARS_AT_MOST = 60
QUANTITIES = {
    "Energy": ("energy_kwh", wording.energy_unit, wording.energy_with_spread),
    "CO₂-equivalent": ("emissions_kg", wording.mass_unit, wording.mass_with_spread),
}
# Shapes in a square from -1 to 1, those of the statuses in `ui/assets/style.css`.
SIGNS = {
    "failed": "M-1-.7-.7-1 0-.3.7-1 1-.7.3 0 1 .7.7 1 0 .3-.7 1-1 .7-.3 0z",
    "interrupted": "M-.8-1h.6v2h-.6zM.2-1h.6v2h-.6z",
    "running": "M-.7-1v2L1 0z",
}


def timeline_chart(frame: pd.DataFrame, quantity: str) -> ChartType:
    """Draw the cumulative energy or CO2-equivalent over time (UTC) in its band, one point a run.

    `frame` is made by `ui.frames.timeline`; `quantity` is a key of `QUANTITIES`.
    """
    column, unit_for, write = QUANTITIES[quantity]
    cumulative, stdev = frame[f"cumulative_{column}"], frame[f"cumulative_{STDEVS[column]}"]
    size, unit = unit_for(cumulative.tolist())
    data = frame.assign(
        cumulative=cumulative / size,
        low=(cumulative - stdev).clip(lower=0.0) / size,
        high=(cumulative + stdev) / size,
        cumulative_text=[
            write(value, _known(spread)) for value, spread in zip(cumulative, stdev, strict=True)
        ],
        added_text=[
            write(_known(value), _known(spread))
            for value, spread in zip(frame[column], frame[STDEVS[column]], strict=True)
        ],
    )[
        [
            "started_at",
            "started_text",
            "label",
            "status",
            "cumulative",
            "low",
            "high",
            "cumulative_text",
            "added_text",
        ]
    ]
    title = f"{quantity} so far ({unit})"
    base = alt.Chart(data).encode(
        x=alt.X(
            "started_at:T",
            title="Start of the run (UTC)",
            scale=alt.Scale(type="utc"),
            axis=alt.Axis(tickCount=5, labelOverlap=True, format=_time_format(frame["started_at"])),
        ),
        y=alt.Y("cumulative:Q", title=title, axis=alt.Axis(tickCount=5)),
    )
    return alt.layer(
        base.mark_area(interpolate="step-after", color=GREEN, opacity=0.3).encode(
            y=alt.Y("low:Q", title=title, axis=alt.Axis(tickCount=5)), y2="high:Q"
        ),
        base.mark_line(interpolate="step-after", color=GREEN, strokeWidth=2),
        base.mark_circle(size=46, color=GREEN, opacity=1).encode(
            tooltip=[
                alt.Tooltip("label:N", title="Run"),
                alt.Tooltip("started_text:N", title="Started"),
                alt.Tooltip("status:N", title="Status"),
                alt.Tooltip("added_text:N", title="This run"),
                alt.Tooltip("cumulative_text:N", title="All runs until then"),
            ]
        ),
        height=260,
        width="container",
    )


def _known(value: float) -> float | None:
    return None if pd.isna(value) else value


def _time_format(moments: "pd.Series[pd.Timestamp]") -> str:
    """Return the coarsest format (d3) that still tells the moments apart."""
    days = (moments.max() - moments.min()).total_seconds() / 86_400
    formats = ((0.01, "%H:%M:%S"), (3, "%-d %b %H:%M"), (300, "%-d %b"))
    return next((text for limit, text in formats if days < limit), "%b %Y")


def runs_chart(frame: pd.DataFrame, selected: str | None) -> ChartType:
    """Draw what each of the newest runs drew, by component, oldest to the left.

    `frame` is made by `ui.frames.runs`; `selected` is the id of the run to set off. A click on a
    bar is the selection `run`. A sign stands for a run that did not complete, "?" for one without
    a figure.
    """
    shown = frame.tail(BARS_AT_MOST).copy()
    size, unit = wording.energy_unit(shown["energy_kwh"].dropna().tolist())
    shown["height"] = shown["energy_kwh"].fillna(0.0) / size
    known = [name for name in COMPONENT_COLUMNS if bool(shown[name].notna().any())]
    parts = shown.melt(
        id_vars=["run_id", "label", "status", "configuration", "energy_text", "duration_text"],
        value_vars=known,
        var_name="component",
        value_name="part_kwh",
    ).dropna(subset=["part_kwh"])
    parts["part"] = parts["part_kwh"] / size
    parts["position"] = [known.index(name) for name in parts["component"]]
    parts["part_text"] = [wording.energy(value) for value in parts["part_kwh"]]
    x = alt.X(
        "run_id:N",
        sort=shown["run_id"].tolist(),
        title="Runs, oldest to newest",
        axis=alt.Axis(labels=False, ticks=False),
        scale=alt.Scale(paddingInner=0.25),
    )
    bars = (
        alt.Chart(parts)
        .mark_bar(cursor="pointer", size=_bar_px(len(shown)))
        .encode(
            x=x,
            y=alt.Y("part:Q", title=f"Energy ({unit})", stack="zero", axis=alt.Axis(tickCount=5)),
            color=alt.Color(
                "component:N",
                title=None,
                scale=alt.Scale(domain=known, range=[COMPONENTS[name] for name in known]),
                legend=alt.Legend(orient="top"),
            ),
            order=alt.Order("position:Q"),
            opacity=alt.condition(
                alt.FieldEqualPredicate(field="run_id", equal=selected or ""),
                alt.value(1.0),
                alt.value(1.0 if selected is None else 0.45),
            ),
            tooltip=[
                alt.Tooltip("label:N", title="Run"),
                alt.Tooltip("configuration:N", title="Configuration"),
                alt.Tooltip("status:N", title="Status"),
                alt.Tooltip("duration_text:N", title="Duration"),
                alt.Tooltip("component:N", title="Component"),
                alt.Tooltip("part_text:N", title="Its energy"),
                alt.Tooltip("energy_text:N", title="Energy of the run"),
            ],
        )
        .add_params(alt.selection_point("run", fields=["run_id"], toggle=False))
    )
    return alt.layer(bars, *_signs(shown, x), height=260, width="container")


def _signs(shown: pd.DataFrame, x: alt.X) -> list[alt.Chart]:
    """Draw a sign above each bar that needs one, or in the place of a bar."""
    y = alt.Y("height:Q")
    tooltip = [
        alt.Tooltip("label:N", title="Run"),
        alt.Tooltip("status:N", title="Status"),
        alt.Tooltip("energy_text:N", title="Energy of the run"),
    ]
    is_unknown = shown["energy_kwh"].isna()
    unended = shown[~is_unknown & shown["status"].isin(list(SIGNS))]
    shape = alt.Shape(
        "status:N", legend=None, scale=alt.Scale(domain=list(SIGNS), range=list(SIGNS.values()))
    )
    layers: list[alt.Chart] = []
    if not unended.empty:
        marks = alt.Chart(unended).mark_point(filled=True, size=70, yOffset=-9, opacity=1)
        layers.append(marks.encode(x=x, y=y, shape=shape, tooltip=tooltip))
    if is_unknown.any():
        marks = alt.Chart(shown[is_unknown]).mark_text(text="?", dy=-8, fontSize=13)
        layers.append(marks.encode(x=x, y=y, tooltip=tooltip))
    return layers


def _bar_px(bars: int) -> int | UndefinedType:
    """Keep a few bars from filling the whole width; many share it."""
    return 36 if bars <= 6 else Undefined


def epochs_chart(frame: pd.DataFrame) -> ChartType:
    """Draw a run's energy per epoch, or the duration of its epochs where no energy is known."""
    if frame["energy_kwh"].notna().any():
        size, unit = wording.energy_unit(frame["energy_kwh"].dropna().tolist())
        data = frame.assign(value=frame["energy_kwh"] / size)
        title, color = f"Energy ({unit})", GREEN
    else:
        data = frame.assign(value=frame["duration_s"])
        title, color = "Time (s)", GREY
    chart: alt.Chart = (
        alt.Chart(data, height=200, width="container")
        .mark_bar(color=color, size=_bar_px(len(data)))
        .encode(
            x=alt.X("epoch:O", title="Epoch", axis=alt.Axis(labelOverlap=True, labelAngle=0)),
            y=alt.Y("value:Q", title=title, axis=alt.Axis(tickCount=4)),
            tooltip=[
                alt.Tooltip("epoch:O", title="Epoch"),
                alt.Tooltip("attempt:O", title="Attempt"),
                alt.Tooltip("energy_text:N", title="Energy"),
                alt.Tooltip("duration_text:N", title="Duration"),
            ],
        )
    )
    return chart


def metric_chart(frame: pd.DataFrame, metric: str, color: str) -> ChartType:
    """Draw one logged metric over the epochs."""
    chart: alt.Chart = (
        alt.Chart(frame[frame["metric"] == metric], height=200, width="container")
        .mark_line(color=color, point=alt.OverlayMarkDef(filled=True, size=36, color=color))
        .encode(
            x=alt.X("epoch:O", title="Epoch", axis=alt.Axis(labelOverlap=True, labelAngle=0)),
            y=alt.Y(
                "value:Q", title=metric, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4)
            ),
            tooltip=[
                alt.Tooltip("epoch:O", title="Epoch"),
                alt.Tooltip("value:Q", title=metric, format=".4g"),
            ],
        )
    )
    return chart
