"""From the parts of a run, one for each process, to its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from carbon import uncertainty, units
from carbon.part import EpochEnded, Metered, Part
from carbon.schema import (
    Component,
    DeviceReport,
    EpochReport,
    NodeReport,
    RunReport,
    SeriesReport,
    Status,
)
from carbon.series import PartSeries
from carbon.series_merge import merge_series
from carbon.uncertainty import Term

_ENDED_BADLY: tuple[Status, ...] = ("failed", "interrupted")


def merge(parts: Sequence[Part], seq: int = 0, series: Sequence[PartSeries] = ()) -> RunReport:
    """Make one report of all parts of one run; the order of `parts` does not matter.

    Every meter belongs to exactly one part, so energies add up. What the parts say of the run as a
    whole is taken from its lead: the lowest rank of the last attempt.

    Args:
        parts: at least one.
        seq: the report's sequence number.
        series: what was recorded over time, where the report is to have it.
    """
    parts = sorted(parts, key=lambda p: (p.started.attempt, p.started.rank, p.started.pid))
    last_attempt = parts[-1].started.attempt
    current = [p for p in parts if p.started.attempt == last_attempt]
    lead = current[0]
    described = next((p.described for p in current if p.described), None)
    committed = next((p.committed for p in current if p.committed), None)
    started_at = min(p.started_at for p in parts)
    ended_at = max(p.started_at + timedelta(seconds=p.duration_s) for p in parts)
    status = _status(current)
    began_at: dict[str, datetime] = {}
    for part in sorted(parts, key=lambda p: p.started_at):
        began_at.setdefault(part.started.hostname, part.started_at)
    recorded = merge_series(series, began_at)
    nodes = [
        _node(hostname, attempt, list(group), recorded.get((attempt, hostname), []))
        for (attempt, hostname), group in groupby(sorted(parts, key=_node_key), key=_node_key)
    ]
    energy = _add([_energies(p) for p in parts])
    place = dict(described.place) if described else {}
    intensity = place.get("intensity_g_per_kwh")
    emissions_kg = None
    if energy["energy_kwh"] is not None and intensity is not None:
        emissions_kg = units.emissions_kg(energy["energy_kwh"], place.get("pue", 1.0), intensity)
    return RunReport.model_validate(
        {
            **lead.started.spec,
            **place,
            **energy,
            "run_id": lead.run_id,
            "seq": seq,
            "status": status,
            "started_at": started_at,
            "ended_at": None if status == "running" else ended_at,
            "duration_s": (ended_at - started_at).total_seconds(),
            "world_size": lead.started.world_size,
            "n_nodes": lead.started.n_nodes,
            "attempts": last_attempt + 1,
            "emissions_kg": emissions_kg,
            "metrics": {k: v for p in reversed(current) for k, v in p.metrics.items()},
            "software": described.software if described else {},
            "git_commit": committed.git_commit if committed else None,
            "nodes": nodes,
            "epochs": _epochs(parts),
        }
    )


def _node_key(part: Part) -> tuple[int, str]:
    return part.started.attempt, part.started.hostname


def _status(current: Sequence[Part]) -> Status:
    """Say how a run stands: badly as soon as one rank ended badly, else as its lead."""
    statuses = {p.status for p in current}
    for bad in _ENDED_BADLY:
        if bad in statuses:
            return bad
    return current[0].status


def _node(
    hostname: str, attempt: int, parts: Sequence[Part], series: Sequence[SeriesReport]
) -> NodeReport:
    processors = (m.name for p in parts for m in p.meters.values() if m.component == "cpu")
    return NodeReport.model_validate(
        {
            **_add([_energies(p) for p in parts]),
            "hostname": hostname,
            "attempt": attempt,
            "ranks": sorted({p.started.rank for p in parts}),
            "cpu_model": next(processors, None),
            "devices": _devices(parts),
            "series": series,
        }
    )


def _devices(parts: Sequence[Part]) -> list[DeviceReport]:
    """Report each accelerator once, also where one rank measured it after another had left."""
    found: dict[str, list[tuple[Part, Metered]]] = {}
    for part in parts:
        for meter in part.meters.values():
            if meter.uuid is not None:
                found.setdefault(meter.uuid, []).append((part, meter))
    devices = [_device(uuid, shares) for uuid, shares in found.items()]
    return sorted(devices, key=lambda device: (device.index or 0, device.uuid))


def _device(uuid: str, shares: Sequence[tuple[Part, Metered]]) -> DeviceReport:
    energies: list[float | None] = []
    known: list[Term] = []
    utilizations: list[tuple[float, float]] = []
    for part, meter in shares:
        energy_j = part.sampled.energy_j.get(meter.key)
        energies.append(None if energy_j is None else units.kwh_from_joules(energy_j))
        if energy_j is not None:
            known.append(Term(_source(part, meter), energy_j, meter.uncertainty))
        if (percent := part.sampled.utilization_percent.get(meter.key)) is not None:
            utilizations.append((percent, part.sampled.at_s))
    covered_s = sum(at_s for _, at_s in utilizations)
    first = shares[0][1]
    return DeviceReport(
        uuid=uuid,
        index=first.index,
        name=first.name,
        energy_kwh=units.add_known(energies),
        energy_method="+".join(sorted({meter.method for _, meter in shares})),
        energy_uncertainty=uncertainty.of_sum(known),
        mean_utilization_percent=(
            sum(percent * at_s for percent, at_s in utilizations) / covered_s if covered_s else None
        ),
        note="; ".join(p.sampled.notes[m.key] for p, m in shares if m.key in p.sampled.notes)
        or None,
    )


@dataclass(frozen=True)
class _Energy:
    """What one meter contributes."""

    component: Component
    method: str
    kwh: float
    idle_kwh: float | None
    """What its device would have drawn idle, None where that was never measured."""
    term: Term


def _energies(part: Part) -> list[_Energy]:
    found = []
    for key, energy_j in part.sampled.energy_j.items():
        meter = part.meters.get(key)
        if meter is None:
            continue
        kwh = units.kwh_from_joules(energy_j)
        idle_j = part.sampled.idle_j.get(key)
        found.append(
            _Energy(
                meter.component,
                meter.method,
                kwh,
                None if idle_j is None else units.kwh_from_joules(idle_j),
                Term(_source(part, meter), kwh, meter.uncertainty),
            )
        )
    return found


def _source(part: Part, meter: Metered) -> str:
    return uncertainty.source_of(meter.component, meter.method, part.started.hostname, meter.uuid)


def _add(contributions: Sequence[list[_Energy]]) -> dict[str, Any]:
    """Add meters up to the fields of a `ComponentEnergy`; a component nobody measured is None."""
    everything = [energy for part in contributions for energy in part]
    fields: dict[str, Any] = {}
    for component in ("gpu", "cpu", "ram"):
        own = [e for e in everything if e.component == component]
        fields[f"{component}_energy_kwh"] = units.add_known([e.kwh for e in own])
        fields[f"{component}_energy_method"] = "+".join(sorted({e.method for e in own})) or None
        fields[f"{component}_energy_uncertainty"] = uncertainty.of_sum(e.term for e in own)
    fields["energy_kwh"] = units.add_known(
        [fields[f"{component}_energy_kwh"] for component in ("gpu", "cpu", "ram")]
    )
    fields["energy_uncertainty"] = uncertainty.of_sum(e.term for e in everything)
    if all(e.idle_kwh is not None for e in everything):
        fields["idle_energy_kwh"] = units.add_known([e.idle_kwh for e in everything])
    return fields


def _epochs(parts: Sequence[Part]) -> list[EpochReport]:
    """Bring the ranks' epochs together: the lowest rank's clock and metrics, all ranks' energy."""
    found: dict[tuple[int, int], list[EpochEnded]] = {}
    for part in parts:  # in order of attempt and rank
        for epoch in part.epochs.values():
            found.setdefault((part.started.attempt, epoch.index), []).append(epoch)
    return [
        EpochReport(
            index=index,
            attempt=attempt,
            duration_s=epochs[0].duration_s,
            energy_kwh=units.add_known(
                [None if e.energy_j is None else units.kwh_from_joules(e.energy_j) for e in epochs]
            ),
            metrics=epochs[0].metrics,
        )
        for (attempt, index), epochs in sorted(found.items())
    ]
