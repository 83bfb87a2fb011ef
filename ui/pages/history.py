"""How the project's ledger grew, and what each run added."""

from collections.abc import Sequence

import streamlit as st

from carbon.schema import RunFields, Summary
from ui import elements, frames, theme, wording
from ui.charts.history import BARS_AT_MOST, QUANTITIES, runs_chart, timeline_chart


def render(runs: Sequence[RunFields], summary: Summary) -> None:
    """Show the section. `runs` are the newest, newest first."""
    frame = frames.runs(runs)
    with st.container(key="timeline"):
        elements.show(elements.heading("Over time", _coverage(len(runs), summary.runs)))
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
        elif len(frame) == 1:
            elements.show(elements.paragraph("One run so far; a line through time needs two."))
        else:
            st.altair_chart(
                timeline_chart(frames.timeline(frame, summary), quantity or "Energy"),
                key="timeline-chart",
                alt=f"{quantity} of all runs over time",
            )
            elements.show(
                elements.paragraph("The band is one standard deviation to either side.", "caption")
            )
    if not frame["energy_kwh"].tail(BARS_AT_MOST).notna().any():
        return
    with st.container(key="runs"):
        elements.show(elements.heading("Runs", _what_bars_show(len(runs))))
        st.altair_chart(
            runs_chart(frame, st.query_params.get("run"), theme.ink()),
            key="runs-chart",
            on_select=_select_run,
            selection_mode="run",
            alt="Energy of each run by component",
        )
        elements.show(
            elements.paragraph(
                "✕ failed, ‖ interrupted, ▶ running, ? no figure. What such runs drew counts.",
                "caption",
            )
        )


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
