"""`python -m benchmarks.ledger`: measure the ledger's server, keep and print the results."""

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from api import administration
from benchmarks import machine, report
from benchmarks.environments import BENCH
from benchmarks.ledger import ingest, reads, runs, servers
from benchmarks.report import Results
from benchmarks.table import Row

SECTIONS = (ingest.SECTION, reads.SECTION)
FEW = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what `arguments` ask for and return 0."""
    options = _parser().parse_args(arguments)
    about = machine.describe()
    folder: Path = options.folder
    with ExitStack() as stack:
        administrator = stack.enter_context(servers.postgres(folder / "postgresql"))
        versions = {
            **{name: version(name) for name in ("fastapi", "pydantic", "uvicorn", "psycopg")},
            "SQLite": sqlite3.sqlite_version,
            "PostgreSQL": servers.postgres_version(administrator),
        }
        for section in options.only:
            rows = (
                _ingest(folder, administrator, options)
                if section == ingest.SECTION
                else _reads(folder, administrator, options)
            )
            now = datetime.now(UTC).isoformat(timespec="seconds")
            results = Results({section: now}, about, versions, options.quick, rows)
            where = BENCH / "quick" if options.quick else report.RESULTS
            _, tables = report.keep(results, f"ledger-{machine.short_name(about)}", where)
    print(tables.read_text(encoding="utf-8"))
    return 0


def _ingest(folder: Path, administrator: str, options: argparse.Namespace) -> list[Row]:
    rounds, duration_s = (2, 2.0) if options.quick else (7, 5.0)
    database = folder / "ingest.db"
    for name in (database.name, f"{database.name}-wal", f"{database.name}-shm"):
        (folder / name).unlink(missing_ok=True)
    with ExitStack() as stack:
        urls = {
            "sqlite": f"sqlite:///{database.absolute()}",
            "postgresql": servers.new_database(administrator, "ingest"),
        }
        alone = {ingest.EMPTY: stack.enter_context(servers.empty_route())}
        alone |= {name: stack.enter_context(servers.ledger(url)) for name, url in urls.items()}
        several = {
            name: stack.enter_context(servers.ledger(url, ingest.WORKERS))
            for name, url in urls.items()
        }
        return ingest.measure(alone, several, rounds, duration_s)


def _reads(folder: Path, administrator: str, options: argparse.Namespace) -> list[Row]:
    many, times = (20_000, 10) if options.quick else (options.runs, 100)
    found: dict[int, dict[str, reads.Reads]] = {FEW: {}, many: {}}
    summaries, exported = {}, {}
    for database in options.databases:
        urls = {count: _filled(folder, administrator, database, count) for count in found}
        with ExitStack() as stack:
            running = {
                count: stack.enter_context(servers.ledger(url)) for count, url in urls.items()
            }
            summaries[database] = reads.summaries(running, times)
            for count, server in running.items():
                reads.say(f"reading from {count:,} runs in {database}")
                found[count][database] = reads.measure(server, times)
            exported[database] = reads.export(running[many], "csv")
    return [
        *reads.summed_up(summaries),
        *reads.rows(found),
        *reads.exported(exported, "csv", many),
    ]


def _filled(folder: Path, administrator: str, database: str, count: int) -> str:
    """Return the URL of a ledger of `count` runs, which is made unless it is there.

    One that an earlier version made is upgraded: filling a million runs takes much longer.
    """
    if database == "sqlite":
        path = folder / f"{count}.db"
        url = f"sqlite:///{path.absolute()}"
        is_there = path.exists()
    else:
        name = f"runs_{count}"
        url = servers.url_of(administrator, name)
        is_there = servers.has_database(administrator, name)
        if not is_there:
            servers.new_database(administrator, name)
    if not is_there:
        reads.say(f"filling {count:,} runs into {database}")
        try:
            runs.fill(url, count)
        except BaseException:
            if database == "sqlite":
                path.unlink(missing_ok=True)
            else:
                servers.drop_database(administrator, name)
            raise
    elif administration.main(["upgrade", "--database", url]):
        raise RuntimeError(f"the ledger of {count:,} runs in {database} cannot be upgraded")
    return url


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, to see that it works; kept in .bench/"
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--runs", type=int, default=1_000_000, help="of the large ledger")
    parser.add_argument(
        "--databases", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"]
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=BENCH / "ledger",
        help="for the databases; ledgers of very many runs stay there (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
