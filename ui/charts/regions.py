"""What the same energy would have emitted elsewhere."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from carbon import wording
from carbon.palette import BLUE, GREY, VERMILLION

ROW_PX = 34
FRAME_PX = 110
"""What axis and legend take of the chart's height."""

COLORS = {"lowest": BLUE, "highest": GREY, "yours": VERMILLION}


def regions_chart(frame: pd.DataFrame) -> ChartType:
    """Draw a bar for each place, lowest first, with the project's own set off by colour and words.

    `frame` is made by `ui.elsewhere.Comparison.frame`: label, group (a key of `COLORS`),
    emissions_kg, emissions_text, intensity_text, source.
    """
    size, unit = wording.mass_unit(frame["emissions_kg"].tolist())
    data = frame.assign(emissions=frame["emissions_kg"] / size)
    groups = [name for name in COLORS if name in set(data["group"])]
    base = alt.Chart(data).encode(
        y=alt.Y(
            "label:N",
            sort=data["label"].tolist(),
            title=None,
            axis=alt.Axis(
                labelLimit=170,
                labelOverlap=False,
                ticks=False,
                labelExpr="split(datum.label, '\\n')",
            ),
        ),
        x=alt.X(
            "emissions:Q",
            title=f"CO₂-equivalent ({unit})",
            scale=alt.Scale(domain=[0, float(data["emissions"].max()) * 1.22 or 1.0], nice=False),
            axis=alt.Axis(tickCount=4),
        ),
    )
    return alt.layer(
        base.mark_bar(height=18, cornerRadiusEnd=3).encode(
            color=alt.Color(
                "group:N",
                title=None,
                scale=alt.Scale(domain=groups, range=[COLORS[name] for name in groups]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("label:N", title="Place"),
                alt.Tooltip("emissions_text:N", title="CO₂e of the same energy"),
                alt.Tooltip("intensity_text:N", title="Carbon intensity"),
                alt.Tooltip("source:N", title="Source"),
            ],
        ),
        base.mark_text(align="left", dx=6, fontSize=12).encode(text="emissions_text:N"),
        height=ROW_PX * len(data) + FRAME_PX,
        width="container",
    )
