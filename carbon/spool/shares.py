"""From the shares of a run, one from each node, to the report of all of it."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from carbon import units
from carbon.schema import Component, ComponentEnergy, EpochReport, RunReport, Status
from carbon.spool.uncertainty import Term, of_sum, source_of

_ENDED_BADLY: tuple[Status, ...] = ("failed", "interrupted")
_COMPONENTS: tuple[Component, ...] = ("gpu", "cpu", "ram")
_HIGHEST_SEQ = 2_000_000_000


def counted(reports: Iterable[RunReport]) -> list[RunReport]:
    """Return those of a run's reports that make it up, so that nothing counts twice.

    Shares of different nodes have nothing in common and all count. A report of the whole run (its
    `reporter` is None) holds what its nodes drew in its attempts. It is left out where shares tell
    of all of these; else it counts, and the shares of the same nodes and attempts are left out.
    The order of `reports` does not matter, nor which of them came first.

    Args:
        reports: at most one of each `reporter`.
    """
    listed = list(reports)
    shares = [report for report in listed if report.reporter is not None]
    told = {key for share in shares for key in _covered(share)}
    for report in listed:
        if report.reporter is None and (not shares or not _covered(report) <= told):
            return [report, *(share for share in shares if not _covered(share) & _covered(report))]
    return shares


def merge_reports(reports: Sequence[RunReport]) -> RunReport:
    """Make one report of the whole run of reports that have nothing in common.

    Energies add up. What the reports say of the run as a whole (its place and PUE too) is taken
    from the lead: the one with the lowest rank of the last attempt. The sequence number is the sum
    of all, so that it grows with each of them. A single report comes back as it is, with `reporter`
    None; the order of `reports` does not matter.

    Args:
        reports: at least one; see `counted`.

    Raises:
        ValueError: together they make no valid report: more energy than a report holds, say.
    """
    if len(reports) == 1:
        return reports[0].model_copy(update={"reporter": None})
    reports = sorted(reports, key=_lead_first)
    lead = reports[0]
    current = [report for report in reports if report.attempts == lead.attempts]
    status = _status(current)
    started_at = min(report.started_at for report in reports)
    ended_at = max(_last_moment(report) for report in reports)
    energy = _add(reports)
    intervals = [r.live_interval_s for r in current if r.live_interval_s is not None]
    return RunReport.model_validate(
        {
            **{name: getattr(lead, name) for name in RunReport.model_fields},
            **energy,
            "reporter": None,
            "seq": min(sum(report.seq for report in reports), _HIGHEST_SEQ),
            "status": status,
            "started_at": started_at,
            "ended_at": None if status == "running" else ended_at,
            "duration_s": (ended_at - started_at).total_seconds(),
            "n_nodes": max(report.n_nodes for report in current),
            "emissions_kg": units.known_emissions_kg(
                energy["energy_kwh"], lead.pue, lead.intensity_g_per_kwh
            ),
            "market_emissions_kg": units.known_emissions_kg(
                energy["energy_kwh"], lead.pue, lead.market_intensity_g_per_kwh
            ),
            "metrics": {k: v for report in reversed(current) for k, v in report.metrics.items()},
            "user": next((r.user for r in current if r.user), None),
            "git_commit": next((r.git_commit for r in current if r.git_commit), None),
            "live_interval_s": max(intervals) if intervals and status == "running" else None,
            "nodes": sorted(
                (node for report in reports for node in report.nodes),
                key=lambda node: (node.attempt, node.hostname),
            ),
            "epochs": _epochs(reports),
        }
    )


def interrupted(report: RunReport) -> RunReport:
    """Return the report of a running run of which nothing was heard any more.

    It ended, as far as is known, when it was last heard of.
    """
    return report.model_copy(
        update={
            "status": "interrupted",
            "ended_at": _last_moment(report),
            "live_interval_s": None,
        }
    )


def _covered(report: RunReport) -> set[tuple[str, int]]:
    return {(node.hostname, node.attempt) for node in report.nodes}


def _lead_first(report: RunReport) -> tuple[int, int, str]:
    ranks = [r for node in report.nodes if node.attempt == report.attempts - 1 for r in node.ranks]
    return -report.attempts, min(ranks, default=_HIGHEST_SEQ), report.reporter or ""


def _last_moment(report: RunReport) -> datetime:
    return report.ended_at or report.started_at + timedelta(seconds=report.duration_s)


def _status(current: Sequence[RunReport]) -> Status:
    """Say how a run stands: badly as soon as one node ended badly, completed when all have."""
    statuses = {report.status for report in current}
    for bad in _ENDED_BADLY:
        if bad in statuses:
            return bad
    return "running" if "running" in statuses else "completed"


def _add(reports: Sequence[RunReport]) -> dict[str, Any]:
    """Add up every field of a `ComponentEnergy`."""
    fields: dict[str, Any] = {}
    for name in ComponentEnergy.model_fields:
        values = [getattr(report, name) for report in reports]
        if name.endswith("energy_kwh"):
            fields[name] = units.add_known(values)
        elif name.endswith("_method"):
            methods = {method for value in values if value for method in value.split("+")}
            fields[name] = "+".join(sorted(methods)) or None
    by_component = [fields[f"{component}_energy_kwh"] for component in _COMPONENTS]
    parts_kwh = units.add_known(by_component)
    if parts_kwh is not None and not math.isclose(parts_kwh, fields["energy_kwh"], rel_tol=1e-9):
        # A node told its total only: what the others say by component is not the run's.
        fields |= {f"{component}_energy_kwh": None for component in _COMPONENTS}
    for component in _COMPONENTS:
        fields[f"{component}_energy_uncertainty"] = of_sum(_terms(reports, component))
    fields["energy_uncertainty"] = _uncertainty_of_total(reports)
    return fields


def _terms(reports: Sequence[RunReport], component: Component) -> list[Term]:
    """Return what the nodes drew of a component, as far as its uncertainty is known too."""
    terms = []
    for report in reports:
        energy_kwh = getattr(report, f"{component}_energy_kwh")
        relative = getattr(report, f"{component}_energy_uncertainty")
        if energy_kwh is not None and relative is not None:
            method = getattr(report, f"{component}_energy_method") or ""
            node = report.reporter or "the whole run"
            boards = f"of {node}" if component == "gpu" else None
            terms.append(Term(source_of(component, method, node, boards), energy_kwh, relative))
    return terms


def _uncertainty_of_total(reports: Sequence[RunReport]) -> float | None:
    """Combine the bands of the nodes' totals.

    The part of a total's error that comes from models is the same on every node; how large it is
    shows in the components. Where one report lacks these, everything is taken to be one source's,
    which is never too small.
    """
    terms = [term for component in _COMPONENTS for term in _terms(reports, component)]
    known = [r for r in reports if r.energy_kwh is not None and r.energy_uncertainty is not None]
    split_kwh = sum(term.energy for term in terms)
    total_kwh = sum(report.energy_kwh or 0.0 for report in known)
    if math.isclose(split_kwh, total_kwh, rel_tol=1e-9):
        return of_sum(terms)
    return of_sum(Term("all", r.energy_kwh or 0.0, r.energy_uncertainty or 0.0) for r in known)


def _epochs(reports: Sequence[RunReport]) -> list[EpochReport]:
    """Bring the nodes' epochs together: the lead's clock and metrics, all nodes' energy."""
    found: dict[tuple[int, int], list[EpochReport]] = {}
    for report in reports:  # the lowest rank first
        for epoch in report.epochs:
            found.setdefault((epoch.attempt, epoch.index), []).append(epoch)
    return [
        shares[0].model_copy(
            update={"energy_kwh": units.add_known([share.energy_kwh for share in shares])}
        )
        for _, shares in sorted(found.items())
    ]
