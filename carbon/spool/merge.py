"""From the parts of a run, one for each process, to its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, islice
from statistics import fmean
from typing import Any

from carbon import units
from carbon.schema import (
    Component,
    DeviceReport,
    EpochReport,
    NodeReport,
    RunReport,
    SeriesName,
    SeriesReport,
    Status,
)
from carbon.schema.fields import MAX_CONFIG, MAX_METRICS, MAX_TAGS
from carbon.spool import uncertainty
from carbon.spool.part import EpochEnded, Metered, Part
from carbon.spool.series import PartSeries
from carbon.spool.series_merge import merge_series
from carbon.spool.uncertainty import UNSEEN_UNCERTAINTY, Term

MAX_EPOCHS = 20_000
"""Epochs a report lists at most; what comes later counts in the run's totals alone. A report must
stay below the size that the API takes."""

_ENDED_BADLY: tuple[Status, ...] = ("failed", "interrupted")


def merge(parts: Sequence[Part], seq: int = 0, series: Sequence[PartSeries] = ()) -> RunReport:
    """Make one report of all parts of one run; the order of `parts` does not matter.

    Every meter belongs to exactly one part, so energies add up. What the parts say of the run as a
    whole is taken from its lead: the lowest rank of the last attempt. A `carbon run` around tracked
    processes is no rank: it measures, says how all of it ended, and what its command line says of
    the run wins.

    Args:
        parts: at least one.
        seq: the report's sequence number.
        series: what was recorded over time, where the report is to have it.
    """
    parts = sorted(parts, key=lambda p: (p.started.attempt, p.started.rank, p.started.pid))
    launchers = [p for p in parts if p.started.is_launcher]
    ranks = [p for p in parts if not p.started.is_launcher] or launchers
    last_attempt = ranks[-1].started.attempt
    current = [p for p in ranks if p.started.attempt == last_attempt]
    lead = current[0]
    descriptions = [p.described for p in [*current, *launchers] if p.described]
    committed = next((p.committed for p in [*current, *launchers] if p.committed), None)
    named = (p.run_by.user for p in [*current, *launchers] if p.run_by and p.run_by.user)
    started_at = min(p.started_at for p in parts)
    ended_at = max(p.started_at + timedelta(seconds=p.duration_s) for p in parts)
    status = _status(current, launchers)
    began_at: dict[str, datetime] = {}
    for part in sorted(parts, key=lambda p: p.started_at):
        began_at.setdefault(part.started.hostname, part.started_at)
    recorded = merge_series(series, began_at)
    nodes = [
        _node(
            hostname,
            attempt,
            list(group),
            recorded.get((attempt, hostname), []),
            lead.started.is_launcher,
        )
        for (attempt, hostname), group in groupby(sorted(parts, key=_node_key), key=_node_key)
    ]
    energy = _add([_energies(p) for p in parts])
    place = dict(descriptions[0].place) if descriptions else {}
    return RunReport.model_validate(
        {
            **_spec(lead, launchers),
            **place,
            **energy,
            "run_id": lead.run_id,
            "seq": seq,
            "status": status,
            "started_at": started_at,
            "ended_at": None if status == "running" else ended_at,
            "duration_s": (ended_at - started_at).total_seconds(),
            "world_size": _workers(current, launchers),
            "n_nodes": max(p.started.n_nodes for p in current),
            "attempts": last_attempt + 1,
            "emissions_kg": units.known_emissions_kg(
                energy["energy_kwh"], place.get("pue", 1.0), place.get("intensity_g_per_kwh")
            ),
            "metrics": _last_metrics(current),
            "software": {k: v for d in reversed(descriptions) for k, v in d.software.items()},
            "user": next(named, None),
            "git_commit": committed.git_commit if committed else None,
            "nodes": nodes,
            "epochs": _epochs(ranks, launchers),
        }
    )


def _workers(current: Sequence[Part], launchers: Sequence[Part]) -> int:
    """Return how many workers the run has: as a command line says, else as those inside know."""
    said = [p.started.workers for p in launchers if p.started.workers is not None]
    return said[0] if said else max(p.started.world_size for p in current)


def _node_key(part: Part) -> tuple[int, str]:
    return part.started.attempt, part.started.hostname


def _status(current: Sequence[Part], launchers: Sequence[Part]) -> Status:
    """Say how a run stands: badly as soon as one rank ended badly, else as its lead.

    Under `carbon run`, its command's exit decides, and a rank that failed fails the run all the
    same. One that was killed has left its command running.
    """
    if not launchers:
        return _worst(current)
    last_attempt = launchers[-1].started.attempt
    status = _worst([p for p in launchers if p.started.attempt == last_attempt])
    if status == "completed" and any(p.status == "failed" for p in current):
        return "failed"
    if status == "interrupted" and any(p.status == "running" for p in current):
        return "running"
    return status


def _worst(parts: Sequence[Part]) -> Status:
    statuses = {p.status for p in parts}
    return next((bad for bad in _ENDED_BADLY if bad in statuses), parts[0].status)


def _spec(lead: Part, launchers: Sequence[Part]) -> dict[str, Any]:
    """Return what is said of the run: on the command line of `carbon run` first, then inside it."""
    spec: dict[str, Any] = {}
    for part in [*launchers, lead]:
        for key, value in part.started.spec.items():
            known = spec.get(key)
            if isinstance(value, dict):
                most = {"tags": MAX_TAGS, "config": MAX_CONFIG}.get(key)
                spec[key] = dict(islice({**(known or {}), **value, **(known or {})}.items(), most))
            elif known is None:
                spec[key] = value
    return spec


def _last_metrics(current: Sequence[Part]) -> dict[str, float | None]:
    """Return the last value of each metric; of several ranks', the lowest rank's."""
    ordered = sorted(current, key=lambda p: (-p.started.rank, p.started_at))
    found = {name: value for part in ordered for name, value in part.metrics.items()}
    return dict(islice(found.items(), MAX_METRICS))


def _node(
    hostname: str,
    attempt: int,
    parts: Sequence[Part],
    series: Sequence[SeriesReport],
    of_launchers: bool,
) -> NodeReport:
    processors = (m.name for p in parts for m in p.meters.values() if m.component == "cpu")
    return NodeReport.model_validate(
        {
            **_add([_energies(p) for p in parts]),
            "hostname": hostname,
            "attempt": attempt,
            "ranks": sorted(
                {p.started.rank for p in parts if p.started.is_launcher is of_launchers}
            ),
            "cpu_model": next(processors, None),
            "devices": _devices(parts),
            "profiles": [p.profiled.profile for p in parts if p.profiled],
            "series_means": _means(series),
            "series": series,
        }
    )


def _means(series: Sequence[SeriesReport]) -> dict[SeriesName, float]:
    """Return the mean of each of the host's series over the stretches of time that it covers."""
    covered = {
        one.name: [value for value in one.values if value is not None]
        for one in series
        if one.device_uuid is None
    }
    return {name: fmean(values) for name, values in covered.items() if values}


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
            known += _terms(part, meter, energy_j)
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
    terms: list[Term]


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
                _terms(part, meter, kwh),
            )
        )
    return found


def _terms(part: Part, meter: Metered, energy: float) -> list[Term]:
    """Divide what a meter says into what it saw and what was drawn before it was read first."""
    covered_s = part.sampled.at_s
    unseen = energy * min(meter.unseen_s / covered_s, 1.0) if covered_s > 0 else 0.0
    terms = [Term(_source(part, meter), energy - unseen, meter.uncertainty)]
    if unseen:
        beginning = f"beginning of {part.started.part_name}"
        terms.append(Term(beginning, unseen, UNSEEN_UNCERTAINTY))
    return terms


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
        fields[f"{component}_energy_uncertainty"] = _uncertainty(own)
    fields["energy_kwh"] = units.add_known(
        [fields[f"{component}_energy_kwh"] for component in ("gpu", "cpu", "ram")]
    )
    fields["energy_uncertainty"] = _uncertainty(everything)
    if all(e.idle_kwh is not None for e in everything):
        fields["idle_energy_kwh"] = units.add_known([e.idle_kwh for e in everything])
    return fields


def _uncertainty(energies: Sequence[_Energy]) -> float | None:
    return uncertainty.of_sum(term for energy in energies for term in energy.terms)


def _epochs(ranks: Sequence[Part], launchers: Sequence[Part]) -> list[EpochReport]:
    """Bring the ranks' epochs together: the lowest rank's clock and metrics, all meters' energy."""
    found: dict[tuple[int, int], list[tuple[Part, EpochEnded]]] = {}
    for first, parts in _generations(ranks):
        for part in parts:
            for epoch in part.epochs.values():
                number = part.started.attempt, first + epoch.index
                found.setdefault(number, []).append((part, epoch))
    return [
        EpochReport(
            index=index,
            attempt=attempt,
            duration_s=round(epochs[0][1].duration_s, units.TIME_DECIMALS),
            energy_kwh=units.add_known(
                [
                    None if j is None else units.kwh_from_joules(j)
                    for j in _shares(epochs, launchers)
                ]
            ),
            metrics=epochs[0][1].metrics,
        )
        for (attempt, index), epochs in islice(sorted(found.items()), MAX_EPOCHS)
    ]


def _shares(
    epochs: Sequence[tuple[Part, EpochEnded]], launchers: Sequence[Part]
) -> list[float | None]:
    """Return the joules of an epoch by whoever measured them; a launcher counts one rank's."""
    shares = [epoch.energy_j for _, epoch in epochs]
    for launcher in launchers:
        said = (launcher.measured.get((p.started.part_name, e.index)) for p, e in epochs)
        shares.append(next((measured.energy_j for measured in said if measured), None))
    return shares


def _generations(ranks: Sequence[Part]) -> list[tuple[int, list[Part]]]:
    """Group the parts that were there together, each group with the number of its first epoch.

    Programs that `carbon run` starts one after the other, and the tracks of one process, begin to
    count anew; in the run their epochs follow on each other.
    """
    groups: dict[tuple[int, int], list[Part]] = {}
    seen: dict[tuple[int, str, int], int] = {}
    for part in sorted(ranks, key=lambda p: p.started_at):
        place = part.started.attempt, part.started.hostname, part.started.rank
        seen[place] = seen.get(place, -1) + 1
        groups.setdefault((part.started.attempt, seen[place]), []).append(part)
    numbered = []
    next_index: dict[int, int] = {}
    for (attempt, _), parts in sorted(groups.items(), key=lambda item: item[0]):
        first = next_index.get(attempt, 0)
        last = max((index for part in parts for index in part.epochs), default=-1)
        next_index[attempt] = first + last + 1
        numbered.append((first, sorted(parts, key=lambda p: (p.started.rank, p.started.pid))))
    return numbered
