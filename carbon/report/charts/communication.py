"""Where the time of training steps went: computation against communication, stacked to 100 %."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from carbon import palette
from carbon.report.charts import encodings
from carbon.report.frames import SHARES

ROW_PX = 24
# Blue against orange for every colour vision; what costs no time, or does nothing, is light.
_COLORS = (palette.BLUE, "#7CC3EA", palette.VERMILLION, "#D5DBDE")
_WORDS = [
    ("label", "Configuration"),
    ("part", "Part"),
    ("share_text", "Share"),
    ("stdev_text", "Over repeats"),
    ("runs_text", "Averaged over"),
]


def communication_chart(frame: pd.DataFrame) -> ChartType:
    """Draw a bar for each configuration, in the order of the frame.

    Args:
        frame: of `carbon.report.frames.shares`.
    """
    labels = list(dict.fromkeys(frame["label"]))
    color = alt.Color(
        "part:N",
        title=None,
        scale=alt.Scale(domain=list(SHARES.values()), range=list(_COLORS)),
        legend=alt.Legend(
            orient="top",
            columns=alt.expr("width < 360 ? 1 : 2"),
            labelLimit=300,
            symbolType="square",
        ),
    )
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            y=alt.Y("label:N", title=None, sort=labels, axis=alt.Axis(labelLimit=180)),
            x=alt.X(
                "share:Q",
                title="Share of the profiled time (%)",
                stack="zero",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(format=".0%", tickCount=6),
            ),
            color=color,
            order=alt.Order("order:Q"),
            tooltip=encodings.tooltips(_WORDS),
        )
        .properties(height=ROW_PX * len(labels))
    )
    return chart
