"""All projects: what they drew and emitted together, and each on a line."""

from collections.abc import Sequence

import streamlit as st

from carbon import wording
from carbon.schema import ProjectTotals, Summary
from ui import data, elements, refresh
from ui.pages import equivalents, totals

LINES_AT_MOST = 50


def render(projects: Sequence[ProjectTotals]) -> None:
    """Show the page."""
    summary = data.summary()
    is_running = totals.running(summary) > 0
    with st.container(key="overview"):
        elements.show(
            elements.paragraph(
                "What training has drawn and emitted, across "
                f"{wording.count(len(projects), 'project')} and "
                f"{wording.count(summary.runs, 'run')}.",
                "lead",
            ),
        )
        refresh.following(
            lambda: _totals(data.summary()),
            totals.standing(summary),
            is_running=is_running,
        )
        equivalents.show_sources(summary.equivalents)
        refresh.following(
            lambda: _lines(data.projects(), data.summary()),
            totals.standing(summary),
            is_running=is_running,
        )
        totals.explain()


def _totals(summary: Summary) -> str:
    """Show the totals with their equivalents, and return how the runs stand."""
    elements.show(elements.figures(totals.total_figures(summary)))
    totals.show_running(summary)
    equivalents.show(summary)
    return totals.standing(summary)


def _lines(projects: Sequence[ProjectTotals], summary: Summary) -> str:
    """Show each project and each place on a line, and return how the runs stand."""
    elements.show(
        elements.heading("Projects", "The most recently used first. Open one for its details."),
        _projects(projects[:LINES_AT_MOST]),
    )
    if len(projects) > LINES_AT_MOST:
        hidden = wording.count(len(projects) - LINES_AT_MOST, "more project")
        elements.show(elements.paragraph(f"And {hidden}: find them in the selector above."))
    elements.show(
        elements.heading("Where it was hosted", totals.hosted(summary.places)),
        totals.places(summary.places),
    )
    return totals.standing(summary)


def _projects(projects: Sequence[ProjectTotals]) -> elements.Markup:
    most = max((item.energy_kwh or 0.0 for item in projects), default=0.0)
    return elements.table(
        "projects",
        ["Project", "Runs", "Energy", "CO₂-equivalent", "Last run"],
        [
            [
                elements.link(item.project, project=item.project),
                elements.text(f"{item.runs:,}"),
                totals.energy_cell(item, most),
                totals.emissions_cell(item),
                elements.text(wording.moment(item.last_run_at)),
            ]
            for item in projects
        ],
        numeric=[1, 2, 3],
    )
