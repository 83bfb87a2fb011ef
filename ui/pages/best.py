"""Which configuration of a study is best for a training, under its deadline and budgets."""

from collections.abc import Sequence

import streamlit as st

from carbon.analysis.choice import Limits, best, options_of
from carbon.schema import TradeoffPoint
from carbon.units import SECONDS_PER_HOUR
from ui import elements

DEFAULT = {"epoch": 100, "run": 1}
"""Of how many the training is, until the visitor says."""

LEAST = 1e-6


def render(points: Sequence[TradeoffPoint]) -> None:
    """Show what a training may take, to be filled in, and the answer in a sentence."""
    unit = points[0].unit
    with st.container(key="best"):
        elements.show(
            elements.subheading("Which is best for you?"),
            elements.paragraph(
                f"Say how many {unit}s you need and what they may take; what is left empty has no "
                "limit.",
                "caption",
            ),
        )
        columns = st.columns(4)
        with columns[0]:
            label = f"{unit.capitalize()}s"
            epochs = st.number_input(label, 1, 10_000_000, DEFAULT[unit], key=f"best-{unit}s")
        deadline_h, energy_kwh, emissions_kg = (
            _limit(column, label)
            for column, label in zip(
                columns[1:],
                ("Deadline in hours", "Energy in kWh", "CO₂e in kg"),
                strict=True,
            )
        )
        limits = Limits(
            deadline_s=None if deadline_h is None else deadline_h * SECONDS_PER_HOUR,
            energy_kwh=energy_kwh,
            emissions_kg=emissions_kg,
        )
        chosen = best(options_of(points), epochs, limits)
        elements.show(elements.paragraph(chosen.reason, "verdict" if chosen.fits else "warning"))


def _limit(column: "st.delta_generator.DeltaGenerator", label: str) -> float | None:
    with column:
        given: float | None = st.number_input(
            label, min_value=LEAST, value=None, format="%g", placeholder="no limit", key=label
        )
    return given
