"""What each speedup cost: energy against speedup for one study of a project."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from carbon.report.charts.tradeoff import speedup_chart, tradeoff_chart
from carbon.report.frames import configurations
from carbon.report.hardware_table import hardware_table
from carbon.schema import Tradeoff, TradeoffPoint
from ui import drawing, elements, verdicts
from ui.pages import best

COLUMNS_AT_ONCE = 6
"""Of the wide table, beside the configuration: more do not fit a page."""


def render(tradeoff: Tradeoff) -> None:
    """Show the section."""
    with st.container(key="speedup"):
        elements.show(
            elements.heading(
                "What each speedup cost",
                "Training on more workers takes less time; this is what it took in energy.",
            )
        )
        if not tradeoff.points:
            elements.show(
                elements.instruction(
                    "Nothing to compare yet. Give runs a study, a strategy and at least one epoch: "
                    '`carbon.track(…, strategy="ddp", study="scaling-1")`, once on one worker and '
                    "once on two.",
                    "note",
                )
            )
            return
        studies = newest_first(tradeoff.points)
        study = studies[0]
        if len(studies) > 1:
            study = st.selectbox("Study", studies, key="study", bind="query-params", width=380)
        points = [point for point in tradeoff.points if point.study == study]
        if differences := tradeoff.differences.get(study):
            elements.show(elements.paragraph(verdicts.warning(study, differences), "warning"))
        how_to_read = _chart(study, points) if len(points) > 1 else ""
        elements.show(
            *(elements.paragraph(said, "verdict") for said in verdicts.speedup_costs(points)),
            elements.paragraph(how_to_read, "caption"),
        )
        _table(points)
        _hardware(points)
    if len(points) > 1:
        best.render(points)


def newest_first(points: Sequence[TradeoffPoint]) -> list[str]:
    """Return the studies, those with something to compare before the others, then by last run."""
    size = Counter(point.study for point in points)
    last_run_at = {
        study: max(point.last_run_at for point in points if point.study == study) for study in size
    }
    return sorted(size, key=lambda study: (size[study] > 1, last_run_at[study]), reverse=True)


def _chart(study: str, points: Sequence[TradeoffPoint]) -> str:
    """Show the chart; return how to read it."""
    frame = configurations(points)
    baseline = verdicts.baseline_name(points[0])
    if frame["energy_per_epoch_kwh"].notna().any():
        chart = tradeoff_chart(frame, baseline)
        caption = (
            "Right is faster, down is less energy. A ring marks the front of the means (Pareto): "
            "no mean is both faster and cheaper than a ringed one. The tick at a point's height is "
            "its ideal speedup; bars are one standard deviation over repeats."
        )
        if points[0].unit == "epoch":
            caption += " The first epoch, a warm-up, is left out."
        else:
            caption += " No run has epochs: whole runs are compared."
    else:
        chart = speedup_chart(frame, baseline)
        caption = (
            "No energy was measured in this study, so only the speedups can be shown; the tick on "
            "each bar is the ideal."
        )
    drawing.draw(chart, "tradeoff-chart", f"Energy against speedup in {study}")
    return caption


def _table(points: Sequence[TradeoffPoint]) -> None:
    frame = configurations(sorted(points, key=lambda point: (point.speedup, point.strategy)))
    rows = [
        [
            elements.with_note(row["label"], "on the Pareto front")
            if row["front"]
            else elements.text(row["label"]),
            elements.text(row["epoch_text"]),
            elements.text(row["speedup_text"]),
            elements.text(row["efficiency_text"]),
            elements.text(row["energy_text"]),
            elements.text(row["emissions_text"]),
            elements.text(row["runs_text"]),
        ]
        for row in frame.to_dict("records")
    ]
    unit = points[0].unit
    elements.show(
        elements.table(
            "tradeoff",
            [
                "Configuration",
                f"Time per {unit}",
                "Speedup",
                "Efficiency",
                f"Energy per {unit}",
                f"CO₂e per {unit}",
                "Averaged over",
            ],
            rows,
            numeric=range(1, 7),
        )
    )
    spread = "± is one standard deviation over repeated runs."
    if any(point.energy_per_epoch_kwh_stdev is None for point in points):
        spread += " A configuration that ran once has no spread: run it again to see it."
    spread += (
        " The meters' own error comes on top; it is the same for all that was measured on the same "
        "devices, and cancels where configurations are compared."
    )
    elements.show(elements.paragraph(spread, "caption"))


def _hardware(points: Sequence[TradeoffPoint]) -> None:
    """Show what else is known of the configurations, folded: it is wide."""
    shown = hardware_table(points)
    if not shown.rows:
        return
    cells = shown.cells()
    with st.expander(shown.title, icon=":material/speed:"):
        for first in range(1, len(shown.columns), COLUMNS_AT_ONCE):
            places = [0, *range(first, min(first + COLUMNS_AT_ONCE, len(shown.columns)))]
            elements.show(
                elements.table(
                    shown.name,
                    [shown.columns[place].heading for place in places],
                    [[elements.text(row[place]) for place in places] for row in cells],
                    numeric=range(1, len(places)),
                )
            )
        elements.show(elements.paragraph(shown.note, "caption"))
