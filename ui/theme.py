"""Colours.

Series use the palette of Okabe and Ito (2008, "Color Universal Design"), which readers with any
common colour vision tell apart; strategies differ in shape as well. Its light colours are darkened
here, so that each stands out from the light and from the dark background by 3:1 (WCAG 1.4.11).
"""

from typing import Final

import streamlit as st

BLUE = "#0072B2"
SKY = "#2E97D3"
GREEN = "#009E73"
ORANGE = "#C77F00"
VERMILLION = "#D55E00"
PURPLE = "#C871A2"
YELLOW = "#9A8B00"
GREY = "#868E93"

COMPONENTS = {"GPU": GREEN, "CPU": BLUE, "RAM": ORANGE}
TRAFFIC = {"Sent": VERMILLION, "Received": BLUE}

# strategy: colour, shape. The shapes are Vega's.
STRATEGIES = {
    "single": (GREY, "circle"),
    "ddp": (BLUE, "square"),
    "fsdp": (VERMILLION, "triangle-up"),
    "deepspeed": (GREEN, "diamond"),
    "horovod": (PURPLE, "triangle-down"),
    "ray-ddp": (SKY, "cross"),
    "ray-deepspeed": (ORANGE, "triangle-right"),
    "other": (YELLOW, "triangle-left"),
}

SEQUENTIAL: Final = "viridis"
"""For maps: even in lightness, so it survives grey printing and colour blindness."""

INK = "#3A4643"
"""Text in charts on the light background."""

INK_ON_DARK = "#C5CFCB"
"""Text in charts on the dark background."""


def ink() -> str:
    """Return the colour of text in charts for the theme that the visitor sees."""
    return INK_ON_DARK if st.context.theme.type == "dark" else INK
