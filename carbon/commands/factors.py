"""`carbon factors`: the ledger's factor tables, and costing runs with one."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from carbon.errors import UsageError, first_wrong
from carbon.settings import load

factors_app = typer.Typer(help="Look after the ledger's carbon intensities.", no_args_is_help=True)
console = Console(highlight=False, soft_wrap=True)


class Kind(StrEnum):
    """Of which intensities a table is."""

    LOCATION = "location"
    MARKET = "market"


Version = Annotated[str, typer.Argument(help="The table's version.", show_default=False)]


@factors_app.command("import")
def import_table(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with country_iso_code, region, intensity_g_per_kwh.", show_default=False
        ),
    ],
    source: Annotated[str, typer.Option(help="Whose figures they are.", show_default=False)],
    year: Annotated[
        int | None, typer.Option(help="Of which year, where a line does not say.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="What to call it; by default by source, year and hash.")
    ] = None,
    kind: Annotated[
        Kind, typer.Option(help="Of the grid, or of electricity as it is bought.")
    ] = Kind.LOCATION,
) -> None:
    """Keep a factor table in the ledger at CARBON_API_URL; safe to repeat."""
    from carbon.commands.factor_files import read_table
    from carbon.rest.client import Client

    table = read_table(file, source, year, version).model_copy(update={"kind": kind.value})
    with Client(load()) as client:
        kept = client.import_factors(table)
    console.print(f"{kept.version}: {kept.factors} factors of {kept.source}", markup=False)


@factors_app.command("list")
def list_tables() -> None:
    """List the ledger's factor tables."""
    from rich.table import Column, Table

    from carbon.rest.client import Client

    with Client(load()) as client:
        found = client.factor_tables()
    # The version is there to be copied: it stays whole however narrow the terminal is.
    columns = (Column("version", no_wrap=True), "kind", "source", "year", "factors", "imported")
    listed = Table(*columns, box=None)
    for table in found:
        imported = table.imported_at and f"{table.imported_at:%Y-%m-%d}"
        year = str(table.year or "various")
        listed.add_row(
            table.version,
            table.kind,
            table.source,
            year,
            str(table.factors),
            imported or "comes along",
        )
    console.print(listed)


@factors_app.command("show")
def show_table(version: Version) -> None:
    """Print a table's factors as CSV, as `carbon factors import` reads them."""
    import csv
    import sys

    from carbon.commands.factor_files import COLUMNS
    from carbon.rest.client import Client

    with Client(load()) as client:
        found = client.grid(version)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(factor, name) for name in COLUMNS] for factor in found)


@factors_app.command("recost")
def recost(
    version: Version,
    project: Annotated[str | None, typer.Option(help="Of this project only.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Started on this date or later, in UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Started on this date or before, in UTC.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the audit log.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what it would change.")
    ] = False,
) -> None:
    """Cost the runs that are there with a factor table; their old figures are kept.

    Safe to break off and repeat: runs that have come since are costed then, by a timer if need be.
    """
    from pydantic import ValidationError

    from carbon.rest.client import Client
    from carbon.schema import RecostOrder

    try:
        order = RecostOrder(
            table=version,
            project=project,
            since=_moment("since", since, days_after=0),
            until=_moment("until", until, days_after=1),
            reason=reason,
            dry_run=dry_run,
        )
    except ValidationError as error:
        field, message, _ = first_wrong(error)
        raise UsageError(f"{field}: {message}" if field else message) from error
    with Client(load(), timeout_s=60.0) as client:
        done = client.recost(order)
    verb = "would have" if dry_run else "have"
    difference = "" if done.difference_kg is None else f" ({done.difference_kg:+.6g} kg)"
    console.print(
        f"{done.runs} runs {verb} a new figure: {_mass(done.emissions_before_kg)} -> "
        f"{_mass(done.emissions_after_kg)}{difference}\n"
        f"{done.runs_as_before} as before, {done.runs_without_factor} at places that the table "
        f"does not have, {done.runs_corrected} with an intensity that was corrected by hand",
        markup=False,
    )


def _mass(mass_kg: float | None) -> str:
    return "unknown" if mass_kg is None else f"{mass_kg:.6g} kg"


def _moment(option: str, text: str | None, days_after: int) -> datetime | None:
    """Read a date, in UTC, or a moment; a bare date is the moment at which some day begins.

    Args:
        option: names it in an error.
        text: as it was given, None where it was not.
        days_after: of a bare date, which day's beginning is meant.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if len(text) == len("2026-01-31"):
            found += timedelta(days=days_after)
    except OverflowError as error:
        raise UsageError(
            f"--{option} {text} is the end of time; leave it out for runs of any later day"
        ) from error
    except ValueError as error:
        raise UsageError(f"--{option} {text!r}: give it as 2026-01-31") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
