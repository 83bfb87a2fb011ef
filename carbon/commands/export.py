"""`carbon export`: runs of the ledger as a file, over REST."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from carbon.settings import load

Some = list[str] | None


def export(
    form: Annotated[
        str, typer.Option("--format", help="csv, parquet or jsonl.", metavar="FORMAT")
    ] = "csv",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to; standard output if left out."),
    ] = None,
    project: Annotated[Some, typer.Option(help="Of this project.")] = None,
    study: Annotated[Some, typer.Option(help="Of this study.")] = None,
    strategy: Annotated[Some, typer.Option(help="Distributed like this.")] = None,
    status: Annotated[Some, typer.Option(help="With this status.")] = None,
    user: Annotated[Some, typer.Option(help="Run by this user.")] = None,
    host: Annotated[Some, typer.Option(help="Run on this host.")] = None,
    gpu: Annotated[Some, typer.Option(metavar="MODEL", help="Run on this accelerator.")] = None,
    country: Annotated[Some, typer.Option(metavar="CODE", help="In this country: DEU.")] = None,
    tag: Annotated[
        Some, typer.Option(metavar="KEY[:VALUE]", help="With every one of these tags.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Started on this date or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Started on this date or before.")] = None,
    min_energy: Annotated[
        float | None, typer.Option(metavar="KWH", help="That drew at least so much.")
    ] = None,
    max_energy: Annotated[
        float | None, typer.Option(metavar="KWH", help="That drew at most so much.")
    ] = None,
    words: Annotated[
        str | None, typer.Option("--search", metavar="WORDS", help="With all of these words.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="By started_at, duration_s, energy_kwh or emissions_kg, with - from the top down; "
            "-started_at if left out."
        ),
    ] = None,
) -> None:
    """Write the runs of the ledger at CARBON_API_URL to a file: all, or those asked for.

    An option that may be given several times, all but dates, numbers and words, means any of its
    values; of tags it is every one.
    """
    from carbon.commands.exporting import write
    from carbon.rest.client import Client

    if form not in ("csv", "parquet", "jsonl"):
        raise typer.BadParameter(f"there is no format {form!r}, but csv, parquet and jsonl")
    if output is None and form == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("parquet is not for a terminal: name a file with --output")
    with Client(load(), timeout_s=60.0) as client:
        parts = client.export_runs(
            form,
            project=project,
            study=study,
            strategy=strategy,
            status=status,
            user=user,
            host=host,
            gpu=gpu,
            country=country,
            tag=tag,
            since=since,
            until=until,
            min_energy_kwh=min_energy,
            max_energy_kwh=max_energy,
            q=words,
            sort=sort,
        )
        write(parts, output)
