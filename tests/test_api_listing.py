"""Lists of runs: every filter and order gives what a look at every run would give."""

import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event
from starlette.testclient import TestClient

from api import listing
from api.app import create_app
from api.labels import words
from carbon.schema import DeviceReport, NodeReport, RunReport
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers
from tests.test_api_runs import all_pages, page, put

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RUNS = 60

Query = dict[str, Any]
Passes = Callable[[RunReport], bool]


def made(chance: random.Random) -> RunReport:
    """A run that has much in common with others, ties in every order and unknown values too."""
    hosts = chance.sample(["alpha", "Beta", "gamma-1"], chance.randint(0, 2))
    gpu = chance.choice(["NVIDIA H100", "Tesla V100", None])
    return make_report(
        project=chance.choice(["p", "q", "r s"]),
        study=chance.choice([None, "s", "t"]),
        name=chance.choice([None, "BERT base", "ResNet-50 100%", "snake_case"]),
        strategy=chance.choice([None, "single", "ddp"]),
        status=chance.choice(["completed", "failed", "running"]),
        started_at=NOON + DAY * chance.randint(0, 9),
        ended_at=None,
        duration_s=float(chance.choice([1, 60, 3600])),
        cpu_energy_kwh=None,
        ram_energy_kwh=None,
        gpu_energy_kwh=chance.choice([None, 0.0, 0.5, 1.25]),
        country_iso_code=chance.choice([None, "DEU", "FRA"]),
        region=chance.choice([None, "bavaria"]),
        user=chance.choice([None, "ann", "Bob"]),
        intensity_g_per_kwh=chance.choice([None, 50.0, 400.0]),
        tags=chance.choice([{}, {"owner": "ann"}, {"owner": "bob", "a:b": "c"}, {"x": ""}]),
        config=chance.choice([{}, {"optimizer": "AdamW", "lr": 0.1}]),
        nodes=[
            NodeReport(hostname=host, devices=[DeviceReport(uuid=f"GPU-{host}", name=gpu)])
            for host in hosts
        ],
        epochs=[],
    )


@pytest.fixture(scope="module")
def held() -> list[RunReport]:
    chance = random.Random(4)
    return [made(chance) for _ in range(RUNS)]


@pytest.fixture(scope="module")
def filled_app(module_ledgers: Ledgers) -> FastAPI:
    return create_app(module_ledgers.settings("filled"))


@pytest.fixture(scope="module")
def filled(filled_app: FastAPI, held: list[RunReport]) -> Iterator[TestClient]:
    with TestClient(filled_app) as client:
        for report in held:
            put(client, report)
        yield client


def hosts(run: RunReport) -> set[str]:
    return {node.hostname.casefold() for node in run.nodes}


def models(run: RunReport) -> set[str | None]:
    return {device.name for node in run.nodes for device in node.devices}


def has_words(*wanted: str) -> Passes:
    def passes(run: RunReport) -> bool:
        texts = [run.project, run.study, run.name, run.strategy, *run.tags.values(), *hosts(run)]
        texts += [value for value in run.config.values() if isinstance(value, str)]
        texts += models(run)
        return set(wanted) <= {word for text in texts if text for word in words(text)}

    return passes


FILTERS: list[tuple[Query, Passes]] = [
    ({}, lambda run: True),
    ({"project": "p"}, lambda run: run.project == "p"),
    ({"project": ["p", "r s", "nobody's"]}, lambda run: run.project in ("p", "r s")),
    ({"study": "s"}, lambda run: run.study == "s"),
    ({"strategy": ["ddp", "single"]}, lambda run: run.strategy is not None),
    ({"status": "failed"}, lambda run: run.status == "failed"),
    ({"country": "fra"}, lambda run: run.country_iso_code == "FRA"),
    ({"region": "bavaria"}, lambda run: run.region == "bavaria"),
    ({"user": "ann"}, lambda run: run.user == "ann"),
    ({"user": ["ann", "Bob"], "project": "p"}, lambda r: r.user is not None and r.project == "p"),
    ({"tag": "owner"}, lambda run: "owner" in run.tags),
    ({"tag": "owner:ann"}, lambda run: run.tags.get("owner") == "ann"),
    ({"tag": "a:b"}, lambda run: "a:b" in run.tags),
    ({"tag": "a:b:c"}, lambda run: "a:b" in run.tags),
    ({"tag": "x:"}, lambda run: "x" in run.tags),
    ({"tag": ["owner", "a:b"]}, lambda run: "a:b" in run.tags),
    ({"tag": "owne%"}, lambda run: False),
    ({"host": "ALPHA"}, lambda run: "alpha" in hosts(run)),
    ({"host": ["alpha", "beta"]}, lambda run: bool(hosts(run) & {"alpha", "beta"})),
    ({"gpu": "nvidia h100"}, lambda run: "NVIDIA H100" in models(run)),
    ({"since": "2026-03-03", "until": "2026-03-05"}, lambda run: 3 <= run.started_at.day <= 5),
    ({"since": "2026-03-05T12:00:00Z"}, lambda run: run.started_at >= NOON + 4 * DAY),
    ({"until": "2026-03-05T13:00:00+01:00"}, lambda run: run.started_at < NOON + 4 * DAY),
    ({"min_energy_kwh": 0.5}, lambda run: (run.energy_kwh or 0) >= 0.5),
    ({"max_energy_kwh": 0.5}, lambda run: run.energy_kwh is not None and run.energy_kwh <= 0.5),
    ({"min_energy_kwh": 0.5, "max_energy_kwh": 0.5}, lambda run: run.energy_kwh == 0.5),
    ({"max_emissions_kg": 0.1}, lambda r: r.emissions_kg is not None and r.emissions_kg <= 0.1),
    ({"min_duration_s": 60, "max_duration_s": 60}, lambda run: run.duration_s == 60),
    ({"q": "bert"}, has_words("bert")),
    ({"q": "ADAMW h100"}, has_words("adamw", "h100")),
    ({"q": "100%"}, has_words("100")),
    ({"q": "snake_case"}, has_words("snake", "case")),
    ({"q": "gamma-1 ann"}, has_words("gamma", "1", "ann")),
    ({"q": "bert nowhere"}, lambda run: False),
    (
        {"project": ["p", "q"], "host": "alpha", "q": "ddp", "min_duration_s": 2},
        lambda run: (
            run.project in ("p", "q")
            and "alpha" in hosts(run)
            and run.strategy == "ddp"
            and run.duration_s > 2
        ),
    ),
    (
        {"host": ["alpha", "beta"], "status": "completed", "since": "2026-03-04"},
        lambda run: (
            bool(hosts(run) & {"alpha", "beta"})
            and run.status == "completed"
            and run.started_at > NOON + 2 * DAY
        ),
    ),
]

SORTS = [
    f"{sign}{name}"
    for name in ("started_at", "duration_s", "energy_kwh", "emissions_kg")
    for sign in ("-", "")
]


def in_order(runs: list[RunReport], sort: str) -> list[RunReport]:
    """Sort as the API says it does: unknown values last, ids decide among equals."""
    name, is_descending = sort.removeprefix("-"), sort.startswith("-")
    known = [run for run in runs if getattr(run, name) is not None]
    unknown = [run for run in runs if getattr(run, name) is None]
    known.sort(key=lambda run: (getattr(run, name), run.run_id), reverse=is_descending)
    unknown.sort(key=lambda run: run.run_id, reverse=is_descending)
    return known + unknown


@pytest.mark.parametrize("few", [0, listing.FEW], ids=["walked", "looked up"])
@pytest.mark.parametrize(("query", "passes"), FILTERS, ids=[str(query) for query, _ in FILTERS])
def test_every_filter_in_every_order_is_what_a_look_at_each_run_gives(
    filled: TestClient,
    held: list[RunReport],
    query: Query,
    passes: Passes,
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Few runs are looked up and many are walked through; both have to give the same.
    for name in ("FEW", "FEW_BY_TIME"):
        monkeypatch.setattr(listing, name, few)
    for sort in SORTS if few else ["-started_at", "-energy_kwh", "emissions_kg"]:
        pages = all_pages(filled, **query, sort=sort, limit=23)
        found = [run.run_id for each in pages for run in each.items]
        expected = in_order([run for run in held if passes(run)], sort)
        assert found == [run.run_id for run in expected], sort


def test_the_cases_let_some_runs_through_and_hold_some_back(held: list[RunReport]) -> None:
    for query, passes in FILTERS:
        number = sum(map(passes, held))
        assert 0 < number < RUNS or query in ({}, {"tag": "owne%"}, {"q": "bert nowhere"}), query


def test_a_value_given_twice_gives_no_run_twice(filled: TestClient) -> None:
    once, twice = page(filled, host="alpha"), page(filled, host=["alpha", "ALPHA"])
    assert once.items == twice.items


# --------------------------------------------------------------- one page costs what one page costs

INDEXED: list[tuple[str, Query]] = [
    ("runs_by_project", {"project": "p"}),
    ("runs_by_project", {"project": ["p", "q"]}),
    ("runs_by_study", {"study": "s"}),
    ("runs_by_strategy", {"strategy": "ddp"}),
    ("runs_by_status", {"status": "failed"}),
    ("runs_by_country", {"country": "DEU"}),
    ("runs_by_region", {"region": "bavaria"}),
    ("PRIMARY KEY (label=?", {"user": "ann"}),
    ("PRIMARY KEY (label=?", {"tag": "owner"}),
    ("PRIMARY KEY (label=?", {"host": "alpha"}),
    ("PRIMARY KEY (label=?", {"gpu": "Tesla V100"}),
    ("PRIMARY KEY (label=?", {"q": "bert"}),
    ("runs_by_time", {}),
    ("runs_by_time", {"since": "2026-03-03"}),
    ("COVERING INDEX runs_by_time", {"min_energy_kwh": 0.5}),
    ("COVERING INDEX runs_by_time", {"max_emissions_kg": 0.5}),
    ("COVERING INDEX runs_by_time", {"min_duration_s": 0.5}),
    ("runs_by_energy", {"sort": "-energy_kwh"}),
    ("runs_by_emissions", {"sort": "emissions_kg"}),
    ("runs_by_duration", {"sort": "-duration_s"}),
    ("COVERING INDEX runs_by_energy", {"sort": "-energy_kwh", "project": "p"}),
    ("COVERING INDEX runs_by_energy", {"sort": "-energy_kwh", "min_emissions_kg": 0.1}),
    ("COVERING INDEX runs_by_duration", {"sort": "duration_s", "max_energy_kwh": 9}),
]


@pytest.mark.parametrize(("index", "query"), INDEXED, ids=[str(query) for _, query in INDEXED])
def test_a_page_is_one_stretch_of_an_index(
    filled_app: FastAPI,
    filled: TestClient,
    index: str,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No page sorts, nor reads the table from its beginning, however many runs pass a filter."""
    if filled_app.state.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL plans by its statistics, and reads small tables whole")
    for name in ("FEW", "FEW_BY_TIME"):
        monkeypatch.setattr(listing, name, 0)
    plans = plans_of_the_second_page(filled_app, filled, query)
    assert plans
    for steps in plans:
        assert any(index in step for step in steps), steps
        read = [step for step in steps if step.startswith(("SCAN", "SEARCH"))]
        assert all("USING" in step or step.startswith("SCAN anon") for step in read), steps
        if not isinstance(query.get("project"), list):  # Two stretches have to be merged.
            assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.parametrize(
    ("query", "looked_up_by"),
    [
        ({"until": "2026-03-08"}, "((started_at,run_id)<(?,?))"),
        (
            {"since": "2026-03-03", "until": "2026-03-08"},
            "(started_at>? AND (started_at,run_id)<(?,?))",
        ),
        ({"since": "2026-03-03", "sort": "started_at"}, "((started_at,run_id)>(?,?))"),
        ({"until": "2026-03-08", "project": "p"}, "(project=? AND (started_at,run_id)<(?,?))"),
        ({"until": "2026-03-08", "q": "ann"}, "(label=? AND (started_at,run_id)<(?,?))"),
    ],
)
def test_a_later_page_is_looked_up_by_where_it_begins(
    filled_app: FastAPI,
    filled: TestClient,
    query: Query,
    looked_up_by: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not by where the list does, or it would be the slower the later it is."""
    if filled_app.state.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL looks up by both")
    for name in ("FEW", "FEW_BY_TIME"):
        monkeypatch.setattr(listing, name, 0)
    for steps in plans_of_the_second_page(filled_app, filled, query):
        assert any(looked_up_by in step for step in steps), steps


def plans_of_the_second_page(app: FastAPI, client: TestClient, query: Query) -> list[list[str]]:
    """The steps of each statement that finds runs of it, as SQLite explains them."""
    first = page(client, **query, limit=2)
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _u: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    engine = app.state.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        page(client, **query, limit=2, cursor=first.next_cursor)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        return [
            [
                row.detail
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            for statement, parameters in statements
            # Threads of the server look for keys, and for runs without labels, now and then.
            if re.search(r"FROM (runs|run_labels)\b.*ORDER BY.*LIMIT", statement, re.DOTALL)
        ]


# ------------------------------------------------------------------------------- cursors and fields


def test_a_cursor_is_of_one_list_only(filled: TestClient) -> None:
    cursor = page(filled, project="p", limit=2).next_cursor
    assert page(filled, project="p", limit=3, cursor=cursor).items
    for other in ({"project": "q"}, {"project": "p", "sort": "energy_kwh"}, {}):
        answer = filled.get("/v1/runs", params={**other, "cursor": cursor})
        assert answer.status_code == 422
        assert "other filters or another order" in answer.json()["detail"]


def test_only_the_fields_that_are_wanted_come(filled: TestClient) -> None:
    whole = filled.get("/v1/runs?limit=3").json()
    some = filled.get("/v1/runs?limit=3&fields=energy_kwh,run_id,energy_kwh").json()
    assert [list(item) for item in some["items"]] == [["energy_kwh", "run_id"]] * 3
    for item, full in zip(some["items"], whole["items"], strict=True):
        assert item.items() <= full.items()
    assert some["next_cursor"] == whole["next_cursor"]


def test_an_unknown_field_is_told_which_there_are(filled: TestClient) -> None:
    problem = filled.get("/v1/runs?fields=run_id,enery_kwh,nodes").json()
    assert "there is no field 'enery_kwh', 'nodes'" in problem["detail"]
    assert all(field in problem["detail"] for field in listing.FIELDS)


WRONG = [
    ("projct=p", "projct: Extra inputs are not permitted"),
    ("sort=energy", "sort: Input should be '-started_at'"),
    ("min_energy_kwh=2&max_energy_kwh=1", "min_energy_kwh is 2.0, more than max_energy_kwh, 1.0"),
    ("min_energy_kwh=-1", "min_energy_kwh: Input should be greater than or equal to 0"),
    ("min_energy_kwh=nan", "min_energy_kwh: Input should be a finite number"),
    ("since=2026-03-02&until=2026-03-01", "is not before until"),
    ("since=2026-02-30", "since: day is out of range for month"),
    ("since=2026-03-01T12:00:00", "since: Input should have timezone info"),
    ("until=9999-12-31", "until: the day after it is beyond the year 9999"),
    ("q=%25_", "q: '%_' has no letter or digit to search for"),
    ("tag=", "tag: must not be empty; leave it out"),
    ("country=Germany", "country: String should match pattern"),
    ("&".join(f"host={number}" for number in range(21)), "host: List should have at most 20"),
]


@pytest.mark.parametrize(("query", "detail"), WRONG)
def test_a_wrong_question_is_told_what_is_wrong(
    filled: TestClient, query: str, detail: str
) -> None:
    answer = filled.get(f"/v1/runs?{query}")
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


# ---------------------------------------------------------------------------- labels follow the run


def test_labels_follow_a_corrected_report(api_client: TestClient) -> None:
    first = make_report(name="first try", tags={"owner": "ann"})
    put(api_client, first)
    second = make_report(
        run_id=first.run_id,
        seq=1,
        name="second try",
        tags={"owner": "bob"},
        started_at=NOON + DAY,
        nodes=[NodeReport(hostname="elsewhere")],
    )
    put(api_client, second, 200)
    put(api_client, first, 200)
    for query in ({"q": "first"}, {"tag": "owner:ann"}, {"host": "node-1"}):
        assert page(api_client, **query).items == []
    for query in ({"q": "second"}, {"tag": "owner:bob"}, {"host": "elsewhere"}, {"q": "try"}):
        (found,) = page(api_client, **query).items
        assert found.started_at == NOON + DAY


def test_each_nodes_host_is_found_in_a_run_of_shares(api_client: TestClient) -> None:
    one = make_report(reporter="a", nodes=[NodeReport(hostname="a")], cpu_energy_kwh=None)
    other = make_report(run_id=one.run_id, reporter="b", nodes=[NodeReport(hostname="b")])
    put(api_client, one)
    put(api_client, other, 200)
    for host in ("a", "b"):
        assert [run.run_id for run in page(api_client, host=host).items] == [one.run_id]


def test_a_text_too_long_for_an_index_is_found(api_client: TestClient) -> None:
    long = "\N{SEEDLING}" * 1000
    put(api_client, make_report(tags={"k": long}))
    assert len(page(api_client, tag=f"k:{long[:990]}").items) == 0
    assert len(page(api_client, tag="k").items) == 1
