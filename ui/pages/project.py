"""One project, from its totals down to the raw data."""

from collections.abc import Sequence

import streamlit as st

from carbon import wording
from carbon.schema import RunFields, Summary
from ui import data, elements, frames, refresh
from ui.folding import folded
from ui.pages import budgets, equivalents, history, places, run, speedup, totals


def render(project: str) -> None:
    """Show the page."""
    summary = data.summary(project)
    is_running = totals.running(summary) > 0
    with st.container(key="project-page"):
        elements.show(
            elements.project_name(project),
            elements.paragraph(totals.hosted(summary.places), "lead"),
        )
        refresh.following(
            lambda: _totals(data.summary(project)),
            totals.standing(summary),
            is_running=is_running,
        )
        equivalents.show_sources(summary.equivalents)
        refresh.following(
            lambda: _budgets(project),
            totals.standing(summary),
            is_running=is_running,
        )
        speedup.render(data.tradeoff(project))
        runs = data.newest_runs(summary)
        if runs:
            refresh.following(
                lambda: _history(data.summary(project)),
                _history_depends_on(summary),
                is_running=is_running,
            )
            run.render(project, runs)
        refresh.following(
            lambda: _places(data.summary(project)),
            totals.standing(summary),
            is_running=is_running,
        )
        places.world_map(summary.places, data.grid())
        totals.explain()
        folded("Raw data", ":material/table:", "raw-data", lambda: _raw(runs, summary))


def _totals(summary: Summary) -> str:
    """Show the totals, the last run and their equivalents, and return how the runs stand."""
    with st.container(key="totals"):
        last = summary.last_run
        name = "Both runs" if summary.runs == 2 else f"All {summary.runs:,} runs"
        if summary.runs == 1 and last is not None:
            name = f"One run, {last.status}"
        elements.show(elements.figures(totals.total_figures(summary), name))
        if summary.runs > 1 and last is not None:
            figures = totals.run_figures(last, "last-run")
            elements.show(elements.figures(figures, f"Last run, {last.status}"))
        totals.show_running(summary)
    equivalents.show(summary, beside_last_run=True)
    return totals.standing(summary)


def _budgets(project: str) -> str:
    budgets.render(data.budgets(project))
    return totals.standing(data.summary(project))


def _history(summary: Summary) -> str:
    history.render(data.newest_runs(summary), summary)
    return _history_depends_on(summary)


def _history_depends_on(summary: Summary) -> str:
    """Return how the runs stand and which is selected: another one's details are elsewhere."""
    return f"{totals.standing(summary)} {history.selected()}"


def _places(summary: Summary) -> str:
    places.render(summary, data.grid())
    return totals.standing(summary)


def _raw(runs: Sequence[RunFields], summary: Summary) -> None:
    note = (
        f"The newest {len(runs)} of {summary.runs:,} runs"
        if len(runs) < summary.runs
        else wording.count(len(runs), "run")
    )
    elements.show(
        elements.paragraph(f"{note}, as the API gave them. Energies are before PUE; times are UTC.")
    )
    st.dataframe(frames.raw(runs), hide_index=True, key="raw-runs")
