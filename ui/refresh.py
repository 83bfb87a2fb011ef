"""Figures that follow a run while it goes on."""

from collections.abc import Callable

import streamlit as st

from carbon.errors import CarbonError
from ui import data, states

EVERY_S = data.FRESH_S
"""How often they are asked for anew, in seconds. Asked more often, they come from memory."""


def following(show: Callable[[], str], state: str, *, is_running: bool) -> None:
    """Show something, and while a run is running again and again without the rest of the page.

    Args:
        show: puts it on the page and returns the state that the rest of the page depends on.
        state: that state as the rest of the page was made for it. Once it differs, the whole page
            is made anew.
        is_running: whether anything can be expected to change.
    """

    def again() -> None:
        # It runs outside of the page's own edge.
        try:
            has_changed = show() != state
        except CarbonError as error:
            states.failed(error)
            return
        if has_changed:
            st.rerun()

    if is_running:
        st.fragment(again, run_every=EVERY_S)()
    else:
        show()
