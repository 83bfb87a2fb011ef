"""A ledger of very many runs, as a laboratory has after some years: made up, but of real rows.

`python -m benchmarks.ledger.runs URL --runs 1000000` fills an empty ledger. Every row has the form
that the server writes: it is made of a valid report, of which only what differs from run to run is
replaced.
"""

import argparse
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, text

from api import rollups
from api.db import open_database
from api.tables import RUNS
from api.writing import row_of
from carbon.attribution.run_id import uuid7
from carbon.schema import DeviceReport, EpochReport, NodeReport, RunReport

PROJECTS, STUDIES, HOSTS, PEOPLE = 200, 5, 500, 40
MODELS = ("resnet50", "bert-base", "gpt2", "vit-large", "unet", "llama-7b", "whisper", "dlrm")
GPUS = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB", "Tesla V100-SXM2-32GB", "NVIDIA L40S")
PLACES = {"DEU": 344.1, "FRA": 44.2, "POL": 633.0, "SWE": 35.8, "USA": 384.0, "IND": 708.0}
STRATEGIES = ("single", "ddp", "fsdp", "deepspeed", "horovod", "ray-ddp")
STATUSES = ("completed",) * 17 + ("failed", "failed", "interrupted")
PUE = 1.2

_TEMPLATES = 4000
_SUMMED_TOGETHER = 20_000
_STRIDE = 1237  # Has no factor in common with their number, so that neighbours differ.
_NEWEST = datetime(2026, 6, 1, tzinfo=UTC)
_SPAN = timedelta(days=3 * 365)
_OLDEST_S = (_NEWEST - _SPAN).timestamp()

# Of the fixed-point columns, in their smallest units: up to eight hours, most far less; up to 1 kW.
_DRAWN = "CAST(60e9 + 28800e9 * u * u * u AS BIGINT) AS duration"
_ENERGY = (
    "CASE WHEN d.n % 50 > 0 THEN CAST(d.duration / 36e11 * (2 + d.n % 9) * 1e11 AS BIGINT) END"
)
_AMOUNTS = {
    "duration_s": "d.duration",
    "energy_kwh": _ENERGY,
    "gpu_energy_kwh": _ENERGY,
    "emissions_kg": f"CAST(({_ENERGY}) * t.pue * t.intensity_g_per_kwh / 1000 AS BIGINT)",
}

# What the two databases say differently: ids that grow with time (UUID version 7), moments, numbers
# from 0 with a random one between 0 and 1, and the labels of a row.
_SECONDS = "(:oldest_s + d.n * :apart_s)"
_MADE = {
    "sqlite": {
        "run_id": f"printf('%012x7%03x8%015x', CAST({_SECONDS} * 1000 AS BIGINT), d.n % 4096, "
        "abs(random()) >> 4)",
        "started_at": f"strftime('%Y-%m-%d %H:%M:%f000', {_SECONDS}, 'unixepoch')",
        "ended_at": "strftime('%Y-%m-%d %H:%M:%f000', "
        f"{_SECONDS} + d.duration / 1000000000, 'unixepoch')",
        "numbers": "WITH RECURSIVE counted(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted "
        "LIMIT :runs) SELECT n, abs(random()) / 9.3e18 AS u FROM counted",
        "unpacked": "json_each(r.labels)",
    },
    "postgresql": {
        "run_id": f"CAST(lpad(to_hex(CAST({_SECONDS} * 1000 AS BIGINT)), 12, '0') || '7' || "
        "substr(md5(CAST(d.n AS TEXT)), 1, 3) || '8' || substr(md5(CAST(d.u AS TEXT)), 1, 15) "
        "AS UUID)",
        "started_at": f"to_timestamp({_SECONDS})",
        "ended_at": f"to_timestamp({_SECONDS} + d.duration / 1000000000)",
        "numbers": "SELECT n, random() AS u FROM generate_series(0, :runs - 1) AS n",
        "unpacked": "json_array_elements_text(r.labels)",
    },
}


def fill(url: str, runs: int, *, seed: int = 1) -> None:
    """Put `runs` runs into the empty ledger at `url`, spread evenly over three years.

    The rows of some thousand reports are written as the server writes them, and then multiplied by
    the database itself, which takes a hundredth of the time.
    """
    engine = open_database(url)
    chance = random.Random(seed)
    templates = [_template(chance, number) for number in range(_TEMPLATES)]
    made = _MADE[engine.dialect.name]
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA cache_size = -500000")  # In KiB.
        connection.execute(insert(RUNS), templates)
        connection.execute(
            text(
                "CREATE TEMPORARY TABLE templates AS SELECT *, "
                "row_number() OVER (ORDER BY run_id) - 1 AS number FROM runs"
            )
        )
        connection.execute(delete(RUNS))
        # Kept, for SQLite would draw a number anew for every column it appears in.
        connection.execute(
            text(f"CREATE TEMPORARY TABLE numbers AS {made['numbers']}"), {"runs": runs}
        )
        connection.execute(
            text(f"CREATE TEMPORARY TABLE drawn AS SELECT n, u, {_DRAWN} FROM numbers")
        )
        quoted = engine.dialect.identifier_preparer.quote
        columns = {column.name: quoted(column.name) for column in RUNS.columns}
        values = ", ".join(
            made.get(name) or _AMOUNTS.get(name) or f"t.{column}"
            for name, column in columns.items()
        )
        connection.execute(
            text(
                f"INSERT INTO runs ({', '.join(columns.values())}) SELECT {values} "
                "FROM drawn AS d "
                f"JOIN templates AS t ON t.number = d.n * {_STRIDE} % {_TEMPLATES}"
            ),
            {"apart_s": _SPAN.total_seconds() / runs, "oldest_s": _OLDEST_S},
        )
        connection.execute(
            text(
                "INSERT INTO run_labels (label, started_at, run_id) "
                f"SELECT l.value, r.started_at, r.run_id FROM runs AS r, {made['unpacked']} AS l "
                "ORDER BY 1, 2, 3"
            )
        )
        _sum_up(connection)
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))
    engine.dispose()


def _sum_up(connection: Connection) -> None:
    """Add every run to the sums, as the server does."""
    columns = [RUNS.c[name] for name in rollups.COLUMNS_NEEDED]
    query = select(RUNS.c.run_id, *columns).order_by(RUNS.c.run_id).limit(_SUMMED_TOGETHER)
    rows = connection.execute(query).mappings().all()
    while rows:
        rollups.apply(connection, [(None, dict(row)) for row in rows])
        after = query.where(RUNS.c.run_id > rows[-1]["run_id"])
        rows = connection.execute(after).mappings().all()


def _template(chance: random.Random, number: int) -> dict[str, Any]:
    """Return the row of one report; all rows of a project come from its own templates."""
    project = number % PROJECTS
    place = chance.choice(list(PLACES))
    model, person = chance.choice(MODELS), chance.randrange(PEOPLE)
    report = RunReport(
        run_id=_run_id(chance, _NEWEST),
        project=f"project-{project:03}",
        study=f"sweep-{chance.randrange(STUDIES)}-of-{project:03}",
        name=f"{model} try {number}",
        strategy=chance.choice(STRATEGIES),
        status=chance.choice(STATUSES),
        started_at=_NEWEST,
        ended_at=_NEWEST,
        duration_s=0.0,
        country_iso_code=place,
        intensity_g_per_kwh=PLACES[place],
        intensity_source="Our World in Data",
        intensity_year=2023,
        pue=PUE,
        tags={"model": model, "owner": f"person-{person}", "seed": str(chance.randrange(10))},
        config={"optimizer": "adamw", "batch_size": 256, "lr": 0.001},
        metrics={"loss": 0.25, "accuracy": 0.75},
        software={"python": "3.11.7", "torch": "2.9.0"},
        user=f"person-{person}",
        nodes=[_node(chance)],
        epochs=[
            EpochReport(index=index, duration_s=60.0, metrics={"loss": 1.0 / (index + 1)})
            for index in range(3)
        ],
    )
    return row_of(report, _NEWEST, is_merged=False)


def _node(chance: random.Random) -> NodeReport:
    model = chance.choice(GPUS)
    return NodeReport(
        hostname=f"node-{chance.randrange(HOSTS):03}",
        ranks=[0, 1],
        cpu_model="AMD EPYC 7763 64-Core Processor",
        devices=[
            DeviceReport(uuid=f"GPU-{chance.getrandbits(64):016x}", index=index, name=model)
            for index in range(2)
        ],
    )


def _run_id(chance: random.Random, moment: datetime) -> UUID:
    return uuid7(int(moment.timestamp() * 1000), chance.randbytes(10))


def main() -> int:
    """Fill the ledger that the command names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="SQLAlchemy URL of an empty ledger")
    parser.add_argument("--runs", type=int, default=1_000_000)
    options = parser.parse_args()
    began_s = time.monotonic()
    fill(options.url, options.runs)
    print(f"{options.runs} runs in {time.monotonic() - began_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
