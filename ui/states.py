"""What is shown instead of figures, each ending in what to do next."""

import streamlit as st

from carbon.errors import ApiRejectedError, ApiUnreachableError, CarbonError
from ui import elements

FIRST_RUN = """import carbon

with carbon.track("my-project", strategy="single") as run:
    train()  # your training, unchanged"""

_UNAUTHORIZED = (401, 403)


def empty() -> None:
    """Say how the first run gets here."""
    with st.container(key="state-empty"):
        elements.show(
            elements.title("Measure Compute Emissions"),
            elements.instruction(
                "No run has been recorded yet. Wrap a training in these lines, run it, and it "
                "appears here:"
            ),
        )
        st.code(FIRST_RUN, language="python")
        elements.show(
            elements.instruction(
                "Ran something already? Its report waits on the machine where it ran: deliver it "
                "with `carbon sync`."
            )
        )
        _ask_again("Look again")


def no_such_project(name: str) -> None:
    """Say that the address names a project the ledger does not have."""
    with st.container(key="state-no-project"):
        elements.show(
            elements.paragraph(
                f"The ledger has no project called “{name}”. Here are all projects instead; choose "
                "one above.",
                "warning",
            )
        )


def failed(error: CarbonError) -> None:
    """Say what is wrong between this page and the API, and how to mend it."""
    if isinstance(error, ApiUnreachableError):
        key, title, todo = (
            "state-api-down",
            "The ledger does not answer",
            "Nothing is lost meanwhile: trainings keep their reports on disk until it does. After "
            "a change of CARBON_API_URL, start the dashboard again.",
        )
    elif isinstance(error, ApiRejectedError) and error.status in _UNAUTHORIZED:
        key, title, todo = (
            "state-unauthorized",
            "The ledger asks for a key",
            "Set CARBON_API_KEY to a key that the ledger knows, and start the dashboard again.",
        )
    else:
        key, title, todo = (
            "state-refused",
            "That cannot be shown",
            "Go back to all projects by clearing the address, or try again.",
        )
    said = str(error)
    with st.container(key=key):
        elements.show(
            elements.title(title),
            elements.instruction(f"{said[:1].upper()}{said[1:]}."),
            elements.instruction(todo),
        )
        _ask_again("Retry")


def _ask_again(label: str) -> None:
    if st.button(label, icon=":material/refresh:", type="primary"):
        st.cache_data.clear()
        st.rerun()
