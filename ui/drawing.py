"""Charts on the page: legible on the theme that the visitor sees, with words for who cannot see."""

from collections.abc import Callable, Sequence
from typing import Literal

import altair as alt
import streamlit as st
from altair.typing import ChartType

from ui import theme

PADDING = {"left": 2, "right": 4, "top": 2, "bottom": 4}


def draw(
    chart: ChartType,
    key: str,
    told: str,
    *,
    select: tuple[str, Callable[[], None]] | None = None,
    height: Literal["content", "stretch"] = "content",
) -> None:
    """Put a chart on the page.

    Args:
        chart: what to draw.
        key: tells it from the others of the page.
        told: what a screen reader says of it.
        select: the name of a selection in it, and what is called once it changes.
        height: its own, or that of the place it is put into.
    """
    name, on_select = select or (None, None)
    st.altair_chart(
        in_ink(chart, theme.ink()),
        key=key,
        alt=told,
        height=height,
        on_select=on_select or "ignore",
        selection_mode=name,
    )


def in_ink(chart: ChartType, ink: str) -> ChartType:
    """Write in `ink` and draw in it what has no colour of its own, with each label at its tick."""
    config = alt.Config(
        mark=alt.MarkConfig(color=ink),
        text=alt.MarkConfig(color=ink),
        axis=alt.AxisConfig(labelColor=ink, titleColor=ink),
        axisY=alt.AxisConfig(labelFlush=False),
        legend=alt.LegendConfig(labelColor=ink, titleColor=ink),
    )
    # All in one: each call copies the chart, and all that is in it.
    inked: ChartType = chart.properties(padding=PADDING, config=config)
    return inked


def draw_in_rows(charts: Sequence[tuple[ChartType, str, str]]) -> None:
    """Put charts, each with its key and what is told of it, on the page two in a row.

    In rows, so that on a phone, where columns stand below each other, the order is the same.
    """
    for first in range(0, len(charts), 2):
        columns = st.columns(2) if len(charts) > 1 else [st.container()]
        for (chart, key, told), column in zip(charts[first : first + 2], columns, strict=False):
            with column:
                draw(chart, key, told)
