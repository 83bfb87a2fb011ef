"""Colours.

Series use the palette of Okabe and Ito (2008, "Color Universal Design"), which readers with any
common colour vision tell apart; strategies differ in shape as well.
"""

from typing import Final

import streamlit as st

BLUE = "#0072B2"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
YELLOW = "#F0E442"
GREY = "#868E93"
"""Legible on the light and on the dark background (contrast above 3:1 on both)."""

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
