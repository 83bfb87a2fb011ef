"""What a project, or everything, adds up to: from the sums to the wire."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from api import rollups, runs
from api.access import Access
from api.prices import costs_of_tally
from api.rollups import Total
from api.sums import Tally
from api.tables import DAYS, EVERYTHING
from carbon.countries import country_name
from carbon.equivalents import equivalents
from carbon.schema import PlaceTotals, Price, ProjectTotals, StudyTotals, Summary, Totals


def summary(
    connection: Connection,
    access: Access,
    project: str | None,
    default_price: Price | None = None,
) -> Summary:
    """Sum up a project's runs, or all that are there for this access.

    A project without runs gets an answer of zero runs. What a project's energy cost comes with it;
    `default_price` is for where the ledger knows no price.
    """
    among = access.among([] if project is None else [project])
    groups = rollups.totals(connection, [EVERYTHING] if among is None else among)
    tally = _added(groups)
    totals = tally.totals()
    last_run = runs.last(connection, among)
    return Summary(
        **dict(totals),
        project=project,
        runs_by_status=tally.runs_by_status,
        places=_places(groups),
        last_run=last_run,
        costs=(
            [] if project is None else costs_of_tally(connection, project, tally, default_price)
        ),
        equivalents=equivalents(totals.emissions_kg, totals.emissions_uncertainty),
        last_run_equivalents=(
            equivalents(last_run.emissions_kg, last_run.energy_uncertainty) if last_run else []
        ),
    )


def projects(connection: Connection, access: Access) -> list[ProjectTotals]:
    """Sum up every project that is there for this access, the one with the newest run first."""
    by_project: dict[str, list[Total]] = defaultdict(list)
    for total in rollups.totals(connection, access.among([])):
        by_project[total.project].append(total)
    listed = [
        ProjectTotals(**dict(_added(groups).totals()), project=project)
        for project, groups in sorted(by_project.items())
    ]
    return sorted(listed, key=_last_run_at, reverse=True)


def studies(connection: Connection, project: str) -> list[StudyTotals]:
    """Sum up every study of a project, the one with the newest run first."""
    listed = [
        StudyTotals(**dict(tally.totals()), project=project, study=row.study)
        for row, tally in rollups.grouped(connection, [DAYS.c.study], DAYS.c.project == project)
        if row.study
    ]
    listed.sort(key=lambda line: line.study)
    return sorted(listed, key=_last_run_at, reverse=True)


def _last_run_at(line: Totals) -> datetime:
    assert line.last_run_at is not None  # It is listed because it has a run.
    return line.last_run_at


def _places(groups: Iterable[Total]) -> list[PlaceTotals]:
    """Join the groups of each place, the one that drew most first and the unknown one last."""
    by_place: dict[tuple[str | None, str | None], list[Total]] = defaultdict(list)
    for total in groups:
        by_place[total.country_iso_code, total.region].append(total)
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


def _place(country: str | None, region: str | None, parts: list[Total]) -> PlaceTotals:
    tally = _added(parts)
    sources = {part.intensity_source for part in parts} - {None}
    years = {part.intensity_year for part in parts} - {None}
    return PlaceTotals(
        **dict(tally.totals()),
        country_iso_code=country,
        country_name=country_name(country) if country else None,
        region=region,
        intensity_g_per_kwh=tally.intensity_g_per_kwh,
        intensity_source="; ".join(sorted(filter(None, sources))) or None,
        intensity_year=years.pop() if len(years) == 1 else None,
    )


def _added(parts: Iterable[Total]) -> Tally:
    return sum((part.tally for part in parts), start=Tally())
