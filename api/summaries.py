"""What a project, or everything, adds up to: from the tallies to the wire."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import Connection

from api import runs
from api.tally import Tally, tallies
from carbon.countries import country_name
from carbon.equivalents import equivalents
from carbon.schema import PlaceTotals, ProjectTotals, Status, Summary

_Groups = list[tuple[Any, Tally]]


def summary(connection: Connection, project: str | None) -> Summary:
    """Sum up a project's runs, or all. A project without runs gets an answer of zero runs."""
    groups = tallies(
        connection,
        "status",
        "country_iso_code",
        "region",
        "intensity_source",
        "intensity_year",
        project=project,
    )
    totals = _added(tally for _, tally in groups).totals()
    last_run = runs.last(connection, project)
    return Summary(
        **dict(totals),
        project=project,
        runs_by_status={
            status: sum(tally.runs for row, tally in groups if row.status == status)
            for status in get_args(Status)
        },
        places=_places(groups),
        last_run=last_run,
        equivalents=equivalents(totals.emissions_kg, totals.emissions_uncertainty),
        last_run_equivalents=(
            equivalents(last_run.emissions_kg, last_run.energy_uncertainty) if last_run else []
        ),
    )


def projects(connection: Connection) -> list[ProjectTotals]:
    """Sum up every project, the one with the newest run first."""
    listed = [
        ProjectTotals(**dict(tally.totals()), project=row.project)
        for row, tally in tallies(connection, "project")
    ]
    listed.sort(key=lambda line: line.project)
    return sorted(listed, key=_last_run_at, reverse=True)


def _last_run_at(line: ProjectTotals) -> datetime:
    assert line.last_run_at is not None  # A project is listed because it has a run.
    return line.last_run_at


def _places(groups: _Groups) -> list[PlaceTotals]:
    """Join the groups of each place, the one that drew most first and the unknown one last."""
    by_place: dict[tuple[str | None, str | None], _Groups] = defaultdict(list)
    for row, tally in groups:
        by_place[row.country_iso_code, row.region].append((row, tally))
    places = [_place(country, region, parts) for (country, region), parts in by_place.items()]
    return sorted(
        places,
        key=lambda place: (
            place.country_iso_code is None,
            place.energy_kwh is None,
            -(place.energy_kwh or 0.0),
            place.country_iso_code or "",
            place.region or "",
        ),
    )


def _place(country: str | None, region: str | None, parts: _Groups) -> PlaceTotals:
    tally = _added(part for _, part in parts)
    sources = {row.intensity_source for row, _ in parts} - {None}
    years = {row.intensity_year for row, _ in parts} - {None}
    return PlaceTotals(
        **dict(tally.totals()),
        country_iso_code=country,
        country_name=country_name(country) if country else None,
        region=region,
        intensity_g_per_kwh=tally.means["intensity_g_per_kwh"].value(),
        intensity_source="; ".join(sorted(sources)) or None,
        intensity_year=years.pop() if len(years) == 1 else None,
    )


def _added(parts: Iterable[Tally]) -> Tally:
    return sum(parts, start=Tally())
