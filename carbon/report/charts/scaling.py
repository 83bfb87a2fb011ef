"""How a study scales: epoch time, speedup with its ideal, and efficiency, against workers."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
from altair.typing import ChartType

from carbon import wording
from carbon.report.charts import encodings
from carbon.report.charts.encodings import HEIGHT_PX
from carbon.report.fits import Extrapolation

_MEASURED = [
    ("label", "Configuration"),
    ("epoch_text", "Time per epoch"),
    ("speedup_text", "Speedup"),
    ("efficiency_text", "Efficiency"),
    ("runs_text", "Averaged over"),
]
_EXTRAPOLATED = [
    ("label", "Configuration"),
    ("kind", "Kind"),
    ("epoch_text", "Time per epoch"),
    ("speedup_text", "Speedup"),
    ("band_text", "Band of a new run (95 %)"),
]


def epoch_time_chart(frame: pd.DataFrame, beyond: Sequence[Extrapolation]) -> ChartType:
    """Draw the mean epoch time (s) against workers, both logarithmic.

    Args:
        frame: of `carbon.report.frames.configurations`.
        beyond: what is extrapolated: dashed, hollow, with its band.
    """
    title = f"Mean time per {encodings.unit_of(frame)} (s, logarithmic)"
    return _over_workers(frame, _extrapolated(frame, beyond), "epoch_s", title)


def speedup_chart(
    frame: pd.DataFrame, beyond: Sequence[Extrapolation], baseline: str, baseline_workers: int
) -> ChartType:
    """Draw the speedup over the baseline against workers, both logarithmic, with the ideal."""
    extrapolated = _extrapolated(frame, beyond)
    counts = [*frame["workers"], *extrapolated["workers"]]
    # The ideal of the fewest workers is where the axis begins, also where they are no baseline.
    ideal = pd.DataFrame(
        {"workers": [min(counts), max(counts)], "kind": "ideal"},
    ).assign(speedup=lambda ideal: ideal["workers"] / baseline_workers)
    title = f"Speedup over {baseline} (times as fast, logarithmic)"
    return _over_workers(frame, extrapolated, "speedup", title, ideal)


def efficiency_chart(frame: pd.DataFrame, baseline: str) -> ChartType:
    """Draw the efficiency (%), speedup over its ideal, against workers; 100 % is dotted."""
    percent = frame.assign(
        efficiency=100 * frame["efficiency"],
        efficiency_low=100 * frame["efficiency_low"],
        efficiency_high=100 * frame["efficiency_high"],
        kind="measured",
    )
    x = encodings.workers_axis(percent["workers"].astype(int))
    highest = max(105.0, 1.05 * percent[["efficiency", "efficiency_high"]].max().max())
    y = alt.Y(
        "efficiency:Q",
        title=f"Efficiency against {baseline} (%)",
        scale=alt.Scale(domain=[0, highest], nice=False),
        axis=alt.Axis(tickCount=6),
    )
    ideal = pd.DataFrame({"efficiency": [100.0]})
    line = alt.Chart(ideal).mark_rule(strokeDash=encodings.DASHES["ideal"], opacity=0.7)
    return alt.layer(
        line.encode(y=y), *measured_layers(percent, x, y, "efficiency", _MEASURED), height=HEIGHT_PX
    )


def measured_layers(
    frame: pd.DataFrame,
    x: alt.X,
    y: alt.Y,
    column: str,
    words: Sequence[tuple[str, str]],
    dash: alt.StrokeDash | None = None,
) -> list[alt.Chart]:
    """Return a line, error bars and a point for each configuration, in the looks of strategies."""
    color, shape = (
        encodings.strategy_color(frame["strategy"]),
        encodings.strategy_shape(frame["strategy"]),
    )
    base = alt.Chart(frame).transform_filter(f"isValid(datum.{column})")
    tooltip = encodings.tooltips(words, encodings.unit_of(frame))
    line: dict[str, Any] = {"x": x, "y": y, "color": color, "order": alt.Order("workers:Q")}
    if dash is not None:
        line["strokeDash"] = dash
    return [
        base.mark_line(strokeWidth=2, opacity=0.85).encode(**line),
        *encodings.error_bars(frame, x, color, column, y),
        base.mark_point(filled=True, size=100, opacity=1).encode(
            x=x, y=y, color=color, shape=shape, tooltip=tooltip
        ),
    ]


def _over_workers(
    frame: pd.DataFrame,
    extrapolated: pd.DataFrame,
    column: str,
    title: str,
    ideal: pd.DataFrame | None = None,
) -> ChartType:
    measured = frame.assign(kind="measured")
    counts = [*frame["workers"].astype(int), *extrapolated["workers"].astype(int)]
    x = encodings.workers_axis(counts)
    values = [*frame[column], *frame[f"{column}_low"], *frame[f"{column}_high"]]
    values += [*extrapolated[column]] + ([] if ideal is None else [*ideal[column]])
    domain = encodings.log_domain(values)
    y = alt.Y(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(type="log", domain=domain, nice=False, clamp=True),
        axis=alt.Axis(values=encodings.log_ticks(*domain), format="~g", labelOverlap="greedy"),
    )
    kinds = ["measured", *extrapolated["kind"], *([] if ideal is None else ["ideal"])]
    dash = encodings.line_dash(kinds)
    layers: list[ChartType] = []
    if ideal is not None:
        layers.append(
            alt.Chart(ideal)
            .mark_line(strokeWidth=1.5, opacity=0.7)
            .encode(x=x, y=y, strokeDash=dash)
        )
    if len(extrapolated):
        # With the names of all strategies, or the scales of the layers would not be one.
        looks = (
            encodings.strategy_color(frame["strategy"]),
            encodings.strategy_shape(frame["strategy"]),
        )
        layers += _beyond_layers(extrapolated, x, y, column, dash, looks)
    layers += measured_layers(measured, x, y, column, _MEASURED, dash)
    return alt.layer(*layers, height=HEIGHT_PX)


def _beyond_layers(
    frame: pd.DataFrame,
    x: alt.X,
    y: alt.Y,
    column: str,
    dash: alt.StrokeDash,
    looks: tuple[alt.Color, alt.Shape],
) -> list[alt.Chart]:
    color, shape = looks
    base = alt.Chart(frame)
    predicted = base.transform_filter("datum.is_predicted")
    tooltip = encodings.tooltips(_EXTRAPOLATED, encodings.unit_of(frame))
    return [
        base.mark_area(opacity=0.1, clip=True, line=False).encode(
            x=x,
            y=encodings.of_column(y, f"{column}_low"),
            y2=f"{column}_high:Q",
            color=color,
        ),
        base.mark_line(strokeWidth=2, opacity=0.85).encode(
            x=x, y=y, color=color, strokeDash=dash, order=alt.Order("workers:Q")
        ),
        predicted.mark_point(filled=False, size=90, strokeWidth=2, opacity=1).encode(
            x=x, y=y, color=color, shape=shape, tooltip=tooltip
        ),
    ]


def _extrapolated(frame: pd.DataFrame, beyond: Sequence[Extrapolation]) -> pd.DataFrame:
    """Return a row for each predicted configuration, and one for the measured that it begins at."""
    rows: list[dict[str, Any]] = []
    measured: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    for strategy in dict.fromkeys(e.strategy for e in beyond):
        own = [row for row in measured if row["strategy"] == strategy]
        last = max(own, key=lambda row: float(row["workers"]))
        begins = {"kind": "extrapolated", "is_predicted": False}
        for column in ("epoch_s", "speedup"):
            begins[f"{column}_low"] = begins[f"{column}_high"] = last[column]
        rows.append(last | begins)
        rows += [_row(e) for e in beyond if e.strategy == strategy]
    columns = ("workers", "epoch_s", "speedup", "kind", "strategy")
    return pd.DataFrame(rows) if rows else pd.DataFrame({column: [] for column in columns})


def _row(found: Extrapolation) -> dict[str, object]:
    low, high = found.epoch_low_s, found.epoch_high_s
    workers = found.predicted.workers
    return {
        "label": wording.configuration(found.strategy, workers),
        "strategy": found.strategy,
        "workers": workers,
        "kind": "extrapolated",
        "is_predicted": True,
        "epoch_s": found.epoch_s,
        "epoch_s_low": low,
        "epoch_s_high": high,
        "speedup": found.speedup,
        "speedup_low": found.speedup * found.epoch_s / high,
        "speedup_high": found.speedup * found.epoch_s / low,
        "epoch_text": wording.duration(found.epoch_s),
        "speedup_text": f"{wording.number(found.speedup)} ×",
        "band_text": f"{wording.duration(low)} to {wording.duration(high)}",
    }
