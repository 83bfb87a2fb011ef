"""How the project's ledger grew, and what each run added."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from carbon import wording
from carbon.schema import RunFields, Summary
from ui import drawing, elements, frames
from ui.charts.history import BARS_AT_MOST, QUANTITIES, SIGNS, runs_chart, timeline_chart


def render(runs: Sequence[RunFields], summary: Summary) -> None:
    """Show the section. `runs` are the newest, newest first."""
    frame = frames.runs(runs)
    with st.container(key="timeline"):
        elements.show(elements.heading("Over time", _coverage(len(runs), summary.runs)))
        _timeline(frame, summary)
    newest = frame.tail(BARS_AT_MOST)
    if newest["energy_kwh"].notna().any():
        with st.container(key="runs"):
            elements.show(elements.heading("Runs", _what_bars_show(len(runs))))
            _bars(frame, newest)


def selected() -> str | None:
    """Return the id of the run that the address names."""
    return st.query_params.get("run")


def _timeline(frame: pd.DataFrame, summary: Summary) -> None:
    quantity = st.segmented_control(
        "Show",
        list(QUANTITIES),
        default="Energy",
        required=True,
        key="over_time",
        bind="query-params",
        label_visibility="collapsed",
    )
    column = QUANTITIES[quantity or "Energy"][0]
    if not frame[column].notna().any():
        elements.show(elements.paragraph(f"{quantity} is unknown for every run so far."))
        return
    if len(frame) == 1:
        elements.show(elements.paragraph("One run so far; a line through time needs two."))
        return
    grown = frames.timeline(frame, summary)
    drawing.draw(
        timeline_chart(grown, quantity or "Energy"),
        "timeline-chart",
        f"{quantity} of all runs over time",
    )
    if grown[f"cumulative_{frames.STDEVS[column]}"].notna().any():
        elements.show(
            elements.paragraph("The band is one standard deviation to either side.", "caption")
        )


def _bars(frame: pd.DataFrame, newest: pd.DataFrame) -> None:
    drawing.draw(
        runs_chart(frame, selected()),
        "runs-chart",
        "Energy of each run by component",
        select=("run", _select_run),
    )
    is_unknown = newest["energy_kwh"].isna()
    signs = [name for name in SIGNS if name in set(newest["status"][~is_unknown])]
    others = ["? no figure"] if is_unknown.any() else []
    if signs:
        others.append("What such runs drew counts.")
    if others:
        elements.show(elements.status_key(signs, "  ".join(others)))


def _coverage(shown: int, total: int) -> str:
    if shown < total:
        return f"The newest {shown} of {total:,} runs, on top of what the earlier ones had drawn."
    return f"Added up over {wording.count(total, 'run')}."


def _what_bars_show(runs: int) -> str:
    which = f"The newest {BARS_AT_MOST}, each" if runs > BARS_AT_MOST else "Each run"
    return f"{which} by component. Click a bar for its details below."


def _select_run() -> None:
    """Carry a click on a bar over to the selector of runs, which keeps it in the address."""
    picked = st.session_state["runs-chart"]["selection"]["run"]
    if picked:
        st.query_params["run"] = picked[0]["run_id"]
