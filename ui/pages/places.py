"""Where the project ran, what the world's grids are like, and where it would have emitted less."""

from collections.abc import Sequence

import streamlit as st

from carbon import wording
from carbon.schema import GridFactor, PlaceTotals, Summary
from ui import drawing, elements, elsewhere, frames
from ui.address import choose
from ui.charts import world
from ui.charts.regions import regions_chart
from ui.pages import totals


def render(summary: Summary, factors: Sequence[GridFactor]) -> None:
    """Show where the project ran, and what it would have emitted elsewhere."""
    with st.container(key="places"):
        elements.show(
            elements.heading("Where it was hosted", "Every place this project has run at."),
            totals.places(summary.places),
        )
    with st.container(key="elsewhere"):
        _elsewhere(summary, factors)


def world_map(own: Sequence[PlaceTotals], factors: Sequence[GridFactor]) -> None:
    """Show the world's grids, with the own places set off."""
    with st.container(key="world"):
        _world(own, factors)


def _elsewhere(summary: Summary, factors: Sequence[GridFactor]) -> None:
    elements.show(
        elements.heading(
            "What it would have emitted elsewhere",
            "The same energy on other grids: the lowest, the highest and this project's own.",
        )
    )
    fields = {
        "Cloud regions": ("cloud region", [f for f in factors if f.provider]),
        "Countries": ("country", [f for f in factors if f.region is None]),
    }
    field = st.segmented_control(
        "Compare with",
        list(fields),
        default="Cloud regions",
        required=True,
        key="elsewhere_in",
        bind="query-params",
        label_visibility="collapsed",
    )
    noun, chosen = fields[field or "Cloud regions"]
    if nothing := elsewhere.nothing_to_move(summary):
        elements.show(elements.paragraph(nothing))
    elif not chosen:
        elements.show(elements.paragraph(f"The ledger has no figures for any {noun}."))
    else:
        comparison = elsewhere.compare(summary, chosen, noun)
        elements.show(elements.paragraph(comparison.recommendation, "verdict"))
        drawing.draw(
            regions_chart(comparison.frame),
            "regions-chart",
            f"Emissions of the same energy by {noun}",
        )
        elements.show(elements.paragraph(elsewhere.CAVEAT, "caption"))


def _world(own: Sequence[PlaceTotals], factors: Sequence[GridFactor]) -> None:
    elements.show(
        elements.heading(
            "The world's electricity",
            "Carbon intensity of each country's grid, and what its electricity is made from.",
        )
    )
    quantities = {key: _quantity_name(key) for key in world.QUANTITIES}
    quantity = choose("Colour by", quantities, "map", width_px=380)
    # As high as the page is wide enough for it, see ui/assets/style.css.
    with st.container(key="world-map"):
        drawing.draw(
            world.world_chart(frames.world(factors), quantity, frames.places(own)),
            "world-chart",
            f"World map by {quantities[quantity]}",
            height="stretch",
        )
    caption = (
        "Outlined: where this project ran. Grey: no figure. Point at a country for its source."
    )
    small = [
        wording.place(place.country_iso_code, None)
        for place in own
        if set(frames.places([place])) - world.drawn_countries()
    ]
    if small:
        caption += f" Too small to draw here: {', '.join(dict.fromkeys(small))}."
    elements.show(elements.paragraph(caption, "caption"))


def _quantity_name(quantity: str) -> str:
    name = world.QUANTITIES[quantity]
    return name if quantity == "intensity" else f"Energy mix: share of {name.lower()}"
