"""The names of points as a layer of a chart, placed anew where the page is narrow."""

from collections.abc import Callable

import altair as alt
import pandas as pd

from carbon.report.charts.labels import Label

WIDE_PX = (480, 300)
NARROW_PX = (220, 300)
"""The smallest plots that names are placed for, axes left out: on larger ones they move apart."""

_PLACES = {"wide": WIDE_PX, "narrow": NARROW_PX}
_PARTS = {"dx": "dx_px", "dy": "dy_px", "align": "align"}

Place = Callable[[tuple[int, int]], list[Label | None]]


def with_places(frame: pd.DataFrame, place: Place) -> pd.DataFrame:
    """Return the frame with columns that say where each row's name goes; nowhere is null.

    Args:
        place: returns a label for each row, on a plot of a width and a height in pixels.
    """
    columns = {}
    for plot, size_px in _PLACES.items():
        labels = place(size_px)
        for part, attribute in _PARTS.items():
            values = [getattr(label, attribute) if label else None for label in labels]
            kind = "str" if part == "align" else "float"
            columns[_column(plot, part)] = pd.Series(values, frame.index, dtype=kind)
    return frame.assign(**columns)


def names_layer(points: alt.Chart, x: alt.X, y: alt.Y, font_px: float) -> alt.Chart:
    """Return the names, of the column `label`, beside their points."""
    # Vega's `width` is the plot's, and changes with the page.
    dx, dy, align = (
        f"(width < {WIDE_PX[0]} ? datum.{_column('narrow', part)} : datum.{_column('wide', part)})"
        for part in _PARTS
    )
    layer: alt.Chart = (
        points.transform_filter(f"isValid({dx})")
        .mark_text(
            fontSize=font_px,
            baseline="middle",
            align=alt.expr(align),
            dx=alt.expr(dx),
            dy=alt.expr(dy),
        )
        .encode(x=x, y=y, text="label:N")
    )
    return layer


def _column(plot: str, part: str) -> str:
    return f"label_{plot}_{part}"
