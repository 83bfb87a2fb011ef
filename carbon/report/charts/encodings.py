"""What the charts of a study have in common: looks of strategies, axes, error bars, tooltips."""

import math
from collections.abc import Iterable, Sequence

import altair as alt
import pandas as pd

from carbon.palette import STRATEGIES

WIDTH_PX = 640
HEIGHT_PX = 380

DASHES = {"measured": [1, 0], "extrapolated": [7, 5], "ideal": [2, 3]}
"""How a line is drawn, by what it is of."""

_NARROW_RATIO = 6
_POWERS_WITH_STEPS = 5

# A legend does not wrap by itself: a narrow page has room for three names beside each other.
_LEGEND_COLUMNS = alt.expr("width < 420 ? 3 : 4")


def strategy_color(names: Iterable[str]) -> alt.Color:
    """Return the colours of strategies."""
    return alt.Color("strategy:N", title=None, scale=_scale(names, 0), legend=_legend())


def strategy_shape(names: Iterable[str]) -> alt.Shape:
    """Return the shapes of strategies; the legend is one with that of the colours."""
    return alt.Shape("strategy:N", title=None, scale=_scale(names, 1), legend=_legend())


def strategies_in_order(names: Iterable[str]) -> list[str]:
    """Return each strategy once, in the order of the legend."""
    asked = set(names)
    return [name for name in STRATEGIES if name in asked]


def line_dash(kinds: Iterable[str]) -> alt.StrokeDash:
    """Return how lines are drawn by the column `kind`: measured, extrapolated or ideal."""
    shown = [kind for kind in DASHES if kind in set(kinds)]
    return alt.StrokeDash(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=shown, range=[DASHES[kind] for kind in shown]),
        legend=None if len(shown) < 2 else line_legend(),
    )


def line_legend() -> alt.Legend:
    """Return the legend of how lines are drawn: below, where it has the width for itself."""
    return alt.Legend(
        orient="bottom", direction="horizontal", symbolSize=500, symbolStrokeWidth=2, offset=6
    )


def workers_axis(counts: Iterable[int]) -> alt.X:
    """Return a logarithmic axis of worker counts with a tick at each of those there are."""
    ticks = sorted(set(counts))
    pad = 1.12 if len(ticks) > 1 else 1.6
    return alt.X(
        "workers:Q",
        title="Workers",
        scale=alt.Scale(type="log", base=2, domain=[ticks[0] / pad, ticks[-1] * pad], nice=False),
        axis=alt.Axis(values=ticks, format="d", labelOverlap="greedy", grid=False),
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values for the ticks of a logarithmic axis from `low` to `high`.

    Of a wide range 1, 2 and 5 times powers of ten, or those powers alone; of a narrow one the
    multiples of a round step.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if high / low > _NARROW_RATIO:
        steps = (1, 2, 5) if len(powers) <= _POWERS_WITH_STEPS else (1,)
        found = [float(f"{step}e{power}") for power in powers for step in steps]
    else:
        rough = (high - low) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough)
        found = [round(i * step, 12) for i in range(math.ceil(low / step), int(high / step) + 1)]
    return [value for value in found if low <= value <= high]


def log_domain(values: Iterable[float], pad: float = 1.15) -> list[float]:
    """Return the ends of a logarithmic axis with room around all values, which are positive."""
    known = [float(value) for value in values if pd.notna(value) and value > 0]
    if not known:
        return [0.1, 10.0]
    return [min(known) / pad, max(known) * pad]


def error_bars(
    frame: pd.DataFrame, x: alt.X, color: alt.Color, column: str, y: alt.Y
) -> list[alt.Chart]:
    """Return bars from COLUMN_low to COLUMN_high, on the axis `y`; none where none is known."""
    known = frame.dropna(subset=[f"{column}_low"])
    if known.empty:
        return []
    bars = alt.Chart(known).mark_rule(strokeWidth=1.5)
    low = of_column(y, f"{column}_low")
    return [bars.encode(x=x, y=low, y2=f"{column}_high:Q", color=color)]


def of_column(y: alt.Y, column: str) -> alt.Y:
    """Return the same axis, scale and title for another column."""
    found = y.copy()
    found.shorthand = f"{column}:Q"
    return found


def tooltips(columns: Sequence[tuple[str, str]], unit: str = "epoch") -> list[alt.Tooltip]:
    """Return a tooltip of columns that hold words, each with its title; see `unit_of`."""
    return [
        alt.Tooltip(column, type="nominal", title=title.replace("epoch", unit))
        for column, title in columns
    ]


def unit_of(frame: pd.DataFrame) -> str:
    """Return what a frame of `carbon.report.frames.configurations` calls an epoch."""
    return str(frame["unit"].iloc[0])


def _scale(names: Iterable[str], position: int) -> alt.Scale:
    shown = strategies_in_order(names)
    return alt.Scale(domain=shown, range=[STRATEGIES[name][position] for name in shown])


def _legend() -> alt.Legend:
    return alt.Legend(
        orient="top",
        columns=_LEGEND_COLUMNS,
        symbolOpacity=1,
        symbolSize=90,
        labelLimit=150,
    )
