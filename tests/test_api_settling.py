"""Labels follow the runs a little later; nobody who looks for them can tell."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from api import derived, ingest, reports, settling
from api.app import create_app
from api.db import open_database, writing
from api.settling import settle
from api.tables import LABELS, UNLABELLED
from api.writing import Writing
from carbon.settings import Settings
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers
from tests.fixtures.tracking import wait_until


def waiting(engine: Engine) -> int:
    with engine.begin() as connection:
        return connection.execute(select(func.count()).select_from(UNLABELLED)).scalar_one()


def problems(engine: Engine) -> list[str]:
    with engine.begin() as connection:
        return derived.differences(connection)


def test_a_run_is_found_by_its_labels_at_once(
    ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "SETTLE_AFTER_S", 3600.0)
    monkeypatch.setattr(ingest, "LATEST_S", 3600.0)
    with TestClient(create_app(ledgers.settings())) as client:
        for number in range(3):
            report = make_report(tags={"number": str(number)}, name=f"resnet again{number}")
            put = client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
            assert put.status_code == 201
            for question in (f"tag=number:{number}", f"q=resnet again{number}"):
                items = client.get(f"/v1/runs?{question}").json()["items"]
                assert [item["run_id"] for item in items] == [str(report.run_id)]


def test_labels_follow_by_themselves(ledgers: Ledgers) -> None:
    with TestClient(app := create_app(ledgers.settings())) as client:
        report = make_report()
        client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
        wait_until(lambda: waiting(app.state.engine) == 0)
        assert problems(app.state.engine) == []


def test_a_server_that_ends_leaves_nothing_to_do(
    ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "SETTLE_AFTER_S", 3600.0)
    with TestClient(create_app(ledgers.settings())) as client:
        client.put(f"/v1/runs/{(report := make_report()).run_id}", content=report.model_dump_json())
    engine = open_database(ledgers.url())
    assert waiting(engine) == 0
    engine.dispose()


def test_runs_that_are_renamed_and_removed_meanwhile_keep_no_old_label(engine: Engine) -> None:
    runs = [make_report(seq=0) for _ in range(6)]

    def rename(worker: int) -> None:
        for seq in range(1, 16):
            for run in runs[worker::2]:
                tags = {"seq": str(seq), "worker": str(worker)}
                with writing(engine) as connection:
                    reports.store(connection, [make_report(run_id=run.run_id, seq=seq, tags=tags)])

    def follow(_: int) -> None:
        for _ in range(15):
            settle(engine)

    with writing(engine) as connection:
        reports.store(connection, runs)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(work, n) for work in (rename, follow) for n in range(2)]
        for job in jobs:
            job.result()
    assert problems(engine) == []
    with writing(engine) as connection:
        removing = Writing(connection)
        assert removing.hold([runs[0].run_id])
        removing.delete(runs[0].run_id)
        removing.finish()
    assert problems(engine) == []
    settle(engine)
    assert waiting(engine) == 0
    assert problems(engine) == []


def test_a_missing_label_is_not_taken_for_one_that_waits(engine: Engine) -> None:
    with writing(engine) as connection:
        reports.store(connection, [make_report()])
        connection.execute(UNLABELLED.delete())
    assert problems(engine) == ["run_labels: is not what the runs have"]


def test_labels_that_are_there_already_keep_the_others_from_nothing(engine: Engine) -> None:
    runs = [make_report() for _ in range(3)]
    with writing(engine) as connection:
        reports.store(connection, runs)
    settle(engine)
    with writing(engine) as connection:  # As a renamed run was left by earlier versions.
        some = LABELS.c.label.startswith("word:")
        connection.execute(LABELS.delete().where(LABELS.c.run_id == runs[1].run_id, some))
        connection.execute(UNLABELLED.insert().values(run_id=runs[1].run_id))
        reports.store(connection, [make_report()])
    settle(engine)
    assert waiting(engine) == 0
    assert problems(engine) == []


def test_a_ledger_that_cannot_be_written_now_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ingest, "SETTLE_AFTER_S", 3600.0)
    url = f"sqlite:///{tmp_path / 'ledger.db'}?timeout=0.1"
    settings = Settings.model_validate({"database_url": url, "spool_dir": tmp_path})
    with TestClient(app := create_app(settings)) as client:
        for _ in range(2):
            report = make_report()
            client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())

        def refuse(*_: object) -> None:
            raise OperationalError("BEGIN IMMEDIATE", {}, Exception("it is locked"))

        monkeypatch.setattr("api.settling.writing", refuse)
        assert client.get("/v1/runs?q=digits").status_code == 200
        assert "not found by their labels yet: it is locked" in caplog.text
        monkeypatch.undo()
        assert len(client.get("/v1/runs?q=digits").json()["items"]) == 2
        assert waiting(app.state.engine) == 0


def test_labels_follow_at_most_one_step_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Engine] = []
    may_end = threading.Event()

    def slow(of: Engine) -> None:
        begun.append(of)
        may_end.wait(30)

    def step(settler: settling.Settler) -> threading.Thread:
        thread = threading.Thread(target=settler.settle)
        thread.start()
        thread.join(0.2)
        return thread

    monkeypatch.setattr(settling, "settle", slow)
    settler = settling.Settler(engine)
    first = step(settler)
    if engine.dialect.name == "sqlite":
        assert first.is_alive()  # Nobody else could write meanwhile.
    else:
        assert not first.is_alive()
        second = step(settler)
        assert second.is_alive()
        assert begun == [engine]
        may_end.set()
        second.join(30)
    may_end.set()
    first.join(30)
    settler.wait()
    assert begun == [engine] * (1 if engine.dialect.name == "sqlite" else 2)
