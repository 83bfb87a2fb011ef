"""The sums beside the runs: what they are after any history is what the runs add up to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import cycle
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic_core import from_json, to_json
from sqlalchemy import Engine, create_engine, delete, insert, select, update
from sqlmodel import SQLModel
from starlette.testclient import TestClient

from api import corrections, costings, derived, factors, labels, months, reports, runs
from api.access import UNLIMITED
from api.db import open_database, writing
from api.groups import Grouping, page
from api.heartbeats import Patience, mark_lost
from api.overlay import as_delivered, laid_over
from api.problems import ProblemError
from api.settling import settle_months
from api.summaries import projects, summary
from api.tables import DAYS, NODE_DAYS, RUNS, TOTALS
from carbon.schema import (
    Correction,
    DeviceReport,
    Factor,
    FactorKind,
    FactorTable,
    NodeReport,
    RecostOrder,
    RunReport,
)
from tests.factories import make_report

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def node(hostname: str, *models: str | None, attempt: int = 0) -> NodeReport:
    """A host with accelerators of these models, all but the first of unknown energy."""
    devices = [
        DeviceReport(uuid=f"GPU-{i}", name=model, energy_kwh=None if i else 0.3)
        for i, model in enumerate(models)
    ]
    gpu = 0.3 if models else None
    return NodeReport(
        hostname=hostname, attempt=attempt, energy_kwh=gpu, gpu_energy_kwh=gpu, devices=devices
    )


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
        "nodes": st.sampled_from(
            [
                [],
                [node("one", "H100", "V100")],
                [node("one"), node("two", "H100"), node("two", None, attempt=1)],
            ]
        ),
        "started_at": st.integers(-3, 3).map(lambda hours: NOON + timedelta(hours=9 * hours)),
    }
)


corrected = st.fixed_dictionaries(
    {},
    optional={
        "project": st.sampled_from(["a", "c"]),
        "study": st.sampled_from([None, "t"]),
        "tags": st.sampled_from([{}, {"team": "x"}]),
        "pue": st.floats(1, 2),
        "country_iso_code": st.sampled_from([None, "DEU", "FRA"]),
        "intensity_g_per_kwh": st.none() | st.floats(0, 900),
        "market_intensity_g_per_kwh": st.none() | st.floats(0, 900),
    },
).filter(bool) | st.sampled_from([{"gpu_energy_kwh": 0.25}, {"energy_kwh": 0.5}])

# Which corrections are no more than what followed from another one, once that is there.
OVERRULED = {
    "country_iso_code": ["intensity_g_per_kwh", "market_intensity_g_per_kwh"],
    "gpu_energy_kwh": ["energy_kwh"],
    "energy_kwh": ["gpu_energy_kwh"],
}

GROUPINGS = [
    Grouping(("week",), {}),
    Grouping(("user",), {}, since=date(2026, 3, 1)),
    Grouping(("month", "place"), {}, until=date(2026, 3, 2)),
    Grouping(("gpu_model",), {}, descending=True),
]

WHOLE = {"limit": 1000, "dry_run": True, "cursor": None}


def ledger_in_memory() -> Engine:
    engine = create_engine(
        "sqlite://",
        json_serializer=lambda value: to_json(value).decode(),
        json_deserializer=from_json,
    )
    SQLModel.metadata.create_all(engine)
    return engine


def problems(engine: Engine) -> list[str]:
    with engine.begin() as connection:
        return derived.differences(connection)


class Ledger(RuleBasedStateMachine):
    """New runs, late and outdated reports, corrections, re-costings, lost and deleted runs."""

    @initialize()
    def open(self) -> None:
        self.engine, self.uncorrected = ledger_in_memory(), ledger_in_memory()
        self.sent: list[RunReport] = []
        self.asked = cycle(GROUPINGS)
        self.holds: dict[UUID, dict[str, Any]] = {}
        with self.engine.begin() as connection:
            tables: list[tuple[FactorKind, str, float]] = [
                ("location", "coal", 900.0),
                ("location", "wind", 11.0),
                ("market", "bought", 5.0),
            ]
            for kind, version, intensity in tables:
                known = [Factor(country_iso_code="DEU", intensity_g_per_kwh=intensity)]
                table = FactorTable(kind=kind, version=version, source="s", factors=known)
                assert factors.keep(connection, table)

    def deliver(self, *delivered: RunReport) -> None:
        for ledger in (self.engine, self.uncorrected):
            with ledger.begin() as connection:
                found = reports.store(connection, delivered)
                assert not [each for each in found if isinstance(each, ProblemError)]
        self.sent.extend(delivered)

    @rule(new=st.lists(fields, min_size=1, max_size=4))
    def come_in(self, new: list[dict[str, Any]]) -> None:
        self.deliver(*(make_report(ended_at=None, live_interval_s=1.0, **run) for run in new))

    @rule(of=st.integers(0, 3), changed=fields, is_news=st.booleans())
    def tell_more(self, of: int, changed: dict[str, Any], is_news: bool) -> None:
        if self.sent:
            run_id = self.sent[of % len(self.sent)].run_id
            seq = len(self.sent) if is_news else 1
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
        for ledger in (self.engine, self.uncorrected):
            mark_lost(ledger, Patience(0.0, NOON), datetime.now(UTC) + timedelta(days=1))

    @rule()
    def settle(self) -> None:
        with self.engine.begin() as connection:
            labels.settle(connection)

    @rule(kind=st.sampled_from(months.KINDS))
    def need_months(self, kind: str) -> None:
        settle_months(self.engine, kind)
        with self.engine.begin() as connection:
            assert months.stale(connection, kind) == []

    @rule(of=st.integers(0))
    def remove(self, of: int) -> None:
        if not self.sent:
            return
        run_id = self.sent[of % len(self.sent)].run_id
        for ledger in (self.engine, self.uncorrected):
            with ledger.begin() as connection, suppress(ProblemError):  # It is gone already.
                corrections.delete(connection, UNLIMITED, run_id, "somebody", None)
        self.holds.pop(run_id, None)

    @rule(of=st.integers(0, 3), changed=corrected, heard=st.lists(fields, max_size=1))
    def correct(self, of: int, changed: dict[str, Any], heard: list[dict[str, Any]]) -> None:
        if not self.sent:
            return
        run_id = self.sent[of % len(self.sent)].run_id
        try:
            with self.engine.begin() as connection:
                correction = Correction(reason="wrong", **changed)
                corrections.correct(connection, UNLIMITED, run_id, correction, "somebody")
        except ProblemError as error:
            if error.status not in (404, 409):  # Deleted, or it goes on.
                raise
            return
        holds = self.holds.setdefault(run_id, {})
        for name in changed:
            for other in OVERRULED.get(name, ()):
                holds.pop(other, None)
        holds |= changed
        for news in heard:
            self.tell_more(of, news, is_news=True)

    @rule(of=st.integers(0))
    def withdraw(self, of: int) -> None:
        run_id = self.sent[of % len(self.sent)].run_id if self.sent else None
        if run_id in self.holds:
            withdrawn = list(self.holds.pop(run_id))
            with self.engine.begin() as connection:
                correction = Correction(reason="right after all", withdraw=withdrawn)
                corrections.correct(connection, UNLIMITED, run_id, correction, "somebody")

    @rule(table=st.sampled_from(["coal", "wind", "bought"]), project=st.sampled_from([None, "a"]))
    def recost(self, table: str, project: str | None) -> None:
        """Run by run, as if it were broken off and taken up again each time."""
        order = RecostOrder(table=table, project=project, limit=1)
        planned = costings.recost(
            self.engine, UNLIMITED, order.model_copy(update=WHOLE), "somebody"
        )
        done = [costings.recost(self.engine, UNLIMITED, order, "somebody")]
        while done[-1].next_cursor is not None:
            order = order.model_copy(update={"cursor": done[-1].next_cursor})
            done.append(costings.recost(self.engine, UNLIMITED, order, "somebody"))
        assert sum(each.runs for each in done) == planned.runs
        again = costings.recost(self.engine, UNLIMITED, order.model_copy(update=WHOLE), "somebody")
        assert (again.runs, again.difference_kg) == (0, 0.0)
        assert again.runs_as_before == planned.runs + planned.runs_as_before

    @invariant()
    def what_was_corrected_holds(self) -> None:
        with self.engine.begin() as connection:
            for row in connection.execute(select(RUNS)).mappings():
                expected = self.holds.get(row["run_id"], {})
                assert {name: row[name] for name in expected} == expected
                report = as_delivered(dict(row))
                factor_of = partial(factors.find, connection)
                laid = laid_over(report, row["corrections"] or {}, factor_of)
                assert {**report, **laid} | {"delivered": row["delivered"]} == dict(row)

    @invariant()
    def what_was_delivered_is_as_if_nothing_had_been_corrected(self) -> None:
        with self.engine.begin() as here, self.uncorrected.begin() as there:
            for run_id in there.execute(select(RUNS.c.run_id)).scalars():
                delivered = runs.find(here, UNLIMITED, run_id, is_as_delivered=True)
                assert delivered == runs.find(there, UNLIMITED, run_id)

    @invariant()
    def the_sums_are_those_of_the_runs(self) -> None:
        assert problems(self.engine) == []

    @invariant()
    def everything_is_what_the_projects_are_together(self) -> None:
        grouping = next(self.asked)
        by_project = replace(grouping, among={"project": ("a", "b", "c")})
        with self.engine.begin() as connection:
            assert page(connection, grouping, 100) == page(connection, by_project, 100)

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
        self.uncorrected.dispose()


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
        connection.execute(delete(NODE_DAYS).where(NODE_DAYS.c.project == "other"))
        spoilt = {"emissions_kg_remainder": NODE_DAYS.c.emissions_kg_remainder - 1}
        connection.execute(update(NODE_DAYS).values(spoilt))
        row = dict(connection.execute(select(TOTALS).limit(1)).mappings().one())
        connection.execute(insert(TOTALS).values({**row, "project": "gone"}))
    found = problems(engine)
    assert [line.split(": ", 1)[1] for line in found] == [
        "has wrong emissions_kg",
        "is missing",
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
