"""What a run's devices and hosts did over time."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from ui.series import Panel
from ui.theme import COMPONENTS, TRAFFIC

_COLORS = COMPONENTS | TRAFFIC
_MANY_LINES = 6
# Of a line and its points, Vega would draw one symbol over the other.
_LEGEND = alt.Legend(
    orient="top", offset=0, padding=0, symbolType="square", symbolOpacity=1, symbolStrokeWidth=0
)
# The longest time that is told in a unit, its seconds and its name.
_TIMES = ((180.0, 1.0, "s"), (3 * 3600.0, 60.0, "min"), (float("inf"), 3600.0, "h"))


def series_chart(frame: pd.DataFrame, panel: Panel) -> ChartType:
    """Draw the lines of one panel, one for each device or host in the colour of what it is.

    `frame` is made by `ui.series.frame`.
    """
    data = frame[frame["name"].isin(list(panel.lines))]
    size, unit = _time_unit(float(frame["at_s"].max()))
    data = data.assign(at=data["at_s"] / size)
    kinds = [kind for kind in panel.lines.values() if (data["what"] == kind).any()]
    x = alt.X(
        "at:Q",
        title=f"Time since the start ({unit})",
        axis=alt.Axis(tickCount=6, grid=False),
        scale=alt.Scale(nice=False, zero=True),
    )
    y = alt.Y(
        "value:Q",
        title=f"{panel.title} ({panel.unit})",
        scale=alt.Scale(domain=[0, 100]) if panel.unit == "%" else alt.Scale(zero=panel.from_zero),
        axis=alt.Axis(values=[0, 25, 50, 75, 100]) if panel.unit == "%" else alt.Axis(tickCount=4),
    )
    color = alt.Color(
        "what:N",
        title=None,
        scale=alt.Scale(domain=kinds, range=[_COLORS[kind] for kind in kinds]),
        legend=_LEGEND if len(kinds) > 1 else None,
    )
    base = alt.Chart(data).encode(x=x, y=y, color=color, detail="line:N")
    has_lines = bool((data.groupby("line")["value"].count() > 1).any())
    many = data["line"].nunique() > _MANY_LINES
    lines = base.mark_line(strokeWidth=1 if many else 1.5, opacity=0.6 if many else 0.85)
    # A line shows one tooltip for all of itself; its points each have theirs.
    points = base.mark_point(size=40, filled=True, opacity=0.0 if has_lines else 1.0).encode(
        tooltip=[
            alt.Tooltip("what:N", title="Of"),
            alt.Tooltip("where:N", title="Where"),
            alt.Tooltip("at:Q", title=f"Time ({unit})", format=".4~g"),
            alt.Tooltip("value:Q", title=f"{panel.title} ({panel.unit})", format=".4~g"),
        ],
    )
    return alt.layer(lines, points, height=250, width="container")


def _time_unit(longest_s: float) -> tuple[float, str]:
    return next((size, unit) for limit_s, size, unit in _TIMES if longest_s < limit_s)
