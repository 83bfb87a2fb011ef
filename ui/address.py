"""Choices kept in the page's address, so that a shared link opens the same view.

Streamlit's own `bind="query-params"` does this for options that are shown as they are; it would
put the words shown for an option into the address, not the option.
"""

from collections.abc import Mapping

import streamlit as st


def choose(label: str, options: Mapping[str, str], parameter: str, width_px: int) -> str:
    """Show a selector over `options` (value: words) and return the value chosen.

    The value stands in the address under `parameter`; without one that is an
    option it is the first.
    """
    key = f"{parameter}-selector"
    asked_for = st.query_params.get(parameter)
    st.session_state[key] = asked_for if asked_for in options else next(iter(options))
    return st.selectbox(
        label,
        list(options),
        format_func=lambda value: options.get(value, value),
        key=key,
        on_change=_keep,
        args=(parameter, key),
        width=width_px,
    )


def _keep(parameter: str, key: str) -> None:
    st.query_params[parameter] = st.session_state[key]
