"""Emissions in everyday terms."""

from collections.abc import Sequence

from carbon import wording
from carbon.schema import Equivalent, Summary
from ui import elements
from ui.elements import Figure, Markup

_ICONS = {
    "household_week": "house",
    "car_miles": "car",
    "car_km": "car",
    "tv_hours": "tv",
    "smartphone_charges": "phone",
}


def show(summary: Summary, *, beside_last_run: bool = False) -> None:
    """Show the emissions in everyday terms, where they are known; not where the terms are from."""
    if summary.equivalents:
        of_last = summary.last_run_equivalents if beside_last_run and summary.runs > 1 else ()
        elements.show(
            elements.heading("As much as", "The CO₂-equivalent above in everyday terms."),
            _cards(summary.equivalents, of_last),
        )


def show_sources(items: Sequence[Equivalent]) -> None:
    """Show where the equivalents' factors are from.

    Apart from their amounts: made anew with them, what a reader has unfolded would fold again.
    """
    if not items:
        return
    names = dict.fromkeys(item.source.split(":")[0] for item in items)
    elements.show(
        elements.details(
            f"Sources: {'; '.join(names)}",
            [
                f"{item.label[:1].upper()}{item.label[1:]}: {wording.mass(item.factor_kg)} CO₂e "
                f"per {item.unit}. {item.source} ({item.year or 'year not given'})."
                for item in items
            ],
        )
    )


def _cards(items: Sequence[Equivalent], of_last: Sequence[Equivalent]) -> Markup:
    """Make the amounts with icons, the last run's below them."""
    last = {item.key: with_band(item) for item in of_last}
    return elements.cards(
        Figure(
            f"equivalent-{item.key}",
            item.label,
            item.text,
            item.amount,
            [
                *([f"± {item.uncertainty_text}"] if _has_band(item) else []),
                *([f"last run: {last[item.key]}"] if item.key in last else []),
            ],
            icon=_ICONS.get(item.key, "leaf"),
        )
        for item in items
    )


def with_band(item: Equivalent) -> str:
    """Write an equivalent in one line with its band: "14 ± 0.56 miles", "2.5 days ± 2.5 hours"."""
    if not _has_band(item):
        return item.text
    amount, _, unit = item.text.partition(" ")
    band, _, band_unit = (item.uncertainty_text or "").partition(" ")
    if unit == band_unit:
        return f"{amount} ± {band} {unit}"
    return f"{item.text} ± {item.uncertainty_text}"


def _has_band(item: Equivalent) -> bool:
    """Whether there is a band to show: "less than an inch ± less than an inch" tells nothing."""
    return item.uncertainty_text is not None and not item.text.startswith("less than")
