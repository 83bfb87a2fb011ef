"""Bodies that are refused: each with its own message, nothing of it stored."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.bodies import MAX_BATCH_BYTES, MAX_BODY_BYTES
from carbon.schema import SCHEMA_VERSION, Problem
from tests.factories import make_report, run_id_at
from tests.fixtures.ledgers import Ledgers

REPORT = make_report(gpu_energy_kwh=0.5, metrics={"loss": 0.5})
PATH = f"/v1/runs/{REPORT.run_id}"
IN_TWO_DAYS = (datetime.now(UTC) + timedelta(days=2)).isoformat()


def body_with(changes: dict[str, Any]) -> bytes:
    """The report as JSON with other values at dotted paths; `...` removes the field."""
    document = json.loads(REPORT.model_dump_json())
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = document
        for key in parents:
            place = place[int(key) if isinstance(place, list) else key]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def empty(module_ledgers: Ledgers) -> Iterator[TestClient]:
    """A client of the API on a ledger in which there is nothing and never will be."""
    with TestClient(create_app(module_ledgers.settings())) as client:
        yield client


def refusal(client: TestClient, body: bytes, status: int) -> Problem:
    answer = client.put(PATH, content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 20_000
    problem = Problem.model_validate_json(answer.content)
    assert problem.status == status
    assert client.get("/v1/summary").json()["runs"] == 0
    return problem


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"nodes.0.energy_kwh": -1}, "nodes.0.energy_kwh", "greater than or equal to 0, got -1"),
    ({"energy_kwh": float("nan")}, "energy_kwh", "finite number"),
    ({"energy_kwh": float("inf")}, "energy_kwh", "finite number"),
    ({"epochs.1.energy_kwh": float("nan")}, "epochs.1.energy_kwh", "finite number"),
    ({"energy_kwh": 1e300}, "energy_kwh", "less than or equal to 9000000"),
    ({"energy_kwh": "much"}, "energy_kwh", "valid number, unable to parse string as a number"),
    ({"energy_kwh": 0.6}, "report", "energy_kwh is 0.6, but its components add up to 0.503"),
    ({"emissions_kg": 9.0}, "report", "emissions_kg is 9.0, but energy_kwh x pue x intensity"),
    ({"ended_at": "2026-02-30T00:00:00Z"}, "ended_at", "valid datetime"),
    ({"ended_at": "9999-12-31T00:00:00Z"}, "ended_at", "more than a day in the future; set"),
    ({"ended_at": "2026-03-01T11:59:59Z"}, "report", "ended_at 2026-03-01T11:59:59+00:00 is befor"),
    ({"started_at": "2026-03-01T12:00:00"}, "started_at", "should have timezone info"),
    ({"started_at": "yesterday"}, "started_at", "valid datetime"),
    ({"started_at": "9999-12-31T23:59:59-12:00"}, "started_at", "not within the years 1 to 9999"),
    (
        {"started_at": IN_TWO_DAYS, "ended_at": None},
        "started_at",
        "more than a day in the future; set",
    ),
    ({"strategy": "banana"}, "strategy", "'ray-deepspeed' or 'other', got 'banana'"),
    ({"status": "done"}, "status", "'running', 'completed', 'failed' or 'interrupted', got 'done'"),
    ({"country_iso_code": "XQZ"}, "country_iso_code", "'XQZ' is not an ISO 3166-1 alpha-3"),
    ({"country_iso_code": "de"}, "country_iso_code", "should match pattern '^[A-Z]{3}$', got 'de'"),
    ({"project": ""}, "project", "at least 1 character"),
    ({"project": " \t"}, "project", "at least 1 character"),
    ({"project": "x" * 10_000_000}, "project", "at most 200 characters"),
    ({"project": "nul\0"}, "project", "must not contain the NUL character"),
    ({"project": ".."}, "project", "'..' cannot be the name of a project"),
    ({"project": ...}, "project", "Field required"),
    ({"tags": {"nul\0": "a"}}, "tags.nul\0.[key]", "must not contain the NUL character"),
    ({"config": json.loads("[" * 150 + "]" * 150)}, "config", "should be an object"),
    ({"pue": 0.9}, "pue", "greater than or equal to 1, got 0.9"),
    ({"world_size": 0}, "world_size", "greater than or equal to 1, got 0"),
    ({"seq": -1}, "seq", "greater than or equal to 0, got -1"),
    ({"seq": 1.5}, "seq", "valid integer"),
    ({"seq": 10**30}, "seq", "less than or equal to 2000000000"),
    ({"duration_s": 1e308}, "duration_s", "less than or equal to 9000000000"),
    ({"git_commit": "HEAD"}, "git_commit", "should match pattern"),
    ({"run_id": "6ba7b810-9dad-41d1-80b4-00c04fd430c8"}, "run_id", "version 7 (RFC 9562), got ver"),
    ({"run_id": "one"}, "run_id", "valid UUID"),
    (
        {"run_id": str(run_id_at(datetime.now(UTC)))},
        "run_id",
        f"path names run {REPORT.run_id}, but",
    ),
    ({"colour": "green"}, "colour", "Extra inputs are not permitted"),
    ({"nodes.0.devices": [{"uuid": "GPU-0", "watts": 5}]}, "nodes.0.devices.0.watts", "not permit"),
    ({"nodes": {}}, "nodes", "valid array"),
    ({"epochs": [{"index": 0}]}, "epochs.0.duration_s", "Field required"),
    ({"tags": {"a": 1}}, "tags.a", "valid string, got 1"),
    (
        {"schema_version": SCHEMA_VERSION + 1},
        "schema_version",
        "upgrade carbon-ledger on this side",
    ),
    ({"schema_version": 0}, "schema_version", "greater than or equal to 1, got 0"),
]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    REFUSED,
    ids=[f"{number} {field}" for number, (_, field, _) in enumerate(REFUSED)],
)
def test_a_bad_field_is_named_with_what_is_wrong(
    empty: TestClient, changes: dict[str, Any], field: str, message: str
) -> None:
    problem = refusal(empty, body_with(changes), 422)
    assert problem.title == "Unprocessable Entity"
    assert field in [error["field"] for error in problem.errors]
    said = next(error["message"] for error in problem.errors if error["field"] == field)
    assert message in said
    assert problem.errors[0]["field"] in problem.detail


def test_a_newer_version_is_said_first_whatever_else_is_unknown(empty: TestClient) -> None:
    newer = {
        "aaa": 1,
        "energy_kwh": -1,
        "schema_version": SCHEMA_VERSION + 1,
        "nodes.0.colour": "green",
    }
    problem = refusal(empty, body_with(newer), 422)
    assert problem.detail.startswith(
        f"schema_version: this report has schema version {SCHEMA_VERSION + 1}, newer than "
    )
    assert problem.errors[0]["field"] == "schema_version"
    assert {"aaa", "energy_kwh", "nodes.0.colour"} < {each["field"] for each in problem.errors}


def not_listed(problem: Problem) -> int:
    found = re.search(r"\(and (\d+) more\)", problem.detail)
    return int(found[1]) if found else 0


def test_many_errors_are_counted_but_not_all_listed(empty: TestClient) -> None:
    problem = refusal(empty, body_with({"metrics": {f"m{n}": "high" for n in range(500)}}), 422)
    assert len(problem.errors) == 20
    assert problem.detail.endswith("(and 499 more)")


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"epochs": [{"index": -1, "duration_s": -1}] * 100_000}, "epochs.0.index"),
        ({"epochs": [{"duration_s": 1, "metrics": {f"m{n}": [] for n in range(500)}}]}, "epochs.0"),
        ({"nodes": [{"x": 1}] * 10_000}, "nodes.0.hostname"),
        ({"nodes.0.ranks": ["x"] * 100_000}, "nodes.0.ranks.0"),
        ({"nodes.0.devices": [{}] * 1024}, "nodes.0.devices.0.uuid"),
        ({"nodes.0.series": [{}] * 5000}, "nodes.0.series.0.name"),
        ({"nodes.0.profiles": [{}] * 50_000}, "nodes.0.profiles.0.rank"),
    ],
    ids=lambda case: "" if isinstance(case, dict) else case,
)
def test_of_a_long_list_the_first_wrong_item_is_told(
    empty: TestClient, changes: dict[str, Any], first: str
) -> None:
    """To tell of them all would take gigabytes; whatever else is wrong is told beside it."""
    problem = refusal(empty, body_with({"user": 5, **changes}), 422)
    fields = [error["field"] for error in problem.errors]
    assert any(field.startswith(first) for field in fields)
    assert "user" in fields
    assert len({field.split(".")[1] for field in fields if "." in field} - {"0"}) == 0
    assert not_listed(problem) < 1000


@pytest.mark.parametrize(
    ("changes", "field", "most", "others"),
    [
        ({"tags": {str(number): 0 for number in range(1001)}}, "tags", "1000 members", 1000),
        ({"user": {f"x{number}": 0 for number in range(1001)}}, "user", "1000 members", 1),
        (
            {"config": {str(number): [] for number in range(200_000)}},
            "config",
            "1000 members",
            1000,
        ),
        ({"metrics": {str(number): 1 for number in range(1001)}}, "metrics", "1000 members", 0),
        ({"nodes.0.ranks": [0] * 100_001}, "nodes.0.ranks", "100000 items", 0),
    ],
    ids=["tags", "user", "config", "metrics", "ranks"],
)
def test_more_than_any_report_holds_is_cut_off(
    empty: TestClient, changes: dict[str, Any], field: str, most: str, others: int
) -> None:
    problem = refusal(empty, body_with(changes), 422)
    assert problem.detail.startswith(f"{field}: has more than {most}")
    assert problem.errors[0] == {"field": field, "message": f"has more than {most}"}
    assert not_listed(problem) == others


def test_a_million_unknown_fields_are_not_looked_at(empty: TestClient) -> None:
    problem = refusal(empty, json.dumps({f"x{n}": 0 for n in range(1_000_000)}).encode(), 422)
    assert problem.errors[0] == {"field": "report", "message": "has more than 1000 members"}
    assert 1000 < not_listed(problem) < 1020  # Those that a report must have are missing.


def test_a_setting_of_no_type_that_it_can_have_is_told_once(empty: TestClient) -> None:
    for value in ([1], {"b": 1}, "x" * 1001, "\0"):
        problem = refusal(empty, body_with({"config": {"a": value}}), 422)
        (error,) = problem.errors
        assert error["field"] == "config.a"
        assert error["message"].startswith(
            "Input should be a text of at most 1000 characters without NUL, a number, true, "
        )


def test_long_names_of_unknown_fields_are_cut(empty: TestClient) -> None:
    problem = refusal(empty, body_with({"k" * 10_000_000: 1}), 422)
    assert problem.errors[0]["field"] == "k" * 197 + "..."


MALFORMED: list[tuple[bytes, str]] = [
    (b"", "EOF while parsing a value at line 1 column 0"),
    (b"energy: 5", "expected value at line 1 column 1"),
    (REPORT.model_dump_json().encode()[:-1], "EOF while parsing an object"),
    (REPORT.model_dump_json().encode() + b"}", "trailing characters"),
    (b'{"project": "\xff\xfe"}', "invalid unicode code point"),
    (b'{"project": "\\ud800"}', "unexpected end of hex escape"),
    (b'{"project": "\\ud800\\ud800"}', "lone leading surrogate"),
    (REPORT.model_dump_json().encode("utf-16"), "expected value at line 1 column 1"),
    ('{"project": "ärger"}'.encode("latin-1"), "invalid unicode code point"),
    (b"\x1f\x8b\x08\x00", "expected value"),
]


@pytest.mark.parametrize(("body", "reason"), MALFORMED, ids=lambda case: repr(case)[:30])
def test_what_is_not_json_is_told_where(empty: TestClient, body: bytes, reason: str) -> None:
    problem = refusal(empty, body, 400)
    assert problem.detail.startswith("the body is not JSON: ")
    assert reason in problem.detail


@pytest.mark.parametrize("levels", [151, 250, 1100, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_what_is_nested_too_deeply_is_named(empty: TestClient, levels: int, brackets: str) -> None:
    opening = "[" if brackets == "[]" else '{"k":'
    body = '{"tags":' + opening * levels + "0" + brackets[1] * levels + "}"
    problem = refusal(empty, body.encode(), 422)
    first = problem.errors[0]
    assert first["field"].startswith("tags.0.0" if brackets == "[]" else "tags.k.k")
    assert first["message"] == "is nested more than 150 levels deep"
    # What the rest lacks is told beside it.
    assert {"tags" if brackets == "[]" else "tags.k", "project"} < {
        error["field"] for error in problem.errors
    }


def test_deep_nesting_without_an_end_is_not_json(empty: TestClient) -> None:
    for body in (b"[" * 100_000, b'{"project":' + b"[" * 100_000):
        problem = refusal(empty, body, 400)
        assert problem.detail.startswith("the body is not JSON: EOF while parsing")


def test_very_much_that_is_nested_too_deeply_is_told_once(empty: TestClient) -> None:
    value = b"[" * 149 + b"[[]]," * 50_000 + b"0" + b"]" * 149
    problem = refusal(empty, b'{"tags":' + value + b"}", 422)
    assert problem.errors[0]["message"] == "is nested more than 150 levels deep"
    assert [error["field"][:8] for error in problem.errors].count("tags.0.0") == 1


def test_one_that_is_nested_too_deeply_leaves_the_rest_of_its_batch(api_client: TestClient) -> None:
    good, other = (make_report().model_dump_json().encode() for _ in range(2))
    deep = good[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    wide = good[:-1] + b',"y":{' + b",".join(b'"%d":0' % n for n in range(1001)) + b"}}"
    body = b'{"items":[' + b",".join([good, deep, wide, b"[]", other]) + b"]}"
    answer = api_client.post("/v1/runs/batch", content=body)
    assert answer.status_code == 200
    results = answer.json()["items"]
    assert [result["status"] for result in results] == [201, 422, 422, 422, 201]
    assert results[1]["problem"]["errors"][0]["field"].startswith("x.0.0")
    assert results[2]["problem"]["detail"].startswith("y: has more than 1000 members")


@pytest.mark.parametrize("body", [b'{"items":[],"x":' + b"[" * 160, b"[" * 160, b'{"items":{"a":{'])
def test_a_batch_that_is_none_is_refused_as_a_whole(empty: TestClient, body: bytes) -> None:
    answer = empty.post("/v1/runs/batch", content=body)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("body", [b"[]", b'"run"', b"5", b"null", b"true"])
def test_json_that_is_no_object_is_no_report(empty: TestClient, body: bytes) -> None:
    problem = refusal(empty, body, 422)
    assert problem.errors[0]["field"] == "report"
    assert "an object" in problem.detail


def test_a_metric_that_is_not_a_number_is_stored_as_unknown(api_client: TestClient) -> None:
    body = body_with({"metrics": {"loss": float("nan"), "best": float("-inf")}})
    assert b"NaN" in body
    assert api_client.put(PATH, content=body).status_code == 201
    assert api_client.get(PATH).json()["metrics"] == {"loss": None, "best": None}


@pytest.mark.parametrize("is_length_known", [True, False])
@pytest.mark.parametrize(
    ("method", "path", "most"),
    [("PUT", PATH, MAX_BODY_BYTES), ("POST", "/v1/runs/batch", MAX_BATCH_BYTES)],
    ids=["one", "batch"],
)
def test_a_hundred_megabytes_are_refused_before_they_are_parsed(
    empty: TestClient, method: str, path: str, most: int, is_length_known: bool
) -> None:
    """By the announced length, or once more came than there may be."""
    body = b'{"project":"' + b"x" * 100_000_000 + b'"}'
    answer = empty.request(method, path, content=body if is_length_known else iter([body]))
    assert answer.status_code == 413
    problem = Problem.model_validate_json(answer.content)
    assert problem.detail.startswith(f"the body is larger than {most // 1024**2} MiB")


def test_a_body_one_byte_too_large_is_refused(empty: TestClient) -> None:
    refusal(empty, b" " * (MAX_BODY_BYTES + 1), 413)


def test_a_body_of_the_largest_size_is_taken(api_client: TestClient) -> None:
    body = REPORT.model_dump_json().encode()
    padded = body + b" " * (MAX_BODY_BYTES - len(body))
    assert api_client.put(PATH, content=padded).status_code == 201


def test_a_day_ahead_is_a_clock_and_not_the_future(api_client: TestClient) -> None:
    body = body_with(
        {"started_at": (datetime.now(UTC) + timedelta(hours=23)).isoformat(), "ended_at": None}
    )
    assert api_client.put(PATH, content=body).status_code == 201
