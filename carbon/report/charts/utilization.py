"""How busy the hardware was: utilisation, CPU frequency and network traffic, against workers."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from carbon.report.charts import encodings
from carbon.report.charts.encodings import HEIGHT_PX
from carbon.report.charts.scaling import measured_layers


def gpu_utilization_chart(frame: pd.DataFrame) -> ChartType:
    """Draw the mean GPU utilisation from 0 to 100 %."""
    return _percent(frame, "gpu_utilization_percent", "Mean GPU utilisation (%)", "gpu_text")


def cpu_utilization_chart(frame: pd.DataFrame) -> ChartType:
    """Draw the mean CPU utilisation of the whole hosts from 0 to 100 %."""
    title = "Mean CPU utilisation of the hosts (%)"
    return _percent(frame, "cpu_utilization_percent", title, "cpu_text")


def cpu_frequency_chart(frame: pd.DataFrame) -> ChartType:
    """Draw the mean CPU frequency (MHz); the axis need not begin at 0."""
    column = "cpu_frequency_mhz"
    y = _unzeroed(frame, column, "Mean CPU frequency (MHz)")
    return _layered(frame, column, y, "frequency_text", "CPU frequency")


def throughput_chart(frame: pd.DataFrame) -> ChartType:
    """Draw the samples a second that all workers train on together, both axes logarithmic."""
    column = "throughput_per_s"
    ends = [*frame[column], *frame[f"{column}_low"], *frame[f"{column}_high"]]
    domain = encodings.log_domain(ends)
    y = alt.Y(
        f"{column}:Q",
        title="Throughput (samples/s, logarithmic)",
        scale=alt.Scale(type="log", domain=domain, nice=False),
        axis=alt.Axis(values=encodings.log_ticks(*domain), format=",~r", labelOverlap="greedy"),
    )
    return _layered(frame, column, y, "throughput_text", "Throughput")


def traffic_chart(frame: pd.DataFrame) -> ChartType:
    """Draw what all hosts sent (filled) and received (hollow) together, in MB/s.

    Args:
        frame: of `carbon.report.frames.traffic`.
    """
    x = encodings.workers_axis(frame["workers"].astype(int))
    y = alt.Y(
        "mb_per_s:Q", title="Mean network traffic of all hosts (MB/s)", scale=alt.Scale(zero=True)
    )
    color = encodings.strategy_color(frame["strategy"])
    shape = encodings.strategy_shape(frame["strategy"])
    dash = alt.StrokeDash(
        "direction:N",
        title=None,
        scale=alt.Scale(domain=["sent", "received"], range=[[1, 0], [2, 3]]),
        legend=encodings.line_legend(),
    )
    words = [
        ("label", "Configuration"),
        ("direction", "Direction"),
        ("mb_per_s_text", "Mean"),
        ("runs_text", "Averaged over"),
    ]
    base = alt.Chart(frame)
    line = base.mark_line(strokeWidth=1.5, opacity=0.85)
    points = {"x": x, "y": y, "color": color, "shape": shape}
    sent = base.transform_filter("datum.direction == 'sent'").mark_point(
        filled=True, size=100, opacity=1
    )
    received = base.transform_filter("datum.direction == 'received'").mark_point(
        filled=False, size=90, strokeWidth=1.5, opacity=1
    )
    return alt.layer(
        line.encode(x=x, y=y, color=color, strokeDash=dash),
        *encodings.error_bars(frame, x, color, "mb_per_s", y),
        *(mark.encode(**points, tooltip=encodings.tooltips(words)) for mark in (sent, received)),
        height=HEIGHT_PX,
    )


def _percent(frame: pd.DataFrame, column: str, title: str, text: str) -> ChartType:
    y = alt.Y(f"{column}:Q", title=title, scale=alt.Scale(domain=[0, 100], clamp=True))
    return _layered(frame, column, y, text, "Utilisation")


def _unzeroed(frame: pd.DataFrame, column: str, title: str) -> alt.Y:
    ends = frame[[column, f"{column}_low", f"{column}_high"]]
    low, high = float(ends.min().min()), float(ends.max().max())
    pad = 0.15 * ((high - low) or high)
    domain = [max(0.0, low - pad), high + pad]
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(domain=domain, zero=False, nice=False))


def _layered(frame: pd.DataFrame, column: str, y: alt.Y, text: str, name: str) -> ChartType:
    known = frame.dropna(subset=[column])
    x = encodings.workers_axis(known["workers"].astype(int))
    words = [("label", "Configuration"), (text, name), ("runs_text", "Averaged over")]
    return alt.layer(*measured_layers(known, x, y, column, words), height=HEIGHT_PX)
