"""One run over time: power, utilisation, memory, temperature, traffic, as far as recorded."""

import pandas as pd
import streamlit as st

from carbon.schema import RunReport
from ui import elements, series
from ui.charts.series import series_chart


def render(run: RunReport) -> None:
    """Show what the run recorded, or say how a run comes to record something."""
    frame = series.frame(run.nodes)
    with st.container(key="series"):
        elements.show(elements.subheading("Over time"))
        if frame["value"].notna().any():
            _charts(frame)
        elif run.status == "running":
            elements.show(elements.paragraph("Its series arrive with the run's end."))
        elif run.status == "interrupted":
            elements.show(
                elements.instruction(
                    "No series has arrived: a run sends them at its end, and this one was "
                    "interrupted. What its machine kept is delivered by `carbon sync` there, or "
                    "with the next run that is tracked on it."
                )
            )
        else:
            elements.show(
                elements.instruction(
                    "Nothing was recorded over time. `CARBON_SERIES=all` where the run is tracked "
                    "switches every series on."
                )
            )


def _charts(frame: pd.DataFrame) -> None:
    names = set(frame["name"])
    panels = [panel for panel in series.PANELS if names & set(panel.lines)]
    # In rows, so that on a phone, where columns stand below each other, the order is the same.
    for first in range(0, len(panels), 2):
        columns = st.columns(2) if len(panels) > 1 else [st.container()]
        for panel, column in zip(panels[first : first + 2], columns, strict=False):
            with column:
                st.altair_chart(series_chart(frame, panel), key=f"series-{panel.title}")
    lines = frame.drop_duplicates("line")
    if lines.duplicated(["name"]).any():
        elements.show(
            elements.paragraph("Each device and each host is a line of its own.", "caption")
        )
