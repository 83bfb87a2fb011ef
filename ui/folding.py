"""What is made only once it is unfolded, because few unfold it and it is heavy."""

from collections.abc import Callable

import streamlit as st


def folded(label: str, icon: str, key: str, show: Callable[[], None]) -> None:
    """Put a folded section on the page, and into it what `show` makes once it is unfolded.

    The rest of the page is not made anew for that. It stays unfolded when the page shows something
    else of the same kind.
    """

    @st.fragment
    def section() -> None:
        box = st.expander(label, icon=icon, key=key, on_change="rerun")
        if box.open:
            with box:
                show()

    section()
