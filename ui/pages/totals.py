"""Totals, which both pages show."""

from collections.abc import Sequence

import streamlit as st

from carbon import wording
from carbon.schema import PlaceTotals, RunFields, Summary, Totals
from ui import elements
from ui.elements import Figure, Markup

ONE_STDEV = "one standard deviation"
NO_PLACE = "unknown, as no run says where it ran: set CARBON_COUNTRY_ISO_CODE"


def total_figures(totals: Summary) -> list[Figure]:
    """Make the figures over many runs: energy, CO2-equivalent, time."""
    return [
        Figure(
            "energy",
            "Net energy",
            wording.energy(totals.energy_kwh),
            totals.energy_kwh,
            [
                *_energy_band(totals.energy_kwh, totals.energy_uncertainty),
                *_shares(totals),
                *_above_idle(totals.energy_kwh, _idle_of_all(totals)),
                *_costs(totals),
                *_missing(totals.runs, totals.runs_without_energy),
                *(["nothing was measured"] if totals.energy_kwh is None else []),
            ],
        ),
        Figure(
            "emissions",
            "Net CO₂-equivalent",
            wording.mass(totals.emissions_kg),
            totals.emissions_kg,
            [
                *_emissions_band(totals.emissions_kg, totals.emissions_uncertainty),
                "location-based, with PUE; intensities below"
                if totals.emissions_kg is not None
                else NO_PLACE
                if totals.energy_kwh is not None
                else "unknown, as no energy was measured",
                *_missing(totals.runs, totals.runs_without_emissions),
                *_market_of_all(totals),
            ],
        ),
        Figure(
            "runs",
            "Runs",
            f"{totals.runs:,}",
            totals.runs,
            [
                f"{wording.duration(totals.duration_s)} of computing",
                f"last {wording.moment(totals.last_run_at)}",
            ],
        ),
    ]


def running(summary: Summary) -> int:
    """Return how many runs are running now."""
    return summary.runs_by_status.get("running", 0)


def standing(summary: Summary) -> str:
    """Return how many runs are in which state, as a text to compare with another time's."""
    return repr(sorted(summary.runs_by_status.items()))


def show_running(summary: Summary) -> None:
    """Say how many runs are running, if any are: the totals will grow."""
    if count := running(summary):
        noun = "run is" if count == 1 else "runs are"
        elements.show(
            elements.paragraph(
                f"▶ {count:,} {noun} running now; what was drawn so far counts already.", "caption"
            )
        )


def run_figures(run: RunFields, prefix: str) -> list[Figure]:
    """Make the figures of one run; `prefix` tells them from another run's on the page."""
    intensity = wording.intensity(run.intensity_g_per_kwh)
    return [
        Figure(
            f"{prefix}-energy",
            "Energy",
            wording.energy(run.energy_kwh),
            run.energy_kwh,
            [
                *_energy_band(run.energy_kwh, run.energy_uncertainty),
                *_shares(run),
                *_above_idle(run.energy_kwh, run.idle_energy_kwh),
                *(["nothing was measured"] if run.energy_kwh is None else []),
                *_so_far(run),
            ],
        ),
        Figure(
            f"{prefix}-emissions",
            "CO₂-equivalent",
            wording.mass(run.emissions_kg),
            run.emissions_kg,
            [
                *_emissions_band(run.emissions_kg, run.energy_uncertainty),
                f"at {intensity}, PUE {wording.number(run.pue)}",
                wording.source(run.intensity_source, run.intensity_year),
                *_market(run),
            ]
            if run.emissions_kg is not None
            else [_why_no_emissions(run), *_market(run)],
        ),
        Figure(
            f"{prefix}-duration",
            "Duration",
            wording.duration(run.duration_s),
            run.duration_s,
            [
                f"{wording.configuration(run.strategy, run.world_size)}, "
                f"{wording.count(run.n_nodes, 'node')}",
                wording.moment(run.started_at),
            ],
        ),
    ]


def places(items: Sequence[PlaceTotals]) -> Markup:
    """Make the table of where runs drew their electricity."""
    most = max((item.energy_kwh or 0.0 for item in items), default=0.0)
    return elements.table(
        "places",
        ["Place", "Runs", "Energy", "CO₂-equivalent", "Carbon intensity"],
        [
            [
                elements.text(_place(item)),
                elements.text(f"{item.runs:,}"),
                energy_cell(item, most),
                emissions_cell(item),
                elements.with_note(
                    wording.intensity(item.intensity_g_per_kwh),
                    wording.source(item.intensity_source, item.intensity_year)
                    if item.intensity_g_per_kwh is not None
                    else "set CARBON_COUNTRY_ISO_CODE where trainings run",
                ),
            ]
            for item in items
        ],
        numeric=[1, 2, 3],
    )


def hosted(items: Sequence[PlaceTotals]) -> str:
    """Say in one line where everything ran."""
    names = [wording.place(item.country_iso_code, item.region) for item in items]
    if not names:
        return "It is unknown where this ran."
    return f"Infrastructure hosted in {'; '.join(names)}."


def energy_cell(item: Totals, most_kwh: float) -> Markup:
    """Make a table's cell of an energy: its band below it, and a bar to scale."""
    band = wording.energy_band(item.energy_kwh, item.energy_uncertainty)
    return elements.bar(wording.energy(item.energy_kwh), item.energy_kwh, most_kwh, band)


def emissions_cell(item: Totals) -> Markup:
    """Make a table's cell of emissions with their band below them."""
    band = wording.mass_band(item.emissions_kg, item.emissions_uncertainty)
    return elements.with_note(wording.mass(item.emissions_kg), band)


def _energy_band(energy_kwh: float | None, relative: float | None) -> list[str]:
    if energy_kwh is None:
        return []
    if relative is None:
        return ["uncertainty unknown"]
    band = wording.energy_band(energy_kwh, relative)
    return [f"{band} ({wording.percent(relative)}, {ONE_STDEV})"]


def _emissions_band(emissions_kg: float | None, relative: float | None) -> list[str]:
    if emissions_kg is None:
        return []
    if relative is None:
        return ["uncertainty unknown"]
    band = wording.mass_band(emissions_kg, relative)
    return [f"{band} ({wording.percent(relative)}); the grid's own is unknown"]


def _above_idle(energy_kwh: float | None, idle_kwh: float | None) -> list[str]:
    if energy_kwh is None or idle_kwh is None:
        return []
    return [f"{above_idle(energy_kwh, idle_kwh)} of it above idle"]


def above_idle(energy_kwh: float, idle_kwh: float) -> str:
    """Write the part of an energy that the same devices would not have drawn idle."""
    return wording.energy(max(energy_kwh - idle_kwh, 0.0))


def _idle_of_all(totals: Totals) -> float | None:
    """Return the idle part of all that was measured; None where one run does not know its own."""
    if totals.runs_without_idle_energy > totals.runs_without_energy:
        return None
    return totals.idle_energy_kwh


def _shares(run: Totals | RunFields) -> list[str]:
    parts = {"GPU": run.gpu_energy_kwh, "CPU": run.cpu_energy_kwh, "RAM": run.ram_energy_kwh}
    if not run.energy_kwh:
        return []
    shares = [
        f"{name} {'not measured' if part is None else wording.percent(part / run.energy_kwh)}"
        for name, part in parts.items()
    ]
    return [", ".join(shares)]


def _costs(summary: Summary) -> list[str]:
    notes = []
    for each in summary.costs:
        note = f"{wording.money(each.cost, each.currency)} for electricity, with PUE"
        if each.runs < summary.runs:
            note += f"; of {each.runs:,} of {wording.count(summary.runs, 'run')}"
        notes.append(note)
    return notes


def _market_of_all(totals: Totals) -> list[str]:
    if totals.market_emissions_kg is None:
        return []
    note = f"{wording.mass(totals.market_emissions_kg)} market-based"
    if without := totals.runs_without_market_emissions:
        note += f"; of {totals.runs - without:,} of {wording.count(totals.runs, 'run')}"
    return [note]


def _market(run: RunFields) -> list[str]:
    if run.market_emissions_kg is None:
        return []
    return [f"{wording.mass(run.market_emissions_kg)} market-based, at {market_intensity(run)}"]


def market_intensity(run: RunFields) -> str:
    """Write the intensity of what a run's electricity was bought as, and who says so."""
    source = "" if run.market_source is None else f" ({run.market_source})"
    return f"{wording.intensity(run.market_intensity_g_per_kwh)}{source}"


def _so_far(run: RunFields) -> list[str]:
    return ["so far: the run goes on"] if run.status == "running" else []


def _missing(runs: int, without: int) -> list[str]:
    if not 0 < without < runs:
        return []
    return [f"{without:,} of {wording.count(runs, 'run')} without a figure"]


def _why_no_emissions(run: RunFields) -> str:
    if run.energy_kwh is None:
        return "unknown, as no energy was measured"
    if run.country_iso_code is None:
        return NO_PLACE.replace("no run says where it ran", "its place is")
    return f"no intensity is known for {wording.place(run.country_iso_code, run.region)}"


def _place(item: PlaceTotals) -> str:
    if item.country_iso_code is None and item.region is None:
        return "An unknown place"
    return wording.place(item.country_iso_code, item.region)


def explain() -> None:
    """Tell how every figure on the page is made, for whoever wants to know."""
    with st.expander("How these numbers are made", icon=":material/info:"):
        elements.show(
            elements.facts(
                [
                    (
                        "Energy",
                        "What GPUs, CPUs and memory drew during the runs, before PUE. A GPU or CPU "
                        "counter is read where there is one; the rest is estimated, with a wide "
                        "band. Each run names the method of each component. Interrupted and failed "
                        "runs count: their energy was drawn.",
                    ),
                    (
                        "Uncertainty",
                        "± is one standard deviation. An error belongs to a GPU's own sensor, a "
                        "processor's counters or an estimate: those of different origin add up in "
                        "quadrature within a run. The same meter errs in the same way in every "
                        "run, so the band of a total does not shrink with the number of runs. "
                        "Emissions and equivalents carry the band of their energy; how far the "
                        "grid's intensity and the factors are off is not known.",
                    ),
                    (
                        "Above idle",
                        "The energy less what the same devices draw idle in the same time. Run "
                        "`carbon baseline` once on each machine, idle; later runs then show it.",
                    ),
                    (
                        "CO₂-equivalent",
                        "Energy × PUE × the grid's carbon intensity where the run was (location-"
                        "based scope 2). The source and year of each intensity stand beside it. "
                        "A market-based figure, of what the electricity was bought as, stands "
                        "below where one is known. "
                        "Where a run was is never guessed: unknown stays unknown.",
                    ),
                    (
                        "Equivalents",
                        "CO₂-equivalent divided by the published factor that stands below each.",
                    ),
                ]
            )
        )
