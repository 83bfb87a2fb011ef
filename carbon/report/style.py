"""How the charts of a report look: dark ink on white, in the font of the page."""

from typing import Any

import altair as alt
from altair.typing import ChartType

from carbon.palette import INK
from carbon.report.charts.encodings import WIDTH_PX

_FONT = "Helvetica Neue, Arial, Liberation Sans, DejaVu Sans, sans-serif"
_PADDING_PX = {"left": 6, "right": 14, "top": 6, "bottom": 6}
_GRID = "#E3E8E6"


def for_file(chart: ChartType, title: str) -> ChartType:
    """Return the chart as a picture of its own, with its title."""
    return _styled(chart.properties(width=WIDTH_PX, title=title))


def for_page(chart: ChartType) -> dict[str, Any]:
    """Return the chart as Vega-Lite that fills the width of its place on a page."""
    found: dict[str, Any] = _styled(chart.properties(width="container")).to_dict(validate=False)
    return found | {"autosize": {"type": "fit-x", "contains": "padding"}}


def vega_lite_version() -> str:
    """Return the version of Vega-Lite that the charts are written for: "6.4"."""
    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def _styled(chart: ChartType) -> ChartType:
    styled: ChartType = (
        chart.properties(background="white", padding=_PADDING_PX)
        .configure(font=_FONT)
        .configure_mark(color=INK)
        .configure_text(color=INK)
        .configure_title(color=INK, fontSize=15, anchor="start", offset=10)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            labelFontSize=11.5,
            titleFontSize=12,
            titleFontWeight="normal",
            gridColor=_GRID,
            domainColor="#9AA5A1",
            tickColor="#9AA5A1",
        )
        .configure_axisY(labelFlush=False)
        .configure_legend(labelColor=INK, titleColor=INK, labelFontSize=12)
        .configure_view(stroke=None)
    )
    return styled
