"""The OpenAPI schema is what the API does: requests made of it are answered as it says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from api.app import create_app
from carbon.settings import Settings
from tests.factories import make_report
from tests.fixtures.api import ROOT
from tests.keys import bearing

EXAMPLES = {GenerationMode.POSITIVE: 6, GenerationMode.NEGATIVE: 3}
MANY = 150
"""Of an operation that takes so few of the requests made up for it that none was among those."""

KEY = "correct horse battery"
HELD = make_report(project="p", study="s", user="ann")
# What is made up is hardly ever a currency, a day with a price, or something to remove.
SELDOM_RIGHT = {
    "POST /v1/factor-tables",
    "POST /v1/recost",
    "PATCH /v1/runs/{run_id}",
    "DELETE /v1/runs/{run_id}",
    "GET /v1/runs/{run_id}/what-if",
    "POST /v1/runs/{run_id}/what-if",
    "GET /v1/projects/{project}/what-if",
    *(
        f"{method} {path}"
        for method in ("GET", "PUT", "DELETE")
        for path in (
            "/v1/prices/{valid_from}",
            "/v1/projects/{project}/prices/{valid_from}",
            "/v1/projects/{project}/budgets/{name}",
            "/v1/hardware/{kind}/{name}",
        )
    ),
}
KNOWN = {"project": "p", "study": "s", "run_id": str(HELD.run_id)}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """The API on a SQLite file with a run in it."""
    directory: Path = tmp_path_factory.mktemp("schema")
    url = f"sqlite:///{directory / 'ledger.db'}"
    keyed = {"api_key": KEY, "rate_limit": "0"}
    values = {"database_url": url, "spool_dir": directory, **keyed}
    app = create_app(Settings.model_validate(values))
    with TestClient(app) as client:
        body = HELD.model_dump_json()
        answer = client.put(f"/v1/runs/{HELD.run_id}", content=body, headers=bearing(KEY))
        assert answer.status_code == 201
        yield app


def aimed(case: Any) -> Any:
    """The same request of what is there: a made-up id or cursor hits nothing."""
    case.query.pop("cursor", None)
    if case.path.endswith("/summary") and case.query:
        case.query["group_by"] = "day"  # Without it there is nothing to choose.
    if "run_id" in case.path_parameters and isinstance(case.body, dict) and "run_id" in case.body:
        case.path_parameters["run_id"] = case.body["run_id"]
    else:
        case.path_parameters.update({n: KNOWN[n] for n in case.path_parameters if n in KNOWN})
    return case


def ask(operation: Any, mode: GenerationMode, examples: int) -> bool:
    """Make requests of an operation; tell whether one was answered with what it asks for."""
    answered = False

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_aimed=st.booleans())
    def ask_once(case: Any, is_aimed: bool) -> None:
        nonlocal answered
        if is_aimed and mode is GenerationMode.POSITIVE and case.method != "DELETE":
            case = aimed(case)
        answered |= case.call_and_validate(headers=bearing(KEY)).status_code < 300

    try:
        ask_once()
    except Unsatisfiable:  # It takes nothing that could be wrong.
        assert mode is GenerationMode.NEGATIVE
    return answered


def test_every_answer_is_one_that_the_schema_tells_of(app: FastAPI) -> None:
    config = SchemathesisConfig.from_path(ROOT / "schemathesis.toml")
    config.projects.get_default().checks.ignored_auth.enabled = True  # There is a key here.
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    never_answered = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        answered = [ask(operation, mode, examples) for mode, examples in EXAMPLES.items()]
        if any(answered) or operation.label in SELDOM_RIGHT:
            continue
        if not ask(operation, GenerationMode.POSITIVE, MANY):
            never_answered.add(operation.label)
    # They must have come further than to a refusal nearly everywhere.
    assert never_answered == set()
