"""`python -m trainers.demo`: the whole way, from tracked trainings to what each speedup cost.

Starts the API, trains one model in three configurations, each reported to the API, and shows what
the API then says of them. What it keeps is in `./.demo`, so the next demo adds to the history.
"""

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import httpx
import torch
from rich.console import Console
from rich.text import Text

from carbon import settings
from carbon.errors import CarbonError
from carbon.rest.client import Client
from carbon.study import commands
from carbon.study.plan import Configuration
from carbon.tracking.children import Child
from trainers.results import (
    explain_energy,
    explain_speedup,
    inexact_totals,
    study_table,
    wait_for_runs,
)

PROJECT = "digits"
EPOCHS = 10
EXAMPLE_COUNTRY = "DEU"
# Every second port is tried, so that the API's and the dashboard's never meet.
PORTS_TRIED = 50
START_TIMEOUT_S = 60.0
DELIVERY_TIMEOUT_S = 20.0
# SIGINT among them, because a shell starts background jobs with it ignored.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


CONFIGURATIONS = (Configuration("single", 1), Configuration("ddp", 1), Configuration("ddp", 2))


def training_command(configuration: Configuration, study: str) -> list[str]:
    """Return the command line that trains a configuration."""
    options = {
        "--task": "digits",
        "--epochs": str(EPOCHS),
        "--project": PROJECT,
        "--study": study,
        "--name": str(configuration),
    }
    words = [word for option in options.items() for word in option]
    return commands.training(configuration.strategy, configuration.workers, words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0, 1 where something failed, 130 where it was interrupted half-way."""
    parser = argparse.ArgumentParser(prog="trainers.demo", description=__doc__, allow_abbrev=False)
    parser.add_argument("--once", action="store_true", help="end after the table")
    once = parser.parse_args(arguments).once
    for number in STOPS:
        signal.signal(number, _interrupt)

    console = Console(highlight=False, markup=False, soft_wrap=True)
    try:
        with ExitStack() as children:
            environ = environment(Path.cwd() / ".demo", console)
            logs = Path.cwd() / ".demo" / "logs"
            services = start_api(environ, logs, children, console)
            study = f"scaling-{datetime.now(UTC):%Y%m%d-%H%M%S}"
            for configuration in CONFIGURATIONS:
                train(configuration, study, environ, logs, console)
                for service in services:
                    service.keep_running()
            with Client(settings.load(environ)) as client:
                is_exact = show(client, study, console)
            if once or not is_exact:
                return 0 if is_exact else 1
            services.append(start_dashboard(environ, logs, children, console))
            return serve(services)
    except CarbonError as error:
        print(f"trainers.demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def environment(folder: Path, console: Console) -> dict[str, str]:
    """Return the variables for everything the demo starts: the user's own, the rest in `folder`.

    Raises:
        SettingsError: one of the user's cannot be used.
    """
    given = settings.load().model_fields_set
    defaults = {
        "api_url": f"http://127.0.0.1:{free_port(settings.DEFAULT_PORT)}",
        "spool_dir": str(folder / "spool"),
        "database_url": f"sqlite:///{folder / 'ledger.db'}",
        "country_iso_code": EXAMPLE_COUNTRY,
    }
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {f"CARBON_{key.upper()}": value for key, value in defaults.items() if key not in given}
    if "country_iso_code" not in given:
        console.print("No CARBON_COUNTRY_ISO_CODE set: using Germany (DEU) as an example.")
    n_gpus, n_workers = torch.cuda.device_count(), max(each.workers for each in CONFIGURATIONS)
    if 0 < n_gpus < n_workers:
        console.print(f"{n_gpus} GPU is too few for {n_workers} workers: training on CPU cores.")
        chosen["CUDA_VISIBLE_DEVICES"] = ""
    # Each worker computes on one core; torchrun would say so in a warning.
    return {"OMP_NUM_THREADS": "1", **os.environ, **chosen}


def free_port(first: int) -> int:
    """Return the first of `first`, `first` + 2 ... on which nobody listens on this machine.

    Raises:
        CarbonError: somebody listens on each of them.
    """
    ports = range(first, first + 2 * PORTS_TRIED, 2)
    for port in ports:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise CarbonError(
        f"every second port from {ports[0]} to {ports[-1]} is in use; end what listens there"
    )


def start_api(
    environ: Mapping[str, str], logs: Path, children: ExitStack, console: Console
) -> list[Child]:
    """Start the API at CARBON_API_URL, unless one of the user's answers there already.

    Raises:
        ChildError: it cannot be started, for instance because the address is in use.
    """
    where = settings.load(environ)
    with Client(where, timeout_s=2.0) as client:
        if client.is_healthy():
            console.print(f"API        {where.base_url} (running already)")
            return []
        address = urlsplit(where.base_url)
        command = [sys.executable, "-m", "carbon", "serve"]
        command += ["--host", str(address.hostname), "--port", str(address.port or 80)]
        command += ["--database", where.database_url]
        api = children.enter_context(Child("the API", command, environ, logs / "api.log"))
        api.wait_until(client.is_healthy, START_TIMEOUT_S)
    console.print(f"API        {where.base_url}/docs  ({where.database_url})")
    return [api]


def train(
    configuration: Configuration,
    study: str,
    environ: Mapping[str, str],
    logs: Path,
    console: Console,
) -> None:
    """Train one configuration to the end.

    Raises:
        ChildError: the training failed.
    """
    command = training_command(configuration, study)
    log = logs / f"{configuration.strategy}-{configuration.workers}.log"
    started_s = time.monotonic()
    with (
        console.status(f"training {configuration}") as status,
        Child(f"training {configuration}", command, environ, log) as child,
    ):
        while child.is_running():
            status.update(Text(f"training {configuration}  {child.tail(1)}"))
            time.sleep(0.2)
    console.print(f"trained    {configuration} in {time.monotonic() - started_s:.0f} s")


def show(client: Client, study: str, console: Console) -> bool:
    """Print what the API says of the study; tell whether its totals are exact.

    Raises:
        ResultsError: not all runs have arrived.
        ApiError: the API cannot be asked.
    """
    runs = wait_for_runs(client, PROJECT, study, len(CONFIGURATIONS), DELIVERY_TIMEOUT_S)
    points = sorted(
        (point for point in client.tradeoff(PROJECT).points if point.study == study),
        key=lambda point: CONFIGURATIONS.index(Configuration(point.strategy, point.workers)),
    )
    console.print()
    console.print(study_table(points, runs, f"{PROJECT}, study {study}"))
    console.print(explain_speedup(points))
    console.print(explain_energy(runs))

    everything = list(client.all_runs())
    of_project = [run for run in everything if run.project == PROJECT]
    wrong = inexact_totals(client.summary(), everything)
    wrong += inexact_totals(client.summary(PROJECT), of_project)
    if wrong:
        console.print("The API's totals are NOT the sums of its runs:", *wrong, sep="\n  ")
        return False
    console.print(
        f"The API's totals equal the sums of its {len(everything)} runs to the last digit, overall "
        f"and for project {PROJECT}."
    )
    return True


def start_dashboard(
    environ: Mapping[str, str], logs: Path, children: ExitStack, console: Console
) -> Child:
    """Start the dashboard.

    Raises:
        ChildError: it cannot be started.
    """
    port = free_port(settings.DEFAULT_UI_PORT)
    command = [sys.executable, "-m", "carbon", "ui", "--port", str(port)]
    dashboard = children.enter_context(
        Child("the dashboard", command, environ, logs / "dashboard.log")
    )

    def is_ready() -> bool:
        try:
            address = f"http://127.0.0.1:{port}/_stcore/health"
            return httpx.get(address, timeout=2.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    dashboard.wait_until(is_ready, START_TIMEOUT_S)
    console.print(f"\nDashboard  http://127.0.0.1:{port}   Ctrl-C stops it and the API.")
    return dashboard


def serve(services: Sequence[Child]) -> int:
    """Return 0 at Ctrl-C.

    Raises:
        ChildError: one of the services has ended.
    """
    try:
        while True:
            for service in services:
                service.keep_running()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Once is enough: a second one must not break off the stopping of the children.
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
