"""The sums beside the runs: what they are after any history is what the runs add up to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic_core import from_json, to_json
from sqlalchemy import Engine, create_engine, delete, insert, select, update
from sqlmodel import SQLModel
from starlette.testclient import TestClient

from api import derived, labels, reports
from api.access import UNLIMITED
from api.db import open_database, writing
from api.heartbeats import Patience, mark_lost
from api.summaries import projects, summary
from api.tables import DAYS, RUNS, TOTALS
from api.writing import Writing
from carbon.schema import RunReport
from tests.factories import make_report

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

fields = st.fixed_dictionaries(
    {
        "project": st.sampled_from(["a", "b"]),
        "strategy": st.sampled_from([None, "ddp"]),
        "study": st.sampled_from([None, "s"]),
        "user": st.sampled_from([None, "u"]),
        "tags": st.dictionaries(st.sampled_from("xy"), st.sampled_from("pq")),
        "status": st.sampled_from(["running", "completed", "failed"]),
        "gpu_energy_kwh": st.none() | st.floats(0, 1e3),
        "cpu_energy_kwh": st.none() | st.floats(0, 9e5),
        "energy_uncertainty": st.none() | st.floats(0, 1),
        "intensity_g_per_kwh": st.none() | st.sampled_from([0.0, 56.0, 380.95]),
        "country_iso_code": st.sampled_from([None, "DEU", "FRA"]),
        "pue": st.floats(1, 2),
        "started_at": st.integers(-3, 3).map(lambda hours: NOON + timedelta(hours=9 * hours)),
    }
)


def problems(engine: Engine) -> list[str]:
    with engine.begin() as connection:
        return derived.differences(connection)


class Ledger(RuleBasedStateMachine):
    """New runs, repeats, late and outdated reports, corrections, lost and deleted runs."""

    @initialize()
    def open(self) -> None:
        self.engine = create_engine(
            "sqlite://",
            json_serializer=lambda value: to_json(value).decode(),
            json_deserializer=from_json,
        )
        SQLModel.metadata.create_all(self.engine)
        self.sent: list[RunReport] = []

    def deliver(self, *delivered: RunReport) -> None:
        with self.engine.begin() as connection:
            reports.store(connection, delivered)
        self.sent.extend(delivered)

    @rule(runs=st.lists(fields, min_size=1, max_size=4))
    def come_in(self, runs: list[dict[str, Any]]) -> None:
        self.deliver(*(make_report(ended_at=None, live_interval_s=1.0, **run) for run in runs))

    @rule(of=st.integers(0), changed=fields, seq=st.integers(0, 3))
    def tell_more(self, of: int, changed: dict[str, Any], seq: int) -> None:
        if self.sent:
            run_id = self.sent[of % len(self.sent)].run_id
            self.deliver(make_report(run_id=run_id, seq=seq, ended_at=None, **changed))

    @rule(of=st.integers(0))
    def repeat(self, of: int) -> None:
        if self.sent:
            self.deliver(self.sent[of % len(self.sent)])

    @rule(of=st.integers(0))
    def tell_of_a_share(self, of: int) -> None:
        if self.sent:
            run = self.sent[of % len(self.sent)]
            share = make_report(project=run.project, run_id=run.run_id, reporter="node-1", seq=9)
            self.deliver(share)

    @rule()
    def hear_nothing(self) -> None:
        mark_lost(self.engine, Patience(0.0, NOON), datetime.now(UTC) + timedelta(days=1))

    @rule()
    def settle(self) -> None:
        with self.engine.begin() as connection:
            labels.settle(connection)

    @rule(of=st.integers(0))
    def remove(self, of: int) -> None:
        if self.sent:
            with self.engine.begin() as connection:
                taking = Writing(connection)
                (run_id,) = {self.sent[of % len(self.sent)].run_id}
                if run_id in taking.hold([run_id]):
                    taking.delete(run_id)
                    taking.finish()

    @invariant()
    def the_sums_are_those_of_the_runs(self) -> None:
        assert problems(self.engine) == []

    @invariant()
    def totals_are_those_of_the_projects(self) -> None:
        with self.engine.begin() as connection:
            everything, listed = (
                summary(connection, UNLIMITED, None),
                projects(connection, UNLIMITED),
            )
            assert everything.runs == sum(line.runs for line in listed)
            moments = [line.first_run_at for line in listed if line.first_run_at]
            assert everything.first_run_at == min(moments, default=None)

    def teardown(self) -> None:
        self.engine.dispose()


TestLedger = Ledger.TestCase
TestLedger.settings = hypothesis_settings(max_examples=25, stateful_step_count=12, deadline=None)


@pytest.fixture
def engine(tmp_path: Any) -> Iterator[Engine]:
    opened = open_database(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.dispose()


def test_writers_at_once_lose_nothing(engine: Engine) -> None:
    runs = [make_report(gpu_energy_kwh=0.1 * i) for i in range(8)]

    def write(worker: int) -> None:
        for seq in range(10):
            for run in runs[worker % 2 :: 2]:
                report = make_report(run_id=run.run_id, seq=10 * seq + worker, pue=1 + seq / 10)
                with writing(engine) as connection:
                    reports.store(connection, [report])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert problems(engine) == []
    with engine.begin() as connection:
        assert summary(connection, UNLIMITED, None).runs == 8


def test_what_is_wrong_is_named_and_mended(engine: Engine) -> None:
    with writing(engine) as connection:
        reports.store(connection, [make_report(), make_report(project="other")])
        connection.execute(delete(TOTALS).where(TOTALS.c.project == "other"))
        connection.execute(update(DAYS).values(runs_completed=DAYS.c.runs_completed + 1))
        row = dict(connection.execute(select(TOTALS).limit(1)).mappings().one())
        connection.execute(insert(TOTALS).values({**row, "project": "gone"}))
    found = problems(engine)
    assert [line.split(": ", 1)[1] for line in found] == [
        "has wrong runs_completed",
        "has wrong runs_completed",
        "is of no run",
        "is missing",
    ]
    with writing(engine) as connection:
        derived.fill(connection)
    assert problems(engine) == []


def test_a_summary_reads_no_run_but_the_last(
    api_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sums answer, also where there is nothing left to sum."""
    for project in ("a", "b"):
        report = make_report(project=project)
        api_client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
    engine: Engine = api_client.app.state.engine  # type: ignore[attr-defined]
    with writing(engine) as connection:
        connection.execute(delete(RUNS))
    assert api_client.get("/v1/summary").json()["runs"] == 2
    assert [line["runs"] for line in api_client.get("/v1/projects").json()["items"]] == [1, 1]
