"""Sums over the whole ledger: they answer what the sums of days add up to, at any moment."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, update
from starlette.testclient import TestClient

from api import corrections, derived, months, reports
from api.access import UNLIMITED
from api.app import create_app
from api.db import open_database, writing
from api.engine import snapshots_of
from api.groups import Grouping, page
from api.kinds import COLUMNS_OF
from api.problems import ProblemError
from api.settling import settle_months
from api.tables import DAYS, GPU_DAYS, MONTH_SUMS, MONTH_VERSIONS, NODE_DAYS, RUNS
from carbon.schema import Correction, GroupTotals, RunReport
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers, empty
from tests.test_api_groups import made
from tests.test_api_runs import put

MARCH = date(2026, 3, 1)
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
PROJECTS = ("p", "q/r s", "other")

ASKED = [
    *(Grouping((key,), {}) for key in ("day", "week", "month", *COLUMNS_OF)),
    *(Grouping(("month", key), {}) for key in ("project", "place", "node")),
    Grouping(("study", "month"), {}, descending=True),
    Grouping(("week", "month"), {}, since=date(2026, 1, 9), until=date(2026, 1, 11)),
    Grouping(("strategy",), {}, since=date(2026, 1, 1)),
    Grouping(("gpu_model",), {}, since=date(2025, 12, 30), until=date(2026, 1, 4)),
    Grouping(("user",), {}, until=date(2026, 1, 31)),
    Grouping(("user",), {}, since=date(2026, 2, 1)),
]


@pytest.fixture(scope="module")
def module_engine(module_ledgers: Ledgers) -> Iterator[Engine]:
    opened = open_database(module_ledgers.url("months"))
    yield opened
    opened.dispose()


@pytest.fixture
def engine(module_engine: Engine) -> Engine:
    empty(module_engine)
    return module_engine


def store(engine: Engine, *delivered: RunReport) -> None:
    with writing(engine) as connection:
        found = reports.store(connection, delivered)
        assert not [each for each in found if isinstance(each, ProblemError)]


def lines(connection: Connection, grouping: Grouping, limit: int = 1000) -> list[GroupTotals]:
    """All pages."""
    found, cursor = page(connection, grouping, limit)
    while cursor is not None:
        more, cursor = page(connection, grouping, limit, cursor)
        found += more
    return found


def directly(connection: Connection, grouping: Grouping) -> list[GroupTotals]:
    """The same from the sums of days, as it is limited to what happens to be all projects."""
    limited = replace(grouping, among={"project": PROJECTS})
    assert (grouping.kind, limited.kind) == (grouping.kind or "", None)
    return lines(connection, limited)


def problems(engine: Engine) -> list[str]:
    with snapshots_of(engine).begin() as connection:
        return derived.differences(connection)


def change_something(engine: Engine, chance: random.Random, sent: list[RunReport]) -> None:
    what = chance.choice(["new", "new", "live", "corrected", "deleted"])
    if what == "new" or not sent:
        new = [made(chance) for _ in range(chance.randint(1, 4))]
        store(engine, *new)
        sent += new
        return
    run = chance.choice(sent)
    if what == "live":
        store(engine, made(chance).model_copy(update={"run_id": run.run_id, "seq": len(sent) + 9}))
        return
    with writing(engine) as connection, suppress(ProblemError):  # It is gone, or it goes on.
        if what == "deleted":
            corrections.delete(connection, UNLIMITED, run.run_id, "somebody", None)
        else:
            moved = Correction(reason="wrong", project="other", pue=chance.choice([1.25, 1.5]))
            corrections.correct(connection, UNLIMITED, run.run_id, moved, "somebody")


def test_whatever_happens_every_answer_is_what_the_days_add_up_to(engine: Engine) -> None:
    chance = random.Random(11)
    sent: list[RunReport] = []
    for _ in range(10):
        change_something(engine, chance, sent)
        for grouping in chance.sample(ASKED, 7):
            assert grouping.kind is not None
            if chance.random() < 0.4:
                settle_months(engine, grouping.kind)
            with snapshots_of(engine).begin() as connection:
                right = directly(connection, grouping)
                assert lines(connection, grouping) == right
        with snapshots_of(engine).begin() as connection:
            assert lines(connection, grouping, limit=1) == right
    assert problems(engine) == []
    for kind in months.KINDS:
        settle_months(engine, kind)
        with snapshots_of(engine).begin() as connection:
            assert months.stale(connection, kind) == []
    assert len({run.started_at.month for run in sent}) > 1
    assert problems(engine) == []


def test_what_is_made_is_read_alone_and_a_report_costs_its_month_only(engine: Engine) -> None:
    store(engine, make_report(started_at=NOON - timedelta(days=60), ended_at=None))
    store(engine, make_report(started_at=NOON, ended_at=None, user="ann"))
    for grouping in ASKED:
        settle_months(engine, str(grouping.kind))
    whole = [grouping for grouping in ASKED if grouping.since is None and grouping.until is None]
    with snapshots_of(engine).begin() as connection:
        before = [lines(connection, grouping) for grouping in whole]
    with writing(engine) as connection:
        for table in (DAYS, NODE_DAYS, GPU_DAYS):
            connection.execute(delete(table))
    with snapshots_of(engine).begin() as connection:
        assert [lines(connection, grouping) for grouping in whole] == before
    store(engine, make_report(started_at=NOON, ended_at=None, user="bob"))
    with snapshots_of(engine).begin() as connection:
        assert months.stale(connection, "user") == [MARCH]
        by_month = lines(connection, Grouping(("month", "user"), {}))
        # Of March there are the days that were not taken away.
        assert [(line.month, line.user, line.runs) for line in by_month] == [
            ("2026-01", make_report().user, 1),
            ("2026-03", "bob", 1),
        ]


Found = tuple[int, list[tuple[object, ...]]]


def add_up(engine: Engine) -> Found:
    """March by user, which is not made."""
    with snapshots_of(engine).begin() as connection:
        found = months.added_up(connection, "user", MARCH)
    assert found is not None
    return found


def keep(engine: Engine, found: Found) -> None:
    with writing(engine) as connection:
        months.keep(connection, "user", MARCH, *found)


def made_and_answered(engine: Engine) -> tuple[bool, list[tuple[str | None, int]]]:
    """Whether that is made, and the runs of each user."""
    with snapshots_of(engine).begin() as connection:
        stale = months.stale(connection, "user")
        found = lines(connection, Grouping(("user",), {}))
    return MARCH not in stale, [(line.user, line.runs) for line in found]


def test_a_month_that_changes_while_it_is_made_is_not_taken_for_made(engine: Engine) -> None:
    store(engine, make_report(user="ann"))
    earlier = add_up(engine)
    store(engine, make_report(user="ann"))
    keep(engine, earlier)
    assert made_and_answered(engine) == (False, [("ann", 2)])
    keep(engine, add_up(engine))
    keep(engine, earlier)  # Somebody was slow, and is too late.
    assert made_and_answered(engine) == (True, [("ann", 2)])
    with snapshots_of(engine).begin() as connection:
        assert months.added_up(connection, "user", MARCH) is None


def test_what_was_added_up_before_all_is_made_anew_does_not_count(engine: Engine) -> None:
    store(engine, make_report(user="ann"))
    of_ann = add_up(engine)
    with writing(engine) as connection:
        connection.execute(delete(RUNS))
        derived.sum_up(connection)
    keep(engine, of_ann)
    assert made_and_answered(engine) == (False, [])
    store(engine, make_report(user="bob"))
    assert made_and_answered(engine) == (False, [("bob", 1)])


def test_two_who_write_and_one_who_reads_at_once(engine: Engine) -> None:
    begin = [NOON + timedelta(days=9 * i) for i in range(4)]
    runs = [
        make_report(started_at=started_at, ended_at=None, seq=0, project=project)
        for started_at in begin
        for project in ("p", "other")
    ]
    by_month, by_node = Grouping(("month",), {}), Grouping(("node",), {})

    def write(worker: int) -> None:
        for seq in range(1, 8):
            for run in runs[worker::2]:
                same = {"run_id": run.run_id, "project": run.project, "ended_at": None}
                store(engine, make_report(**same, started_at=run.started_at, seq=seq, pue=1 + seq))

    def read() -> None:
        for grouping in (by_month, by_node):
            settle_months(engine, str(grouping.kind))
            with snapshots_of(engine).begin() as connection:
                assert lines(connection, grouping) == directly(connection, grouping)

    store(engine, *runs)
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, worker) for worker in range(2)]
        reader = pool.submit(read)
        while not all(writer.done() for writer in writers):
            reader.result()
            reader = pool.submit(read)
        for done in (*writers, reader):
            done.result()
    read()
    with snapshots_of(engine).begin() as connection:
        assert months.stale(connection, "node") == months.stale(connection, months.BY_DAY) == []
        assert sum(line.runs for line in lines(connection, by_month)) == len(runs)
    assert problems(engine) == []


def test_a_ledger_that_cannot_be_written_now_is_summed_up_all_the_same(
    ledgers: Ledgers, caplog: pytest.LogCaptureFixture
) -> None:
    url = ledgers.url()
    if ledgers.backend == "sqlite":
        url += "?timeout=0.1"
    settings = ledgers.settings(database_url=url)
    with TestClient(app := create_app(settings)) as client:
        put(client, make_report())
        engine: Engine = app.state.engine

        def counted() -> list[int]:
            items = client.get("/v1/summary?group_by=project").json()["items"]
            return [line["runs"] for line in items]

        with writing(engine):  # So that nobody else can write into a file.
            if ledgers.backend == "postgresql":
                app.state.engine = snapshots_of(engine)
            assert counted() == [1]
        assert "sums of months are not kept yet: " in caplog.text
        app.state.engine = engine
        with snapshots_of(engine).begin() as connection:
            assert months.stale(connection, "project") == [MARCH]
        assert counted() == [1]
        with snapshots_of(engine).begin() as connection:
            assert months.stale(connection, "project") == []


def test_what_is_wrong_is_named_and_mended(engine: Engine) -> None:
    store(engine, make_report(), make_report(project="other", started_at=NOON, ended_at=None))
    for kind in ("project", months.BY_DAY):
        settle_months(engine, kind)
    assert problems(engine) == []
    with writing(engine) as connection:
        is_other = MONTH_SUMS.c.value == "other"
        connection.execute(update(MONTH_SUMS).where(is_other).values(duration_s_known=7))
        row = dict(connection.execute(select(MONTH_SUMS).where(is_other)).mappings().one())
        connection.execute(insert(MONTH_SUMS).values({**row, "value": "gone"}))
        is_by_day = MONTH_SUMS.c.kind == months.BY_DAY
        connection.execute(delete(MONTH_SUMS).where(is_by_day, MONTH_SUMS.c.beginning == MARCH))
    assert {line.rpartition("): ")[2] for line in problems(engine)} == {
        "is missing",
        "has wrong duration_s_known",
        "is of no run",
    }
    with writing(engine) as connection:
        connection.execute(delete(MONTH_VERSIONS))
    assert problems(engine) == ["month_versions 2026-03-01: is missing"]
    with writing(engine) as connection:
        derived.fill(connection)
    assert problems(engine) == []
    for kind in ("project", months.BY_DAY):
        settle_months(engine, kind)
    assert problems(engine) == []


def test_what_the_sums_over_everything_do_not_answer_comes_from_the_days() -> None:
    for keys in (("project", "user"), ("day", "user"), ("week", "node"), ("node", "project")):
        assert Grouping(keys, {}).kind is None
    for among in ({"project": ()}, {"project": ("p",)}, {"user": ("ann",)}):
        assert Grouping(("month",), among).kind is None
    assert Grouping(("day", "month"), {}).kind == months.BY_DAY
    assert Grouping(("month", "place"), {}).kind == "place"
