"""The details of one run."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from carbon import wording
from carbon.errors import ApiRejectedError
from carbon.palette import BLUE, VERMILLION
from carbon.schema import ComponentEnergy, NodeReport, RunFields, RunReport
from ui import data, drawing, elements, frames, refresh
from ui.address import choose
from ui.charts.history import epochs_chart, metric_chart
from ui.folding import folded
from ui.pages import series, totals

METRICS_AT_MOST = 4
DEVICES_UNFOLDED = 8
RAW_CHARACTERS_AT_MOST = 200_000
_SERIES = {"nodes": {"__all__": {"series"}}}
_COMPONENTS = ("gpu", "cpu", "ram")


def render(project: str, runs: Sequence[RunFields]) -> None:
    """Show the section: a selector over the newest runs, and the selected run."""
    with st.container(key="run-details"):
        elements.show(elements.heading("One run in detail"))
        labels = {str(run.run_id): frames.run_label(run) for run in runs} | _linked(project, runs)
        chosen = choose("Run", labels, "run", width_px=520)
        _show(data.run(UUID(chosen)))


def _linked(project: str, runs: Sequence[RunFields]) -> dict[str, str]:
    """Return the run that the address names, where it is not among the newest ones."""
    wanted = st.query_params.get("run")
    if not wanted or wanted in {str(run.run_id) for run in runs}:
        return {}
    try:
        found = data.run(UUID(wanted))
    except (ValueError, ApiRejectedError):
        found = None
    if found is None or found.project != project:
        elements.show(
            elements.paragraph(
                f"The address names run {wanted}, which this project does not have; here is the "
                "newest run instead.",
                "warning",
            )
        )
        return {}
    return {str(found.run_id): frames.run_label(found)}


def _show(run: RunReport) -> None:
    refresh.following(
        lambda: _figures(data.run(run.run_id)), run.status, is_running=run.status == "running"
    )
    refresh.following(
        lambda: _charts(data.run(run.run_id)), run.status, is_running=run.status == "running"
    )
    series.render(run)
    refresh.following(
        lambda: _parts(data.run(run.run_id)), run.status, is_running=run.status == "running"
    )
    with st.container(key="run-facts"):
        elements.show(
            elements.columns(
                [
                    ("About the run", _about(run)),
                    ("Last metrics", [(k, wording.number(v)) for k, v in run.metrics.items()]),
                    ("Configuration", [(k, _plain(v)) for k, v in run.config.items()]),
                    ("Tags", list(run.tags.items())),
                    ("Software", list(run.software.items())),
                ]
            )
        )
    folded("Raw report", ":material/data_object:", "raw-report", lambda: _raw(run))


def _figures(run: RunReport) -> str:
    """Show what the run drew, and return its status."""
    elements.show(
        elements.status_line(run.status, run.name or frames.run_label(run)),
        elements.figures(totals.run_figures(run, "run")),
        _components(run),
    )
    return run.status


def _parts(run: RunReport) -> str:
    """Show what each node and device drew, and return the run's status.

    Many devices stay folded: each is several lines high on a narrow screen.
    """
    elements.show(elements.subheading("Nodes and devices"), _nodes(run.nodes))
    tables = [_devices(node) for node in run.nodes if node.devices]
    devices = sum(len(node.devices) for node in run.nodes)
    if 0 < devices <= DEVICES_UNFOLDED:
        elements.show(*tables)
    elif devices:
        with st.expander(f"{devices:,} devices", icon=":material/memory:"):
            elements.show(*tables)
    return run.status


def _components(run: RunReport) -> elements.Markup:
    rows = []
    for part in _COMPONENTS:
        energy_kwh = getattr(run, f"{part}_energy_kwh")
        relative = getattr(run, f"{part}_energy_uncertainty")
        rows.append(
            [
                elements.text(part.upper()),
                elements.text(
                    wording.energy(energy_kwh) if energy_kwh is not None else "not measured"
                ),
                elements.text(_band(energy_kwh, relative)),
                elements.text(wording.method(getattr(run, f"{part}_energy_method"))),
            ]
        )
    return elements.table(
        "components",
        ["Component", "Energy", "Uncertainty", "How it was measured"],
        rows,
        numeric=[1, 2],
    )


def _band(energy_kwh: float | None, relative: float | None) -> str:
    if energy_kwh is None or relative is None:
        return "–" if energy_kwh is None else wording.uncertainty(None)
    share = wording.percent(relative).replace(" ", elements.NO_BREAK)
    return f"{wording.energy_band(energy_kwh, relative)} ({share})"


def _above_idle(part: ComponentEnergy) -> str:
    if part.energy_kwh is None:
        return "–"
    if part.idle_energy_kwh is None:
        return "unknown"
    return totals.above_idle(part.energy_kwh, part.idle_energy_kwh)


def _charts(run: RunReport) -> str:
    """Show the epochs so far, and return the run's status."""
    if not run.epochs:
        elements.show(
            elements.instruction(
                "No epochs were recorded: wrap the loop in `run.epochs(…)` to see them.", "note"
            )
        )
        return run.status
    elements.show(elements.subheading(f"{wording.count(len(run.epochs), 'epoch').capitalize()}"))
    metrics = frames.metrics(run.epochs)
    names = list(dict.fromkeys(metrics["metric"]))
    shown = names[:METRICS_AT_MOST]
    drawn = [epochs_chart(frames.epochs(run.epochs))]
    drawn += [
        metric_chart(metrics, name, color)
        for name, color in zip(shown, (BLUE, VERMILLION) * 2, strict=False)
    ]
    told = [f"{name} of each epoch" for name in ("What was drawn or taken", *shown)]
    keys = [f"epoch-chart-{position}" for position in range(len(drawn))]
    with st.container(key="epoch-charts"):
        drawing.draw_in_rows(list(zip(drawn, keys, told, strict=True)))
    if len(names) > len(shown):
        hidden = ", ".join(names[len(shown) :])
        elements.show(
            elements.paragraph(f"Also logged, in the raw report below: {hidden}.", "caption")
        )
    return run.status


def _nodes(nodes: Sequence[NodeReport]) -> elements.Markup:
    if not nodes:
        return elements.paragraph("No node has reported yet.")
    rows = [
        [
            elements.with_note(node.hostname, node.cpu_model or "unknown CPU"),
            elements.text(str(node.attempt + 1)),
            elements.text(_ranks(node.ranks)),
            elements.text(wording.energy(node.energy_kwh)),
            elements.text(_band(node.energy_kwh, node.energy_uncertainty)),
            elements.text(_above_idle(node)),
        ]
        for node in nodes
    ]
    columns = ["Node", "Attempt", "Ranks", "Energy", "Uncertainty", "Above idle"]
    return elements.table("nodes", columns, rows, numeric=range(1, 6))


def _devices(node: NodeReport) -> elements.Markup:
    rows = [
        [
            elements.with_note(
                device.name or "unnamed device",
                f"{node.hostname}, {device.uuid}" + (f" — {device.note}" if device.note else ""),
            ),
            elements.text(wording.energy(device.energy_kwh)),
            elements.text(_band(device.energy_kwh, device.energy_uncertainty)),
            elements.text(wording.method(device.energy_method)),
            elements.text(
                "unknown"
                if device.mean_utilization_percent is None
                else wording.percent(device.mean_utilization_percent / 100)
            ),
        ]
        for device in node.devices
    ]
    columns = ["Device", "Energy", "Uncertainty", "How it was measured", "Mean utilisation"]
    return elements.table("devices", columns, rows, numeric=[1, 2, 4])


def _raw(run: RunReport) -> None:
    has_series = any(node.series for node in run.nodes)
    whole = run.model_dump_json() if has_series else run.model_dump_json(indent=2)
    report = run.model_dump_json(indent=2, exclude=_SERIES) if has_series else whole
    st.download_button(
        "Download as JSON", whole, f"{run.run_id}.json", "application/json", on_click="ignore"
    )
    if has_series:
        elements.show(elements.paragraph("Below without its series; the download has them."))
    if len(report) <= RAW_CHARACTERS_AT_MOST:
        st.code(report, language="json", height=400, wrap_lines=True)
    else:
        elements.show(elements.paragraph("Too long to show here; the download has all of it."))


def _about(run: RunReport) -> list[tuple[str, str]]:
    place = wording.place(run.country_iso_code, run.region)
    return [
        ("Started", wording.moment(run.started_at)),
        ("Ended", wording.moment(run.ended_at) if run.ended_at else "not yet, or not known"),
        ("Strategy", run.strategy or "not given"),
        ("Workers", f"{run.world_size:,} on {wording.count(run.n_nodes, 'node')}"),
        ("Attempts", f"{run.attempts}"),
        *([("Goes on from run", str(run.resumed_from))] if run.resumed_from else []),
        ("Study", run.study or "none"),
        ("User", run.user or "unknown"),
        ("Place", place),
        (
            "Carbon intensity",
            f"{wording.intensity(run.intensity_g_per_kwh)} "
            f"({wording.source(run.intensity_source, run.intensity_year)})"
            if run.intensity_g_per_kwh is not None
            else "unknown",
        ),
        *(
            [("Market-based intensity", totals.market_intensity(run))]
            if run.market_intensity_g_per_kwh is not None
            else []
        ),
        ("PUE", wording.number(run.pue)),
        ("Energy above idle", _idle_fact(run)),
        ("Git commit", run.git_commit or "unknown"),
        ("Run id", str(run.run_id)),
    ]


def _idle_fact(run: RunReport) -> str:
    if run.energy_kwh is None:
        return "unknown, as no energy was measured"
    if run.idle_energy_kwh is None:
        return "unknown: no baseline of its machine; run carbon baseline there while it is idle"
    return (
        f"{_above_idle(run)} of {wording.energy(run.energy_kwh)}; "
        f"idle, the same devices draw {wording.energy(run.idle_energy_kwh)} in that time"
    )


def _ranks(ranks: Sequence[int]) -> str:
    if not ranks:
        return "unknown"
    contiguous = len(ranks) > 2 and list(ranks) == list(range(ranks[0], ranks[0] + len(ranks)))
    return f"{ranks[0]}–{ranks[-1]}" if contiguous else ", ".join(str(rank) for rank in ranks)


def _plain(value: str | int | float | bool | None) -> str:
    return "unknown" if value is None else str(value)
