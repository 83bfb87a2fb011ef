"""What the pages ask of the API, kept for a few seconds so that a rerun of the page is quick.

A failed call is not kept: the next rerun asks again.
"""

from uuid import UUID

import streamlit as st

from carbon import settings
from carbon.rest.client import Client
from carbon.schema import (
    Budget,
    GridFactor,
    ProjectTotals,
    RunFields,
    RunReport,
    Summary,
    Tradeoff,
)

FRESH_S = 5
STALE_S = 60
RUNS_AT_MOST = 200
_PAGE = 100


@st.cache_resource(show_spinner=False)
def client() -> Client:
    """The one connection to the API, which all visitors share; `httpx` pools its sockets.

    Raises:
        SettingsError: a `CARBON_*` variable that cannot be used.
    """
    return Client(settings.load())


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def projects() -> list[ProjectTotals]:
    """Every project's totals, the most recently used first."""
    return client().projects()


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def summary(project: str | None = None) -> Summary:
    """The summary of a project, or of everything."""
    return client().summary(project)


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def budgets(project: str) -> list[Budget]:
    """How a project's budgets stand in the periods of today."""
    return client().accounting.budgets(project)


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def tradeoff(project: str) -> Tradeoff:
    """What each speedup of a project's studies cost."""
    return client().tradeoff(project)


def newest_runs(summary: Summary) -> list[RunFields]:
    """The newest runs of a summary's project, `RUNS_AT_MOST` of them, newest first.

    Asked for anew once the summary differs: a page that follows a run would fetch them in vain.
    """
    return _newest_runs(summary.project, summary.model_dump_json())


@st.cache_data(ttl=STALE_S, max_entries=100, show_spinner=False)
def _newest_runs(project: str | None, summary: str) -> list[RunFields]:
    found: list[RunFields] = []
    cursor = None
    while len(found) < RUNS_AT_MOST:
        page = client().runs(project=project, limit=_PAGE, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found[:RUNS_AT_MOST]


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def run(run_id: UUID) -> RunReport:
    """One run, whole."""
    return client().run(run_id)


@st.cache_data(ttl=3600, show_spinner=False)
def grid() -> list[GridFactor]:
    """The carbon intensity of every known place; it changes with a release, not by the hour."""
    return client().grid()
