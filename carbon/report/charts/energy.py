"""What an epoch drew: bars by workers, one for each strategy."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from carbon import wording
from carbon.report.charts import encodings
from carbon.report.charts.encodings import HEIGHT_PX

_WORDS = [
    ("label", "Configuration"),
    ("energy_text", "Energy per epoch"),
    ("emissions_text", "CO2e per epoch"),
    ("runs_text", "Averaged over"),
]


def energy_chart(frame: pd.DataFrame) -> ChartType:
    """Draw the energy per epoch by workers and strategy, in the unit that fits it.

    Args:
        frame: of `carbon.report.frames.configurations`; rows without an energy are not drawn.
    """
    size, unit = wording.energy_unit(frame["energy_per_epoch_kwh"].dropna().tolist())
    return _bars(frame, "energy_per_epoch_kwh", size, "Energy", unit)


def emissions_chart(frame: pd.DataFrame) -> ChartType:
    """Draw the CO2-equivalent per epoch by workers and strategy, in the unit that fits it."""
    size, unit = wording.mass_unit(frame["emissions_per_epoch_kg"].dropna().tolist())
    return _bars(frame, "emissions_per_epoch_kg", size, "CO2e", unit)


def _bars(frame: pd.DataFrame, column: str, size: float, what: str, unit: str) -> ChartType:
    each = encodings.unit_of(frame)
    known = frame.dropna(subset=[column])
    known = known.assign(
        workers=known["workers"].astype(int),
        amount=known[column] / size,
        amount_low=known[f"{column}_low"] / size,
        amount_high=known[f"{column}_high"] / size,
    )
    x = alt.X(
        "workers:O",
        title="Workers",
        axis=alt.Axis(labelAngle=0, labelOverlap="greedy"),
        scale=alt.Scale(paddingInner=0.22, paddingOuter=0.12),
    )
    color = encodings.strategy_color(known["strategy"])
    order = encodings.strategies_in_order(known["strategy"])
    offset = alt.XOffset("strategy:N", sort=order, scale=alt.Scale(paddingInner=0.12))
    y = alt.Y("amount:Q", title=f"{what} per {each} ({unit})", scale=alt.Scale(zero=True))
    bars = alt.Chart(known).mark_bar()
    tooltip = encodings.tooltips(_WORDS, each)
    layers = [bars.encode(x=x, xOffset=offset, y=y, color=color, tooltip=tooltip)]
    repeated = known.dropna(subset=["amount_low"])
    if len(repeated):
        low = encodings.of_column(y, "amount_low")
        spread = alt.Chart(repeated).mark_rule(strokeWidth=1.5)
        layers.append(spread.encode(x=x, xOffset=offset, y=low, y2="amount_high:Q"))
    return alt.layer(*layers, height=HEIGHT_PX)
