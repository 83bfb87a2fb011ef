"""Malformed reports: each is refused by name, none does harm, and odd text comes back as it was."""

import csv
import io
import json
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic_core import from_json
from sqlalchemy import select
from sqlmodel import SQLModel
from starlette.testclient import TestClient

from api import derived
from api.app import create_app
from api.bodies import report_in
from api.engine import snapshots_of
from api.problems import ProblemError
from api.settling import settle
from carbon.schema import MAX_BATCH, DeviceReport, NodeReport, RunReport
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers
from tests.malformed import mutated, places, whole_report
from tests.test_api_runs import put

MALFORMED = {"sqlite": 10_000, "postgresql": 1_000}
"""How many of them; they are refused before the database has any part in it."""
PUT = 300
"""How many of those that fit no batch are sent; the others go to what reads the body of a PUT."""


@pytest.fixture(scope="module")
def app(module_ledgers: Ledgers) -> FastAPI:
    return create_app(module_ledgers.settings())


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def rows(app: FastAPI) -> dict[str, list[Any]]:
    """Everything that is in the database."""
    with app.state.engine.begin() as connection:
        return {
            table.name: sorted(connection.execute(select(table)).all(), key=repr)
            for table in SQLModel.metadata.sorted_tables
        }


def problem_of(body: bytes, run_id: UUID) -> ProblemError | None:
    """Why this is no report of the run; None where it is one."""
    try:
        report_in(body, run_id)
    except ProblemError as problem:
        return problem
    return None


def fits_a_batch(body: bytes, run_id: UUID) -> bool:
    """Whether it can be an item of a batch, where no path says which run it is to be of."""
    try:
        item = from_json(body)
    except ValueError:
        return False
    return isinstance(item, dict) and item.get("run_id") == str(run_id)


def check_problem(problem: dict[str, Any]) -> None:
    assert problem["detail"]
    if problem["status"] != 400:
        assert problem["status"] == 422, problem
        assert problem["errors"]
        assert all(error["field"] and error["message"] for error in problem["errors"]), problem


def test_malformed_reports_are_refused_by_name_and_change_nothing(
    app: FastAPI, client: TestClient
) -> None:
    chance = random.Random(6)
    document = whole_report()
    report = RunReport.model_validate(document)
    path, run_id, text = f"/v1/runs/{report.run_id}", report.run_id, json.dumps(document)
    every = list(places(document))
    put(client, report)
    settle(app.state.engine)
    held = rows(app)
    right: list[bytes] = []
    alone: list[bytes] = []
    together: list[bytes] = []
    while len(alone) + len(together) < MALFORMED[app.state.engine.dialect.name]:
        body = mutated(text, every, chance)
        problem = problem_of(body, run_id)
        if problem is None:
            right.append(body)
        elif fits_a_batch(body, run_id):
            together.append(body)
        else:
            check_problem(problem.document().model_dump())
            alone.append(body)
    for body in alone[:PUT]:
        answer = client.put(path, content=body)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        check_problem(answer.json())
    for start in range(0, len(together), MAX_BATCH):
        many = together[start : start + MAX_BATCH]
        answer = client.post("/v1/runs/batch", content=b'{"items":[%s]}' % b",".join(many))
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert len(items) == len(many)
        for item in items:
            check_problem(item["problem"])
    assert rows(app) == held

    # What is odd and right all the same is stored as it is, and can be read again.
    assert right
    for body in right[:25]:
        assert client.put(path, content=body).status_code == 200
        assert client.get(path).status_code == 200
    with snapshots_of(app.state.engine).begin() as connection:
        assert derived.differences(connection) == []


TEXTS = [
    "'; DROP TABLE runs; --",
    '" OR 1=1 --',
    "<script>alert('x')</script>&amp;",
    "%s %(a)s {0} ${x} :name ?",
    '\\ " \u202e \u2028 \U0001f680 \r\n\t e\u0301',
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back_as_it_was_sent(client: TestClient, text: str) -> None:
    named = dict.fromkeys(("project", "study", "name", "user", "region"), text)
    methods = {f"{part}_energy_method": text for part in ("cpu", "ram")}
    device = DeviceReport(uuid=text, name=text, note=text, energy_method=text)
    node = NodeReport(hostname=text, cpu_model=text, devices=[device])
    report = make_report(
        **named,
        **methods,
        intensity_source=text,
        tags={text: text},
        config={text: text},
        metrics={text: 1.0},
        software={text: text},
        nodes=[node],
    )
    put(client, report)
    assert client.get(f"/v1/runs/{report.run_id}").json() == json.loads(report.model_dump_json())
    listed = json.loads(report.model_dump_json())
    for name in ("project", "study", "user", "region"):
        (line,) = client.get("/v1/runs", params={name: text}).json()["items"]
        assert line == {key: listed[key] for key in line}
    for key, value in {"tag": f"{text}:{text}", "host": text, "gpu": text}.items():
        assert len(client.get("/v1/runs", params={key: value}).json()["items"]) == 1
    of_it = {"project": text}
    line, _ = client.get("/v1/runs", params={"format": "jsonl", **of_it}).text.split("\n")
    assert json.loads(line) == {key: listed[key] for key in json.loads(line)}
    table = client.get("/v1/runs", params={"format": "csv", **of_it}).text
    (row,) = csv.DictReader(io.StringIO(table, newline=""))
    safe = f"'{text}" if text[0] in "=+-@" else text
    assert (row["name"], row["user"], row["intensity_source"]) == (safe, safe, safe)
    assert json.loads(row["tags"]) == {text: text}
    for key in ("project", "study", "user", "node", "gpu_model"):
        asked = {"group_by": key, **of_it}
        (group,) = client.get("/v1/summary", params=asked).json()["items"]
        assert group[key] == text
    projects = [line["project"] for line in client.get("/v1/projects").json()["items"]]
    assert text in projects


def longest(chance: random.Random, characters: int, first: int, last: int) -> str:
    """A text that cannot be compressed."""
    return "".join(chr(chance.randrange(first, last)) for _ in range(characters))


def test_the_longest_names_can_be_stored(app: FastAPI, client: TestClient) -> None:
    """An index of PostgreSQL takes no more than 2,704 bytes of all that are one key."""
    chance = random.Random(7)

    def name(characters: int = 200) -> str:
        return longest(chance, characters, 0x4E00, 0x9FFF)

    fields = {each: name() for each in ("project", "study", "name", "user", "region")}
    device = DeviceReport(uuid=name(), name=name(1000))
    report = make_report(
        **fields,
        strategy="ray-deepspeed",
        status="interrupted",
        intensity_source=name(333),
        tags={name(): name(1000)},
        nodes=[NodeReport(hostname=name(), devices=[device])],
    )
    put(client, report)
    assert client.get(f"/v1/runs/{report.run_id}").content == report.model_dump_json().encode()
    with snapshots_of(app.state.engine).begin() as connection:
        assert derived.differences(connection) == []


@pytest.mark.parametrize(
    ("field", "characters", "reason"),
    [("study", 151, "604 bytes in UTF-8, more than the 600"), ("intensity_source", 251, "1004")],
)
def test_a_name_that_no_index_can_hold_is_refused(
    client: TestClient, field: str, characters: int, reason: str
) -> None:
    document = whole_report()
    document[field] = longest(random.Random(8), characters, 0x20000, 0x2A000)
    answer = client.put(f"/v1/runs/{document['run_id']}", json=document)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert reason in error["message"]
