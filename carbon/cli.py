"""The `carbon` command."""

import io
import os
import sys
import time
from typing import Annotated

import typer
from rich.console import Console

from carbon import processes
from carbon.commands import budgets as budget_commands
from carbon.commands import report as report_command
from carbon.commands import study as study_commands
from carbon.commands.export import export
from carbon.commands.factors import factors_app
from carbon.commands.ledger import (
    Database,
    database_app,
    database_arguments,
    keys_app,
    require_server,
)
from carbon.errors import CarbonError, CommandError, UsageError
from carbon.schema.fields import MAX_WORLD_SIZE
from carbon.settings import DEFAULT_PORT, DEFAULT_UI_PORT, MOST_WORKERS, Settings, load

START_WAIT_S = 60.0

app = typer.Typer(
    help="What a training run costs in energy and carbon.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(database_app, name="db")
app.add_typer(keys_app, name="keys")
app.add_typer(budget_commands.app, name="budgets")
app.add_typer(factors_app, name="factors")
app.add_typer(study_commands.app, name="study")
app.command()(export)
app.command()(report_command.report)
console = Console(highlight=False, soft_wrap=True)

Host = Annotated[str, typer.Option(help="Address to listen on. Any but loopback needs an API key.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")]
UiPort = Annotated[int, typer.Option(min=1, max=65535, help="Port of the dashboard.")]
AllowAnyone = Annotated[
    bool,
    typer.Option("--allow-anyone", help="Let whoever reaches it in as long as there are no keys."),
]
Workers = Annotated[
    int,
    typer.Option(min=1, max=MOST_WORKERS, help="Processes that answer, for more than one core."),
]


def main() -> None:
    """Run the command; what goes wrong in a known way is one line on the terminal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Not every terminal can write a "±".
    try:
        app(prog_name="carbon")
    except CarbonError as error:
        print(f"carbon: {error}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, CommandError) else 1)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"carbon-ledger {version('carbon-ledger')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None: ...


@app.command(
    "run",
    # What follows the command is the command's, also where it looks like an option of ours.
    context_settings={"allow_interspersed_args": False},
)
def run_command(
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="What to run, after `--`.", show_default=False),
    ],
    project: Annotated[str, typer.Option(help="What the run belongs to.", show_default=False)],
    strategy: Annotated[
        str | None, typer.Option(help="How the training is distributed: ddp, fsdp ...")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Groups runs that are meant to be compared.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's own name.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="To find it by; repeatable.")
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What it is configured with; repeatable."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_WORLD_SIZE, help="How many it trains with."),
    ] = None,
) -> None:
    """Measure any command as one run, together with every carbon.track inside of it.

    Output, signals and exit code are the command's own. What is said here wins over what
    carbon.track says of the run; the rest is taken from there.
    """
    from carbon.spec import spec_from_texts
    from carbon.tracking import launch

    try:
        spec = spec_from_texts(
            project=project,
            strategy=strategy,
            study=study,
            name=name,
            tags=tag or [],
            config=config or [],
        )
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error
    launch.run(command, spec, load(), workers)


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = DEFAULT_PORT,
    database: Database = None,
    workers: Workers = 1,
    allow_anyone: AllowAnyone = False,
) -> None:
    """Start the API, and take over the runs that wait in this machine's spool."""
    require_server()
    arguments = _api_arguments(host, port, database, allow_anyone)
    processes.become("api", [*arguments, "--workers", str(workers)])


@app.command()
def ui(host: Host = "127.0.0.1", port: UiPort = DEFAULT_UI_PORT) -> None:
    """Start the dashboard of the API at CARBON_API_URL."""
    processes.require("dashboard", "streamlit", "altair", "pandas")
    processes.become("ui", ["--host", host, "--port", str(port)])


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = DEFAULT_PORT,
    ui_port: UiPort = DEFAULT_UI_PORT,
    database: Database = None,
    allow_anyone: AllowAnyone = False,
) -> None:
    """Start the API and its dashboard; Ctrl-C stops both."""
    require_server()
    processes.require("dashboard", "streamlit", "altair", "pandas")
    settings = load(api_url=processes.url_from_here(host, port))
    children = processes.Children()
    children.stop_on_signals()
    try:
        arguments = _api_arguments(host, port, database, allow_anyone)
        children.start("API", "api", arguments, os.environ)
        if _came_up(children, settings):
            children.start(
                "dashboard",
                "ui",
                ["--host", host, "--port", str(ui_port)],
                {**os.environ, "CARBON_API_URL": settings.base_url},
            )
            children.wait()
        ended = children.ended()
        if ended and not children.signalled:
            # Its own last line has said why.
            raise CarbonError(f"the {ended[0]} ended with exit code {ended[1]}; stopping")
    finally:
        children.stop()


@app.command()
def sync(
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Also try again what the API refused before.")
    ] = False,
) -> None:
    """Deliver the runs that wait in the spool, and finish those whose process was killed."""
    from carbon.delivery.delivery import deliver
    from carbon.rest.client import Client
    from carbon.spool.spool import Spool

    settings = load()
    spool = Spool(settings.spool_dir)
    if rejected:
        spool.take_back_rejected()
    with Client(settings) as client:
        outcome = deliver(spool, client)
    for report in outcome.delivered:
        console.print(
            f"delivered  {report.run_id}  {report.project}  {report.status}", markup=False
        )
    for run_id in outcome.running:
        console.print(f"running    {run_id}")
    for run_id, reason, folder in outcome.rejected:
        console.print(f"refused    {run_id}  kept in {folder}: {reason}", markup=False)
    for run_id in outcome.waiting:
        console.print(f"waiting    {run_id}")
    counts = (
        f"{len(outcome.delivered)} delivered, {len(outcome.running)} still running, "
        f"{len(outcome.rejected)} refused, {len(outcome.waiting)} waiting"
    )
    console.print(f"{settings.spool_dir}: {counts}", markup=False)
    if kept := len(spool.rejected()) - len(outcome.rejected):
        console.print(f"{kept} refused before; `carbon sync --rejected` tries them again")
    if outcome.unreachable:
        raise CarbonError(outcome.unreachable)
    if outcome.rejected:
        sys.exit(1)


@app.command()
def baseline(
    duration: Annotated[
        int, typer.Option(min=1, max=3600, help="How long to measure, in seconds.")
    ] = 30,
    force: Annotated[
        bool, typer.Option("--force", help="Keep it although the machine is not idle.")
    ] = False,
) -> None:
    """Measure what this machine draws idle and keep it: runs then show the part above it."""
    from dataclasses import replace

    from carbon.attribution.topology import detect
    from carbon.commands.tables import baseline_table
    from carbon.errors import SpoolError
    from carbon.spool.disk import why_not_writable
    from carbon.tracking import baseline as idle
    from carbon.tracking.metering import machine_sources

    settings = load()
    if reason := why_not_writable(settings.spool_dir):
        raise SpoolError(
            f"the baseline cannot be kept in {settings.spool_dir}: {reason}; "
            "set CARBON_SPOOL_DIR to a directory that can be written"
        )
    alive = idle.living_runs(settings.spool_dir)
    if alive and not force:
        raise CarbonError(f"{'; '.join(alive)}: wait until it has ended, or use --force")
    hostname = detect(os.environ).hostname
    sources = machine_sources(settings, idle.everything_visible(os.environ))
    with console.status(f"Measuring the idle machine for {duration} s"):
        measured = idle.measure(sources, hostname, duration)
    measured = replace(measured, doubts=(*alive, *measured.doubts))
    console.print(baseline_table(measured))
    for doubt in measured.doubts:
        print(f"carbon: {doubt}", file=sys.stderr)
    if measured.doubts and not force:
        raise CarbonError(
            "the machine was not idle, nothing is kept: stop what runs on it, or use --force"
        )
    console.print(f"kept in {idle.save(measured, settings.spool_dir)}", markup=False)


@app.command()
def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was found as JSON, for machines.")
    ] = False,
) -> None:
    """Tell what can be measured on this machine, what is missing, and whether runs get through."""
    import json
    import logging
    from dataclasses import asdict

    from carbon.attribution.topology import detect
    from carbon.commands.doctor import examine
    from carbon.commands.tables import diagnosis_tables
    from carbon.tracking.metering import machine_sources

    settings = load()
    logging.getLogger("carbon").addHandler(logging.NullHandler())  # It is all in the findings.
    hostname = detect(os.environ).hostname
    found = examine(settings, hostname, os.environ, machine_sources(settings))
    if as_json:
        print(json.dumps({"is_sound": found.is_sound, **asdict(found)}, indent=2))
    else:
        for table in diagnosis_tables(found):
            console.print(table)
    if not found.is_sound:
        sys.exit(1)


def _api_arguments(host: str, port: int, database: str | None, allow_anyone: bool) -> list[str]:
    arguments = ["--host", host, "--port", str(port), *database_arguments(database)]
    return [*arguments, "--allow-anyone"] if allow_anyone else arguments


def _came_up(children: processes.Children, settings: Settings) -> bool:
    """Wait until the API answers; False where it ended or a signal came first."""
    from carbon.rest.client import Client

    give_up_s = time.monotonic() + START_WAIT_S
    with Client(settings, timeout_s=2.0) as client:
        while time.monotonic() < give_up_s:
            if children.wait(time.monotonic() + 0.2):
                return False
            if client.is_healthy():
                return True
    raise CarbonError(f"the API did not answer at {settings.base_url} within {START_WAIT_S:.0f} s")
