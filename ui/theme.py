"""The dashboard's own colours, made of those that everything drawn shares."""

from typing import Final

import streamlit as st

from carbon.palette import BLUE, GREEN, INK, ORANGE, VERMILLION

COMPONENTS = {"GPU": GREEN, "CPU": BLUE, "RAM": ORANGE}
TRAFFIC = {"Sent": VERMILLION, "Received": BLUE}

SEQUENTIAL: Final = "viridis"
"""For maps: even in lightness, so it survives grey printing and colour blindness."""

INK_ON_DARK = "#C5CFCB"
"""Text in charts on the dark background."""


def ink() -> str:
    """Return the colour of text in charts for the theme that the visitor sees."""
    return INK_ON_DARK if st.context.theme.type == "dark" else INK
