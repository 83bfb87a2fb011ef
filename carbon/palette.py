"""Colours and shapes of everything that is drawn, here and on the dashboard.

Series use the palette of Okabe and Ito (2008, "Color Universal Design"), which readers with any
common colour vision tell apart; strategies differ in shape as well. Its light colours are darkened
here, so that each stands out from the light and from the dark background by 3:1 (WCAG 1.4.11).
"""

BLUE = "#0072B2"
SKY = "#2E97D3"
GREEN = "#009E73"
ORANGE = "#C77F00"
VERMILLION = "#D55E00"
PURPLE = "#C871A2"
YELLOW = "#9A8B00"
GREY = "#868E93"

INK = "#3A4643"
"""Text in charts on the light background."""

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
