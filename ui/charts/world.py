"""The world by the carbon intensity of its electricity, or by the share of one source in it."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
from altair.typing import ChartType

from carbon.palette import GREY, VERMILLION
from ui.theme import SEQUENTIAL

SHAPES = Path(__file__).parent.parent / "assets" / "countries-110m.json"
QUANTITIES = {
    "intensity": "Carbon intensity",
    "coal": "Coal",
    "gas": "Gas",
    "oil": "Oil",
    "nuclear": "Nuclear",
    "hydro": "Hydro",
    "wind": "Wind",
    "solar": "Solar",
    "other_renewable": "Other renewable",
}
_ANTARCTICA = "010"


def world_chart(frame: pd.DataFrame, quantity: str, own: list[str]) -> ChartType:
    """Draw the countries, coloured by `quantity`, those with a number in `own` outlined.

    `frame` is made by `ui.frames.world`; `quantity` is a key of `QUANTITIES`; `own` holds ISO
    3166-1 numeric codes. Countries without a figure are grey.
    """
    is_intensity = quantity == "intensity"
    title = "g CO₂e per kWh" if is_intensity else f"{QUANTITIES[quantity]}, % of generation"
    domain = [0, 900] if is_intensity else [0, 100]
    figures = frame[["id", "country", "source"]].assign(value=frame.get(quantity))
    records = json.loads(figures.dropna(subset=["value"]).to_json(orient="records"))
    shapes = alt.Chart().transform_filter(f"datum.id != '{_ANTARCTICA}'")
    land = shapes.mark_geoshape(fill=GREY, fillOpacity=0.25, stroke=GREY, strokeWidth=0.3).encode(
        tooltip=[alt.Tooltip("properties.name:N", title="No figure for")]
    )
    known = (
        shapes.transform_lookup(
            lookup="id",
            from_=alt.LookupData(
                alt.InlineData(values=records), key="id", fields=["country", "value", "source"]
            ),
        )
        .transform_filter("isValid(datum.value)")
        .mark_geoshape(stroke=GREY, strokeWidth=0.3)
        .encode(
            color=alt.Color(
                "value:Q",
                title=title,
                scale=alt.Scale(scheme=SEQUENTIAL, domain=domain, clamp=True, reverse=is_intensity),
                legend=alt.Legend(
                    orient="bottom", direction="horizontal", gradientLength=220, tickCount=4
                ),
            ),
            tooltip=[
                alt.Tooltip("country:N", title="Country"),
                alt.Tooltip("value:Q", title=title, format=".3~g"),
                alt.Tooltip("source:N", title="Source"),
            ],
        )
    )
    marked = shapes.transform_filter(
        alt.FieldOneOfPredicate(field="id", oneOf=own or ["none"])
    ).mark_geoshape(filled=False, stroke=VERMILLION, strokeWidth=2.5)
    countries = alt.InlineData(
        values=_shapes(), format=alt.TopoDataFormat(type="topojson", feature="countries")
    )
    return alt.layer(
        land,
        known,
        marked,
        data=countries,
        projection=alt.Projection(type="equalEarth"),
        width="container",
    )


def drawn_countries() -> set[str]:
    """Return the numeric codes of the countries large enough to have a shape on the map."""
    return {
        str(shape["id"])
        for shape in _shapes()["objects"]["countries"]["geometries"]
        if "id" in shape
    }


@cache
def _shapes() -> dict[str, Any]:
    shapes: dict[str, Any] = json.loads(SHAPES.read_text(encoding="utf-8"))
    return shapes
