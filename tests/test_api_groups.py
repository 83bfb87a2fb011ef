"""Summaries by groups: each line is what a look at every run of the group would give."""

import csv
import io
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from fastapi import FastAPI
from pyarrow import parquet
from sqlalchemy import Date, literal, select
from starlette.testclient import TestClient

from api import cursors, groups
from api.app import create_app
from api.beginnings import BEGINNINGS, name_of
from api.breakdown import by_gpu_model, by_node
from api.groups import KEYS, Grouping
from carbon import units
from carbon.countries import country_name
from carbon.rest.client import Client
from carbon.schema import DeviceReport, NodeReport, RunReport, Totals
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.fixtures.ledgers import Ledgers
from tests.test_api_runs import put

NOON = datetime(2025, 12, 27, 12, tzinfo=UTC)  # Around a turn of years, where weeks are odd.
RUNS = 40

TURNS = [(1, 1), (1, 3), (1, 4), (2, 28), (3, 1), (12, 28), (12, 31)]

Line = dict[str, Any]


def node(chance: random.Random, hostname: str, attempt: int) -> NodeReport:
    """A host with up to three accelerators, some of them without a name or an energy."""
    devices = [
        DeviceReport(
            uuid=f"GPU-{hostname}-{i}",
            name=chance.choice(["NVIDIA H100", "Tesla V100", None]),
            energy_kwh=chance.choice([None, 0.0, 0.125, 1.5]),
            energy_uncertainty=0.05,
        )
        for i in range(chance.randint(0, 3))
    ]
    gpu = units.add_known([device.energy_kwh for device in devices])
    cpu = chance.choice([None, 0.25])
    return NodeReport(
        hostname=hostname,
        attempt=attempt,
        devices=devices,
        energy_kwh=units.add_known([gpu, cpu]),
        gpu_energy_kwh=gpu,
        cpu_energy_kwh=cpu,
        energy_uncertainty=chance.choice([None, 0.1]),
        idle_energy_kwh=chance.choice([None, 0.0625]),
    )


def made(chance: random.Random) -> RunReport:
    """A run of up to two hosts, one of them in up to two attempts."""
    hosts = chance.sample(["alpha", "Beta", "gamma-1"], chance.randint(0, 2))
    nodes = [node(chance, host, attempt) for attempt, host in enumerate(hosts)]
    nodes += [node(chance, host, 2) for host in hosts[:1] if chance.random() < 0.3]
    nodes_known = {
        f"{part}_energy_kwh": units.add_known([getattr(n, f"{part}_energy_kwh") for n in nodes])
        for part in ("gpu", "cpu")
    }
    return make_report(
        project=chance.choice(["p", "q/r s"]),
        study=chance.choice([None, "s", "t"]),
        strategy=chance.choice([None, "single", "ddp"]),
        status=chance.choice(["completed", "failed", "running", "interrupted"]),
        user=chance.choice([None, "ann", "Bob", "ärger"]),
        started_at=NOON + timedelta(hours=17 * chance.randint(0, 30)),
        ended_at=None,
        duration_s=float(chance.choice([0, 1, 60, 86400])),  # Of no time, and across midnight.
        ram_energy_kwh=None,
        country_iso_code=chance.choice([None, "DEU", "FRA"]),
        region=chance.choice([None, "bavaria"]),
        intensity_g_per_kwh=chance.choice([None, 50.0, 400.0]),
        nodes=nodes,
        epochs=[],
        **nodes_known,
    )


@pytest.fixture(scope="module")
def held() -> list[RunReport]:
    chance = random.Random(5)
    return [made(chance) for _ in range(RUNS)]


@pytest.fixture(scope="module")
def filled_app(module_ledgers: Ledgers) -> FastAPI:
    return create_app(module_ledgers.settings("grouped"))


@pytest.fixture(scope="module")
def filled(filled_app: FastAPI, held: list[RunReport]) -> Iterator[TestClient]:
    with TestClient(filled_app) as client:
        for report in held:
            put(client, report)
        yield client


def hosts(run: RunReport) -> list[str | None]:
    names: list[str | None] = [*{node.hostname for node in run.nodes}]
    return names or [None]


def models(run: RunReport) -> list[str | None]:
    found = {device.name for node in run.nodes for device in node.devices}
    if not found and run.gpu_energy_kwh is not None:
        return [None]
    return list(found)


def week(run: RunReport) -> str:
    year, number, _ = run.started_at.isocalendar()
    return f"{year}-W{number:02}"


VALUES: dict[str, Callable[[RunReport], list[Any]]] = {
    "day": lambda run: [run.started_at.date().isoformat()],
    "week": lambda run: [week(run)],
    "month": lambda run: [run.started_at.strftime("%Y-%m")],
    "project": lambda run: [run.project],
    "strategy": lambda run: [run.strategy],
    "study": lambda run: [run.study],
    "user": lambda run: [run.user],
    "status": lambda run: [run.status],
    "place": lambda run: [(run.country_iso_code, run.region)],
    "node": hosts,
    "gpu_model": models,
}


def energy_of(run: RunReport, keys: tuple[str, ...], value: Any) -> float | None:
    """What the run drew where a line is of, by a sum over all that was measured there."""
    if "node" in keys:
        if value is None:
            return run.energy_kwh
        return units.add_known([n.energy_kwh for n in run.nodes if n.hostname == value])
    if "gpu_model" in keys:
        devices = [device for n in run.nodes for device in n.devices if device.name == value]
        return units.add_known([device.energy_kwh for device in devices])
    return run.energy_kwh


def expected(held: list[RunReport], keys: tuple[str, ...]) -> dict[tuple[Any, ...], Line]:
    lines: dict[tuple[Any, ...], Line] = defaultdict(
        lambda: {"runs": 0, "duration_s": 0.0, "energies": [], "emissions": [], "moments": []}
    )
    combinations: list[tuple[RunReport, tuple[Any, ...]]] = []
    for run in held:
        first, *rest = [VALUES[key](run) for key in keys]
        (second,) = rest or [[...]]
        combinations += [(run, (a, b)[: len(keys)]) for a in first for b in second]
    for run, values in combinations:
        line = lines[values]
        part = next(
            (v for k, v in zip(keys, values, strict=True) if k in ("node", "gpu_model")), None
        )
        energy = energy_of(run, keys, part)
        line["runs"] += 1
        line["duration_s"] += run.duration_s
        line["moments"].append(run.started_at)
        line["energies"].append(energy)
        if energy is not None and run.intensity_g_per_kwh is not None:
            line["emissions"].append(units.emissions_kg(energy, run.pue, run.intensity_g_per_kwh))
    return lines


def key_of(line: Line, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(
        (line["country_iso_code"], line["region"]) if key == "place" else line[key] for key in keys
    )


def lines_of(client: TestClient, group_by: str, **query: Any) -> list[Line]:
    """All pages of a summary."""
    lines: list[Line] = []
    cursor = None
    while True:
        asked = {"group_by": group_by, **query} | ({"cursor": cursor} if cursor else {})
        answer = client.get("/v1/summary", params=asked)
        assert answer.status_code == 200, answer.text
        lines += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return lines


def possible(keys: tuple[str, ...]) -> bool:
    apart = {"node", "gpu_model"} & set(keys)
    others = set(keys) - apart
    return len(apart) < 2 and (not apart or others <= {"day", "week", "month", "project"})


GROUPINGS = [keys for keys in [*((key,) for key in KEYS), *permutations(KEYS, 2)] if possible(keys)]


def test_every_grouping_is_what_a_look_at_every_run_gives(
    filled: TestClient, held: list[RunReport]
) -> None:
    assert set(VALUES) == set(KEYS)
    for keys in GROUPINGS:
        lines = lines_of(filled, ",".join(keys), limit=1000)
        wanted = expected(held, keys)
        assert len(lines) == len(wanted), keys
        found = {key_of(line, keys): line for line in lines}
        assert set(found) == set(wanted), keys
        for key, line in found.items():
            right = wanted[key]
            assert line["runs"] == right["runs"], (keys, key)
            assert line["duration_s"] == right["duration_s"], (keys, key)
            known = [energy for energy in right["energies"] if energy is not None]
            assert line["runs_without_energy"] == right["runs"] - len(known), (keys, key)
            assert line["energy_kwh"] == (units.add_known(known)), (keys, key)
            assert line["emissions_kg"] == pytest.approx(units.add_known(right["emissions"]))
            moments = [
                datetime.fromisoformat(line[f"{which}_run_at"]) for which in ("first", "last")
            ]
            assert moments == [min(right["moments"]), max(right["moments"])]


def test_lines_are_in_the_order_of_their_keys(filled: TestClient) -> None:
    orders: dict[str, Callable[[Line], Any]] = {
        "user": lambda line: line["user"] or "",
        "month,user": lambda line: (line["month"], line["user"] or ""),
        "place": lambda line: (line["country_iso_code"] or "", line["region"] or ""),
        "node,week": lambda line: (line["node"] or "", line["week"]),
    }
    for group_by, order in orders.items():
        lines = lines_of(filled, group_by)
        assert lines == sorted(lines, key=order)
        assert lines_of(filled, group_by, order="descending") == lines[::-1]
        assert lines_of(filled, group_by, limit=1) == lines
    # By code point, whatever the database's language.
    users = [line["user"] for line in lines_of(filled, "user")]
    assert users == [
        None,
        "Bob",
        "ann",
        "ärger",
    ]


def test_a_line_has_its_keys_and_no_others(filled: TestClient) -> None:
    (line, *_) = lines_of(filled, "place")
    assert set(line) == {*Totals.model_fields, "country_iso_code", "country_name", "region"}
    for line in lines_of(filled, "place"):
        code = line["country_iso_code"]
        assert line["country_name"] == (country_name(code) if code else None)


@pytest.mark.parametrize(
    ("query", "passes"),
    [
        ({"project": "p"}, lambda run: run.project == "p"),
        ({"project": ["p", "q/r s"]}, lambda run: True),
        ({"user": ["ann", "Bob"]}, lambda run: run.user in ("ann", "Bob")),
        ({"study": "s", "strategy": "ddp"}, lambda r: (r.study, r.strategy) == ("s", "ddp")),
        ({"status": "failed"}, lambda run: run.status == "failed"),
        ({"country": "fra"}, lambda run: run.country_iso_code == "FRA"),
        ({"region": "bavaria"}, lambda run: run.region == "bavaria"),
        ({"since": "2026-01-01"}, lambda run: run.started_at.year == 2026),
        ({"until": "2025-12-31"}, lambda run: run.started_at.year == 2025),
        (
            {"since": "2026-01-01", "until": "2026-01-01"},
            lambda run: run.started_at.date() == date(2026, 1, 1),
        ),
    ],
)
def test_a_filter_leaves_the_others_out(
    filled: TestClient, held: list[RunReport], query: Line, passes: Callable[[RunReport], bool]
) -> None:
    wanted = expected([run for run in held if passes(run)], ("month", "study"))
    found = {
        key_of(line, ("month", "study")): line for line in lines_of(filled, "month,study", **query)
    }
    assert {key: line["runs"] for key, line in found.items()} == {
        key: line["runs"] for key, line in wanted.items()
    }


def test_of_one_project(filled: TestClient, held: list[RunReport]) -> None:
    wanted = expected([run for run in held if run.project == "q/r s"], ("node",))
    path = "/v1/projects/q%2Fr%20s/summary"
    lines = filled.get(f"{path}?group_by=node").json()["items"]
    assert {line["node"]: line["runs"] for line in lines} == {
        key[0]: line["runs"] for key, line in wanted.items()
    }
    assert filled.get(path).json()["runs"] == len([r for r in held if r.project == "q/r s"])
    assert filled.get("/v1/projects/nobody/summary?group_by=node").status_code == 404
    assert filled.get(f"{path}?group_by=day&project=p").status_code == 422


def test_the_same_as_a_file(filled: TestClient) -> None:
    asked = "/v1/summary?group_by=day,place"
    lines = lines_of(filled, "day,place")
    written = filled.get(f"{asked}&format=csv")
    assert written.headers["content-disposition"] == 'attachment; filename="summary.csv"'
    rows = list(csv.DictReader(io.StringIO(written.text, newline="")))
    assert set(rows[0]) == set(lines[0])
    assert [row["day"] for row in rows] == [line["day"] for line in lines]
    assert [int(row["runs"]) for row in rows] == [line["runs"] for line in lines]
    as_lines = filled.get(f"{asked}&format=jsonl").text.splitlines()
    assert [json.loads(each) for each in as_lines] == lines
    table = parquet.read_table(io.BytesIO(filled.get(f"{asked}&format=parquet").content))
    assert table.column("energy_kwh").to_pylist() == [line["energy_kwh"] for line in lines]
    assert len(filled.get(f"{asked}&format=csv&limit=2").text.splitlines()) == 3


@pytest.mark.parametrize("group_by", ["week,user", "place", "gpu_model,day"])
def test_a_file_of_many_parts_has_each_line_once(
    filled: TestClient, monkeypatch: pytest.MonkeyPatch, group_by: str
) -> None:
    monkeypatch.setattr(groups, "CHUNK", 2)
    for order in ("ascending", "descending"):
        lines = lines_of(filled, group_by, order=order, limit=3)
        written = filled.get(f"/v1/summary?group_by={group_by}&order={order}&format=jsonl").text
        assert [json.loads(each) for each in written.splitlines()] == lines


def test_weeks_and_months_begin_on_the_same_day_everywhere(filled_app: FastAPI) -> None:
    turns = [date(year, month, day) for year in (2020, 2024, 2026) for month, day in TURNS]
    days = [date(1, 1, 1), date(1969, 12, 31), *turns, date(9999, 12, 26), date(9999, 12, 31)]
    for day in days:
        columns = [BEGINNINGS[name](literal(day, Date())) for name in ("week", "month")]
        with filled_app.state.engine.begin() as connection:
            week, month = connection.execute(select(*columns)).one()
        assert (week, month) == (day - timedelta(days=day.weekday()), day.replace(day=1))
        assert date.fromisoformat(str(name_of("week", week))) == week
        assert name_of("month", month) == day.isoformat()[:7]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("group_by=hour", "group_by: cannot group by 'hour', but by day, week"),
        ("group_by=", "group_by: cannot group by ''"),
        ("group_by=day,week,month", "group_by: group by at most 2 keys"),
        ("group_by=day,day", "group_by: group by at most 2 keys, each named once"),
        ("group_by=node,strategy", "strategy cannot be asked for with node"),
        ("group_by=node,gpu_model", "gpu_model cannot be asked for with node"),
        ("group_by=gpu_model&user=ann", "user cannot be asked for with gpu_model"),
        ("group_by=day&since=2026-03-02&until=2026-03-01", "since is 2026-03-02, after until"),
        ("group_by=day&since=yesterday", "since: "),
        ("group_by=day&colour=red", "colour: Extra inputs"),
        ("group_by=node&country=DEU", "country cannot be asked for with node"),
        ("since=2026-03-01", "since without group_by; add what to group by"),
        ("group_by=day&cursor=xyz", "cursor: not a cursor"),
        ("group_by=day&limit=0", "limit: "),
    ],
)
def test_what_cannot_be_answered_is_refused(filled: TestClient, query: str, reason: str) -> None:
    for path in ("/v1/summary", "/v1/projects/p/summary"):
        answer = filled.get(f"{path}?{query}")
        assert answer.status_code == 422, answer.text
        assert reason in answer.json()["detail"]


def test_a_cursor_is_of_its_own_list(filled: TestClient) -> None:
    first = filled.get("/v1/summary?group_by=day,user&limit=1").json()
    for other in ("day,project", "day,user&user=ann", "day,user&order=descending"):
        answer = filled.get(f"/v1/summary?group_by={other}&cursor={first['next_cursor']}")
        assert answer.status_code == 422
    listed = Grouping(keys=("user",), among={}).listed()
    for place in (["\0"], ["ann", "bob"], [1]):
        cursor = cursors.encode(place, listed)
        answer = filled.get("/v1/summary", params={"group_by": "user", "cursor": cursor})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")
    cursor = cursors.encode(["today"], Grouping(keys=("day",), among={}).listed())
    assert filled.get(f"/v1/summary?group_by=day&cursor={cursor}").status_code == 422
    assert filled.get("/v1/summary?group_by=day&format=xml").status_code == 406


def test_what_the_nodes_drew_is_what_the_run_drew(held: list[RunReport]) -> None:
    for run in held:
        row = run.model_dump()
        total = units.add_known([part.energy_kwh for part in by_node(row).values()])
        assert total == run.energy_kwh
        gpu = units.add_known([part.energy_kwh for part in by_gpu_model(row).values()])
        assert gpu == run.gpu_energy_kwh


def test_a_run_counts_on_the_day_in_utc_on_which_it_began(api_client: TestClient) -> None:
    report = make_report(duration_s=0.0, ended_at=None)
    body = json.loads(report.model_dump_json()) | {"started_at": "2026-03-01T01:00:00+02:00"}
    assert api_client.put(f"/v1/runs/{report.run_id}", json=body).is_success
    late = datetime(2026, 2, 28, 23, 59, 59, 999_999, UTC)
    put(api_client, make_report(started_at=late, duration_s=90_000.0, ended_at=None))
    for key, value in (("day", "2026-02-28"), ("week", "2026-W09"), ("month", "2026-02")):
        (line,) = api_client.get(f"/v1/summary?group_by={key}").json()["items"]
        assert (line[key], line["runs"], line["duration_s"]) == (value, 2, 90_000.0)


def test_the_client_reads_groups_and_scaling(live_api: LiveApi) -> None:
    with Client(live_api.settings) as client:
        for user in ("ann", "bob", None):
            client.put_run(make_report(user=user, study="s", project="a/b"))
        lines = client.groups("user", "month")
        assert [(line.user, line.month, line.runs) for line in lines] == [
            (None, "2026-03", 1),
            ("ann", "2026-03", 1),
            ("bob", "2026-03", 1),
        ]
        (line,) = client.groups("day", project="a/b", user=["ann"], since=date(2026, 3, 1))
        assert (line.day, line.runs, line.user) == (date(2026, 3, 1), 1, None)
        assert [point.runs for point in client.scaling("a/b", "s").points] == [3]
        assert len(list(client.all_runs(user="bob"))) == 1
