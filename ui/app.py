"""The dashboard's script: Streamlit runs it from the top whenever a visitor changes something."""

from pathlib import Path

import streamlit as st
from altair.utils.schemapi import disable_debug_mode

from carbon.errors import CarbonError
from ui import data, elements, states
from ui.pages import overview, project

ASSETS = Path(__file__).parent / "assets"


def render() -> None:
    """Show what the address asks for: one project, or all of them."""
    st.html(ASSETS / "style.css")
    elements.show(elements.brand())
    # The outermost edge: whatever the ledger cannot tell ends in a sentence, not in a traceback.
    try:
        projects = data.projects()
        if not projects:
            states.empty()
            return
        names = [item.project for item in projects]
        asked_for = st.query_params.get("project")
        chosen = _select_project(names)
        if asked_for and asked_for not in names and chosen is None:
            states.no_such_project(asked_for)
        if chosen is None:
            overview.render(projects)
        else:
            st.set_page_config(page_title=f"{chosen} · Carbon Ledger")
            project.render(chosen)
    except CarbonError as error:
        states.failed(error)


def _select_project(names: list[str]) -> str | None:
    with st.container(key="head", horizontal=True, vertical_alignment="bottom"):
        elements.show(elements.title("Measure Compute Emissions"))
        with st.container(key="project-selector", width=380):
            return st.selectbox(
                "Project",
                names,
                index=None,
                key="project",
                placeholder="All projects",
                bind="query-params",
                on_change=_forget_run,
            )


def _forget_run() -> None:
    """Another project has other runs: the address must not name one of the last project's."""
    st.query_params.pop("run", None)


# Each chart is checked as a whole; to check all its parts too takes most of a second a page.
disable_debug_mode()
st.set_page_config(page_title="Carbon Ledger", page_icon=str(ASSETS / "icon.svg"), layout="wide")
# A navigation of one page keeps Streamlit from taking the files of ui/pages for pages of its own.
st.navigation([st.Page(render, title="Carbon Ledger", default=True)], position="hidden").run()
