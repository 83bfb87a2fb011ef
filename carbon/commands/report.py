"""`carbon report`: a study as one page, pictures, tables and text."""

from pathlib import Path
from typing import Annotated

import typer

from carbon.analysis.reaching import Mode
from carbon.settings import load
from carbon.units import SECONDS_PER_HOUR

FORMATS = ("png", "svg", "pdf")


def report(
    study: Annotated[str, typer.Argument(help="The study's name.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The directory to write to; report-STUDY if left out."),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Where several projects have a study of this name.")
    ] = None,
    formats: Annotated[
        str, typer.Option(help="Of the charts beside the page; '' for none.")
    ] = ",".join(FORMATS),
    across: Annotated[
        bool, typer.Option("--across", help="Compare runs although they differ in more.")
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of the training to choose for; as run if left out.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(metavar="HOURS", help="That the training may take.")
    ] = None,
    max_energy: Annotated[
        float | None, typer.Option(metavar="KWH", help="That the training may draw.")
    ] = None,
    max_emissions: Annotated[
        float | None, typer.Option(metavar="KG", help="Of CO2e that the training may cause.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="To draw against time and energy; the accuracy if left out.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Of the metric: what did it cost to reach it?")
    ] = None,
    mode: Annotated[
        Mode | None, typer.Option(help="max or min: whether more of the metric is better, or less.")
    ] = None,
) -> None:
    """Write a study as one HTML page that works offline, with its charts and tables as files.

    The page is DIR/report.html, charts are in DIR/charts and tables, as CSV, in DIR/tables. The
    tables are shown here, too.
    """
    from rich.console import Console

    from carbon.analysis.choice import Limits
    from carbon.processes import require
    from carbon.rest.client import Client

    chosen = _formats(formats)
    require("report", "altair", "pandas", "scipy", "vl_convert")
    from carbon.report.console import show
    from carbon.report.content import content_of
    from carbon.report.files import write_report
    from carbon.report.reading import read_runs
    from carbon.report.study import Asked, analyse

    limits = Limits(
        deadline_s=None if deadline is None else deadline * SECONDS_PER_HOUR,
        energy_kwh=max_energy,
        emissions_kg=max_emissions,
    )
    with Client(load(), timeout_s=60.0) as client:
        runs = read_runs(client, study, project)
    asked = Asked(
        across=across,
        epochs=epochs,
        limits=limits,
        metric=metric,
        mode=mode,
        target=target,
    )
    content = content_of(analyse(runs[0].project, study, runs, asked))
    console = Console(highlight=False)
    show(content, console)
    directory = output or Path(f"report-{_as_file_name(study)}")
    written = list(write_report(content, directory, chosen))
    console.print(f"\n{written[0]} and {len(written) - 1} files beside it", markup=False)


def _formats(asked: str) -> list[str]:
    chosen = [form.strip() for form in asked.split(",") if form.strip()]
    for form in chosen:
        if form not in FORMATS:
            raise typer.BadParameter(f"there is no format {form!r}, but {', '.join(FORMATS)}")
    return list(dict.fromkeys(chosen))


def _as_file_name(study: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in study)
