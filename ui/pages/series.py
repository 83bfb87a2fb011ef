"""One run over time: power, utilisation, memory, temperature, traffic, as far as recorded."""

import pandas as pd
import streamlit as st

from carbon.schema import RunReport, Status
from ui import drawing, elements, series
from ui.charts.series import series_chart


def render(run: RunReport) -> None:
    """Show what the run recorded, or say how a run comes to record something."""
    frame = series.frame(run.nodes)
    with st.container(key="series"):
        heading = elements.subheading("Over time")
        if frame["value"].notna().any():
            elements.show(heading)
            _charts(frame)
        else:
            elements.show(heading, elements.instruction(_why_nothing(run.status), "note"))


def _why_nothing(status: Status) -> str:
    if status == "running":
        return "Its series arrive with the run's end."
    if status == "interrupted":
        return (
            "No series has arrived: a run sends them at its end, and this one was interrupted. "
            "What its machine kept is delivered by `carbon sync` there, or with the next run that "
            "is tracked on it."
        )
    return (
        "Nothing was recorded over time. `CARBON_SERIES=all` where the run is tracked switches "
        "every series on."
    )


def _charts(frame: pd.DataFrame) -> None:
    names = set(frame["name"])
    panels = [panel for panel in series.PANELS if names & set(panel.lines)]
    drawing.draw_in_rows(
        [
            (series_chart(frame, panel), f"series-{panel.title}", f"{panel.title} over time")
            for panel in panels
        ]
    )
    lines = frame.drop_duplicates("line")
    if lines.duplicated(["name"]).any():
        elements.show(
            elements.paragraph("Each device and each host is a line of its own.", "caption")
        )
