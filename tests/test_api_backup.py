"""A ledger as one file: taken while it is served, put into either kind of database."""

import gzip
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from api import (
    administration,
    budgets,
    corrections,
    costings,
    derived,
    factors,
    hardware,
    prices,
    reports,
    runs,
)
from api.access import Access
from api.crossings import Watch
from api.db import open_database, writing
from api.tables import (
    AUDIT,
    BUDGETS,
    COSTINGS,
    CROSSINGS,
    DAYS,
    FACTOR_TABLES,
    FACTORS,
    HARDWARE,
    PRICES,
    RUNS,
    SERIES,
    SHARES,
)
from carbon.schema import (
    BudgetTerms,
    Correction,
    FactorTable,
    HardwareTerms,
    PriceTerms,
    RecostOrder,
    RunReport,
)
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers, Postgres
from tests.reports import recorded_run

ODD = "ünïcode \u2028 'quote' \"double\" \\ <b>"


def delivered() -> list[RunReport]:
    """Reports with everything in them that a column can hold."""
    run = make_report(project=ODD, energy_uncertainty=None, config={"big": 10**30, "lr": 0.1 + 0.2})
    return [
        run,
        recorded_run(points=20),
        make_report(gpu_energy_kwh=0.123456789012, reporter="node-1", project="two nodes"),
        make_report(gpu_energy_kwh=8_123_456.789, duration_s=1e9 / 3, ended_at=None),
        make_report(cpu_energy_kwh=None, ram_energy_kwh=None, started_at=run.started_at),
    ]


def store(engine: Engine, given: list[RunReport]) -> None:
    with writing(engine) as connection:
        reports.store(connection, given)


def agree(engine: Engine) -> None:
    """Make a price, hardware, a budget, and let that be crossed."""
    now = datetime(2026, 3, 1, 13, tzinfo=UTC)
    with writing(engine) as connection:
        price = PriceTerms(price_per_kwh=0.123456789, currency="EUR", source=ODD)
        prices.put_price(connection, ODD, now.date(), price, "ann")
        made = HardwareTerms(embodied_kg=0.1 + 0.2, lifetime_h=4e4, source=ODD, year=2024)
        hardware.put(connection, "gpu", f"Größer {ODD}", made, "ann")
        terms = BudgetTerms(
            quantity="energy_kwh",
            limit=1e-3,
            period="month",
            webhook_url="https://hooks.example/secret",
        )
        budgets.put(connection, ODD, "b", terms, now, "ann")
    Watch(engine, None).look(now)


def account(engine: Engine) -> None:
    """Correct a run and cost all anew."""
    table = FactorTable.model_validate(
        {
            "version": "v1",
            "source": ODD,
            "factors": [{"country_iso_code": "DEU", "intensity_g_per_kwh": 0.1 + 0.2}],
        }
    )
    with writing(engine) as connection:
        factors.keep(connection, table)
        run_id = connection.execute(select(RUNS.c.run_id).limit(1)).scalar_one()
        correction = Correction(reason=ODD, name=ODD, pue=1.1)
        corrections.correct(connection, Access(), run_id, correction, "somebody")
    assert costings.recost(engine, Access(), RecostOrder(table="v1"), "somebody").runs


def held(url: str) -> dict[str, list[Any]]:
    engine = open_database(url)
    with engine.begin() as connection:
        ids = sorted(connection.execute(select(RUNS.c.run_id)).scalars())
        found: dict[str, list[Any]]
        found = {str(run_id): [runs.find(connection, Access(), run_id)] for run_id in ids}
        found["shares"] = list(connection.execute(select(SHARES.c.reporter)).scalars())
        for table in (AUDIT, COSTINGS, FACTORS, FACTOR_TABLES):
            rows = connection.execute(select(table).order_by(*table.primary_key))
            found[table.name] = [tuple(row) for row in rows]
        kept = select(RUNS.c.corrections, RUNS.c.delivered).order_by(RUNS.c.run_id)
        found["corrections"] = [tuple(row) for row in connection.execute(kept)]
        found["series"] = list(connection.execute(select(SERIES.c.packed)).scalars())
        for table in (PRICES, BUDGETS, CROSSINGS, HARDWARE):
            found[table.name] = list(connection.execute(select(table)))
        assert derived.differences(connection) == []
    engine.dispose()
    return found


def command(*arguments: object) -> int:
    return administration.main([str(each) for each in arguments])


@pytest.mark.parametrize("other", ["sqlite", "postgresql"])
def test_a_ledger_comes_back_as_it_was_in_either_database(
    ledgers: Ledgers, postgres: Postgres, other: str, tmp_path: Path
) -> None:
    engine = open_database(ledgers.url())
    store(engine, delivered())
    agree(engine)
    account(engine)
    engine.dispose()
    assert len(held(ledgers.url())["crossings"]) == 1
    file = tmp_path / "ledger.backup"
    assert command("backup", file, "--database", ledgers.url()) == 0
    assert file.stat().st_mode & 0o077 == 0
    url = f"sqlite:///{tmp_path / 'new.db'}"
    if other == "postgresql":
        url = postgres.new(empty=True)
    try:
        assert command("restore", file, "--database", url) == 0
        assert held(url) == held(ledgers.url())
        is_gone_on_with(url)
    finally:
        if other == "postgresql":
            postgres.drop(url)


def is_gone_on_with(url: str) -> None:
    engine = open_database(url)
    with writing(engine) as connection:
        run_id = connection.execute(select(RUNS.c.run_id).limit(1)).scalar_one()
        corrections.delete(connection, Access(), run_id, "somebody", "it is the last entry")
        entries = list(connection.execute(select(AUDIT.c.reason).order_by(AUDIT.c.id)).scalars())
        assert entries[-1] == "it is the last entry"
    engine.dispose()


def test_a_backup_while_reports_come_in_is_one_state(ledgers: Ledgers, tmp_path: Path) -> None:
    engine = open_database(ledgers.url())
    store(engine, [make_report() for _ in range(300)])
    ended = threading.Event()
    written: list[int] = []

    def go_on() -> None:
        while not ended.is_set():
            store(engine, [make_report(project="late"), recorded_run(points=2)])
            written.append(2)

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for number in range(3):
            assert command("backup", tmp_path / f"{number}", "--database", ledgers.url()) == 0
    finally:
        ended.set()
        writer.join()
    engine.dispose()
    counts = []
    for number in range(3):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        assert command("restore", tmp_path / f"{number}", "--database", url) == 0
        found = held(url)
        recorded = [run for run in found.values() if run and isinstance(run[0], RunReport)]
        late = [run[0] for run in recorded if run[0] and run[0].project != "digits"]
        assert len(late) % 2 == 0  # Of each transaction all or nothing.
        counts.append(len(late))
    assert counts == sorted(counts)
    assert written


def test_a_ledger_that_holds_something_is_left_alone(
    ledgers: Ledgers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_database(ledgers.url())
    store(engine, [make_report()])
    engine.dispose()
    file = tmp_path / "backup"
    assert command("backup", file, "--database", ledgers.url()) == 0
    before = held(ledgers.url())
    assert command("restore", file, "--database", ledgers.url()) == 1
    assert "is not empty: it has runs" in capsys.readouterr().err
    assert held(ledgers.url()) == before
    assert command("backup", file, "--database", ledgers.url()) == 1
    assert "is there already" in capsys.readouterr().err


def test_a_damaged_file_restores_nothing(
    ledgers: Ledgers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_database(ledgers.url())
    store(engine, delivered())
    engine.dispose()
    whole = tmp_path / "whole"
    assert command("backup", whole, "--database", ledgers.url()) == 0
    lines = gzip.decompress(whole.read_bytes()).splitlines(keepends=True)
    damaged = {
        "cut in the middle": whole.read_bytes()[:-200],
        "without its end": gzip.compress(b"".join(lines[:-1])),
        "with a run less": gzip.compress(b"".join([*lines[:1], *lines[2:]])),
        "text": b"no backup at all\n",
        "of nothing": gzip.compress(b""),
        "of other lines": gzip.compress(b'["a", 1]\n'),
        "of a later version": gzip.compress(
            lines[0].replace(b'"schema":"', b'"schema":"9') + b"".join(lines[1:])
        ),
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        url = f"sqlite:///{tmp_path / name}.db"
        capsys.readouterr()
        assert command("restore", tmp_path / name, "--database", url) == 1, name
        said = capsys.readouterr()
        assert name in said.err
        assert said.out == ""
        assert [key for key, value in held(url).items() if value] == [], name


def test_no_ledger_is_made_to_be_backed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("backup", "verify"):
        arguments = [tmp_path / "file"] if name == "backup" else []
        assert command(name, *arguments, "--database", tmp_path / "typo.db") == 1
        assert "there is no ledger in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_verify_says_what_is_wrong_and_mends_it(
    ledgers: Ledgers, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_database(ledgers.url())
    store(engine, delivered())
    agree(engine)
    account(engine)
    assert command("verify", "--database", ledgers.url()) == 0
    before = held(ledgers.url())
    with writing(engine) as connection:
        days = connection.execute(update(DAYS).values(runs_failed=7)).rowcount
        connection.execute(update(RUNS).values(labels=["word:wrong"]))
        is_corrected = RUNS.c.name == ODD
        assert connection.execute(update(RUNS).where(is_corrected).values(name="x")).rowcount == 1
    engine.dispose()
    capsys.readouterr()
    assert command("verify", "--database", ledgers.url()) == 1
    said = capsys.readouterr()
    wrong = len(delivered()) + days + 2
    assert len(said.out.splitlines()) == wrong
    assert f"{wrong} differences" in said.err
    assert "runs_failed" in said.out
    assert "has not the corrected name" in said.out
    assert command("verify", "--repair", "--database", ledgers.url()) == 0
    capsys.readouterr()
    assert command("verify", "--database", ledgers.url()) == 0
    assert held(ledgers.url()) == before
