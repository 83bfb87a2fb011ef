"""A key of one project can neither read nor write nor discover another, on any route there is.

What another project's runs could give away they would change: whatever this key asks is asked
before they are in the ledger and after, and the answers are the same to the byte.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.problems import MEDIA_TYPE
from carbon import grid
from carbon.schema import DeviceReport, RunReport
from tests.factories import make_report
from tests.fixtures.ledgers import Ledgers
from tests.keys import bearing, make_key

SERVER_KEY = "correct horse battery"
MINE, THEIRS = "weather", "zephyr"

# Of no project: what they answer is the same for everyone.
FOR_EVERYONE = {
    "/v1/grid",
    "/v1/factor-tables",
    "/v1/prices",
    "/v1/prices/{valid_from}",
    "/healthz",
    "/readyz",
}
OPEN = {"/healthz", "/readyz"}

TABLE = {
    "version": "v1",
    "source": "s",
    "factors": [{"country_iso_code": "DEU", "intensity_g_per_kwh": 1.0}],
}

# For every parameter of any route: values with which it could lead to their runs.
QUERIES: dict[str, list[Any]] = {
    "project": [THEIRS, [MINE, THEIRS]],
    "study": ["zephyr-1"],
    "strategy": ["ddp"],
    "status": ["failed"],
    "tag": ["codename", "codename:zephyr"],
    "host": ["zephyr-node"],
    "gpu": ["Zephyr 9000"],
    "country": ["FRA"],
    "region": ["zephyrland"],
    "user": ["zoe"],
    "group_by": ["project", "day,user", "status,place", "node", "gpu_model,month"],
    "order": ["descending"],
    "q": ["zephyr", "secret zephyr"],
    "since": ["2026-03-01"],
    "until": ["2030-03-01"],
    "sort": ["energy_kwh", "-energy_kwh", "duration_s"],
    "fields": ["run_id,project"],
    "format": ["json", "csv", "parquet", "jsonl"],
    "series": ["false"],
    "as": ["delivered"],
    "table": [grid.bundled_version()],
    "reason": ["curiosity"],
    "limit": [1, 1000],
    "cursor": ["bm90IGEgY3Vyc29y"],
    "on": ["2026-03-01"],
    "pue": [1.5],
    "shift_h": [2],
    **{
        f"{bound}_{amount}": [0.0000001 if bound == "min" else 10_000]
        for bound in ("min", "max")
        for amount in ("energy_kwh", "emissions_kg", "duration_s")
    },
}

BUDGET = {"quantity": "energy_kwh", "limit": 0.5, "period": "year"}
PRICE = {"price_per_kwh": 0.5, "currency": "EUR"}
HARDWARE = {"embodied_kg": 150.0, "lifetime_h": 35_000.0}
THEIR_HARDWARE = {
    "/v1/hardware/gpu/Zephyr%209000": HARDWARE,
    "/v1/hardware/host/zephyr-node": HARDWARE,
}
THEIR_TERMS = {
    f"/v1/projects/{THEIRS}/budgets/secret": BUDGET,
    f"/v1/projects/{THEIRS}/prices/2026-01-01": PRICE,
}


def on_hardware(report: RunReport, hostname: str, model: str) -> RunReport:
    (node,) = report.nodes
    device = DeviceReport(uuid="GPU-0", name=model)
    node = node.model_copy(update={"hostname": hostname, "devices": [device]})
    return report.model_copy(update={"nodes": [node]})


def their_report(**fields: Any) -> RunReport:
    report = make_report(
        project=THEIRS,
        study="zephyr-1",
        name="secret zephyr",
        strategy="ddp",
        status="failed",
        tags={"codename": "zephyr"},
        country_iso_code="FRA",
        region="zephyrland",
        user="zoe",
        **fields,
    )
    return on_hardware(report, "zephyr-node", "Zephyr 9000")


Asked = tuple[str, str, str, str]
"""Method, path with its values, query, body."""


@dataclass
class World:
    """A ledger with my runs, and in the end theirs, and everything that was ever asked of it."""

    client: TestClient
    my_key: str
    mine: list[RunReport]
    theirs: list[RunReport]
    before: dict[Asked, Any] = field(default_factory=dict)
    all_before: dict[Asked, Any] = field(default_factory=dict)

    def ask(self, key: str, asked: Asked) -> Any:
        method, path, query, body = asked
        url = f"{path}?{query}" if query else path
        return said(self.client.request(method, url, content=body, headers=bearing(key)))

    def store(self, reports: list[RunReport]) -> None:
        for report in reports:
            answer = self.client.put(
                f"/v1/runs/{report.run_id}",
                content=report.model_dump_json(),
                headers=bearing(SERVER_KEY),
            )
            assert answer.status_code == 201, answer.text

    def agree(self, terms: dict[str, Any]) -> None:
        for path, sent in terms.items():
            answer = self.client.put(path, json=sent, headers=bearing(SERVER_KEY))
            assert answer.status_code == 201, answer.text

    def correct(self, key: str, report: RunReport, **fields: Any) -> None:
        body = {"reason": "it was wrong", **fields}
        path = f"/v1/runs/{report.run_id}"
        assert self.client.patch(path, json=body, headers=bearing(key)).status_code == 200

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        paths = self.client.get("/openapi.json").json()["paths"]
        return [
            (method.upper(), path, operation)
            for path, methods in paths.items()
            for method, operation in methods.items()
        ]

    def requests(self) -> dict[str, list[Asked]]:
        """Every request about their runs that there is, by its route."""
        return {
            f"{method} {path}": list(self._of_route(method, path, operation))
            for method, path, operation in self.operations()
        }

    def _of_route(self, method: str, path: str, operation: dict[str, Any]) -> Iterator[Asked]:
        bodies = [""] if method == "GET" else self._bodies(method, path)
        query_values = QUERIES | {"run_id": [str(each.run_id) for each in self.theirs]}
        named = [each for each in operation.get("parameters", []) if each["in"] != "header"]
        unknown = [each["name"] for each in named if each["in"] == "query"]
        unknown = [name for name in unknown if name not in query_values]
        assert not unknown, f"{path} takes {unknown}: which values could lead to others' runs?"
        values = {
            "run_id": [str(self.theirs[0].run_id), str(self.mine[0].run_id)],
            "project": [THEIRS, MINE, "nobody's"],
            "name": ["secret", "Zephyr 9000", "zephyr-node"],
            "valid_from": ["2026-01-01"],
            "kind": ["gpu", "host"],
            "study": ["zephyr-1", "s0"],
        }
        names = [each["name"] for each in named if each["in"] == "path"]
        paths = [path]
        for name in names:
            assert name in values, f"{path}: which {name} could lead to others' runs?"
            paths = [each.replace(f"{{{name}}}", value) for each in paths for value in values[name]]
        asked = [each["name"] for each in named if each["in"] == "query"]
        always = {"group_by": "day"} if "group_by" in asked else {}
        queries = [
            str(httpx.QueryParams({**always, name: value}))
            for name in asked
            for value in query_values[name]
        ]
        if method in ("DELETE", "PATCH"):  # Mine are still needed, as they are.
            paths = [each for each in paths if str(self.mine[0].run_id) not in each]
        if method in ("PUT", "DELETE"):  # What is mine may well change.
            paths = [each for each in paths if f"/projects/{MINE}/" not in each]
        for each in paths:
            for query in ["", *queries]:
                for body in bodies:
                    yield method, each, query, body

    def _bodies(self, method: str, path: str) -> list[str]:
        known = {
            "PUT /v1/runs/{run_id}": [self.theirs[0].model_dump_json()],
            "POST /v1/runs/batch": [
                json.dumps({"items": [each.model_dump(mode="json") for each in self.theirs]})
            ],
            "DELETE /v1/runs/{run_id}": [""],
            "PUT /v1/projects/{project}/budgets/{name}": [json.dumps(BUDGET | {"limit": 99})],
            "DELETE /v1/projects/{project}/budgets/{name}": [""],
            "PUT /v1/projects/{project}/prices/{valid_from}": [json.dumps(PRICE)],
            "DELETE /v1/projects/{project}/prices/{valid_from}": [""],
            "PUT /v1/prices/{valid_from}": [json.dumps(PRICE)],
            "DELETE /v1/prices/{valid_from}": [""],
            "PUT /v1/hardware/{kind}/{name}": [json.dumps(HARDWARE)],
            "DELETE /v1/hardware/{kind}/{name}": [""],
            "POST /v1/runs/{run_id}/what-if": [json.dumps({"country": "FRA", "pue": 1.5})],
            "PATCH /v1/runs/{run_id}": [
                json.dumps({"reason": "curiosity", **fields})
                for fields in ({"name": "n"}, {"project": MINE}, {"withdraw": ["name"]})
            ],
            "POST /v1/factor-tables": [json.dumps(TABLE)],
            "POST /v1/recost": [
                json.dumps({"table": grid.bundled_version(), **order})
                for order in ({"dry_run": True}, {"dry_run": True, "limit": 1}, {"project": THEIRS})
            ],
        }
        route = f"{method} {path}"
        assert route in known, f"{route} is new: which body could change or find others' runs?"
        return known[route]


def said(answer: Any) -> Any:
    """All of an answer that is not of this very request."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    body: Any = answer.content
    one_document = headers.get("content-type") in ("application/json", "application/problem+json")
    if one_document and b'"request_id"' in body:
        body = json.loads(body)
        for problem in [body, *(item.get("problem") or {} for item in body.get("items", []))]:
            problem.pop("request_id", None)
        headers.pop("content-length")
    return answer.status_code, headers, body


@pytest.fixture(scope="module")
def world(module_ledgers: Ledgers) -> Iterator[World]:
    _, my_key = make_key(module_ledgers.url(), MINE, scopes=("admin",))
    # As fast as it can: it is not the limit that is tried here.
    settings = module_ledgers.settings(api_key=SERVER_KEY, rate_limit="0")
    with TestClient(create_app(settings)) as client:
        mine = [make_report(project=MINE, study=f"s{number}") for number in range(3)]
        theirs = [their_report() for _ in range(3)]
        made = World(client, my_key, mine, theirs)
        made.store(mine)
        made.correct(my_key, mine[1], name="corrected")
        asked = made.requests()
        made.before = {each: made.ask(my_key, each) for many in asked.values() for each in many}
        made.all_before = {
            each: made.ask(SERVER_KEY, each)
            for many in asked.values()
            for each in many
            if each[0] == "GET"
        }
        made.store([each.model_copy(update={"name": "a zephyr"}) for each in theirs])
        for each in theirs:
            made.correct(SERVER_KEY, each, name=each.name)
        made.agree(THEIR_TERMS | THEIR_HARDWARE)
        yield made


def test_every_answer_is_what_it_was_before_the_others_came(world: World) -> None:
    for asked, before in world.before.items():
        assert world.ask(world.my_key, asked) == before, asked[:3]


def test_the_same_requests_show_everything_to_the_servers_key(world: World) -> None:
    """That is to say: were the key not looked at, the test above would fail on every route."""
    for route, many in world.requests().items():
        if not route.startswith("GET") or route.removeprefix("GET ") in FOR_EVERYONE:
            continue
        changed = [each for each in many if world.ask(SERVER_KEY, each) != world.all_before[each]]
        assert changed, route


def test_no_request_with_a_key_of_mine_has_changed_what_is_theirs(world: World) -> None:
    for path, sent in THEIR_TERMS.items():
        held = world.client.get(path, headers=bearing(SERVER_KEY)).json()
        assert {name: held[name] for name in sent} == sent
    # Of every project, so not mine to set.
    assert world.client.get("/v1/prices", headers=bearing(SERVER_KEY)).json() == {"items": []}
    hardware = world.client.get("/v1/hardware", headers=bearing(SERVER_KEY)).json()["items"]
    assert [(each["name"], each["embodied_kg"]) for each in hardware] == [
        ("Zephyr 9000", HARDWARE["embodied_kg"]),
        ("zephyr-node", HARDWARE["embodied_kg"]),
    ]
    for report in world.theirs:
        answer = world.client.get(f"/v1/runs/{report.run_id}", headers=bearing(SERVER_KEY))
        assert RunReport.model_validate_json(answer.content) == report


def test_a_page_of_the_others_is_no_page_of_mine(world: World) -> None:
    for path in ("/v1/runs", "/v1/projects"):
        page = world.client.get(f"{path}?limit=1", headers=bearing(SERVER_KEY)).json()
        asked = f"{path}?limit=1&cursor={page['next_cursor']}"
        assert world.client.get(asked, headers=bearing(SERVER_KEY)).status_code == 200
        answer = world.client.get(asked, headers=bearing(world.my_key))
        assert answer.status_code == 422
        assert "belongs to a list with other filters" in answer.json()["detail"]


def test_my_own_pages_follow_each_other(world: World) -> None:
    found, cursor = [], ""
    while True:
        asked = f"/v1/runs?limit=1{cursor}"
        page = world.client.get(asked, headers=bearing(world.my_key)).json()
        found += [run["run_id"] for run in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(found) == sorted(str(report.run_id) for report in world.mine)


def test_the_terms_of_my_own_project_are_mine_to_set(world: World) -> None:
    for path, sent in THEIR_TERMS.items():
        mine = path.replace(THEIRS, MINE)
        for expected in (201, 200):
            answer = world.client.put(mine, json=sent, headers=bearing(world.my_key))
            assert answer.status_code == expected
        assert world.client.get(mine, headers=bearing(world.my_key)).status_code == 200
        assert world.client.delete(mine, headers=bearing(world.my_key)).status_code == 204
    answer = world.client.put("/v1/prices/2026-01-01", json=PRICE, headers=bearing(world.my_key))
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "what holds for every project is of the whole server, and this key is for some projects "
        "only; use one made without --project",
    )


def test_hardware_is_there_as_long_as_runs_of_mine_used_it(world: World) -> None:
    def seen() -> list[str]:
        listed = world.client.get("/v1/hardware", headers=bearing(world.my_key)).json()["items"]
        for each in listed:
            path = f"/v1/hardware/{each['kind']}/{each['name']}"
            assert world.client.get(path, headers=bearing(world.my_key)).json() == each
        return [each["name"] for each in listed]

    assert seen() == []
    run = on_hardware(make_report(project=MINE), "ZEPHYR-Node", "zephyr 9000")
    world.store([run])
    assert seen() == ["Zephyr 9000", "zephyr-node"]
    world.client.delete(f"/v1/runs/{run.run_id}?reason=r", headers=bearing(world.my_key))
    assert seen() == []


def test_the_summary_is_of_my_projects_alone(world: World) -> None:
    mine = world.client.get("/v1/summary", headers=bearing(world.my_key)).json()
    alone = world.client.get(f"/v1/projects/{MINE}/summary", headers=bearing(SERVER_KEY)).json()
    assert mine | {"project": MINE} == alone
    assert mine["runs"] == len(world.mine)


def test_an_id_that_is_taken_elsewhere_is_neither_overwritten_nor_explained(world: World) -> None:
    taken = world.theirs[0]
    report = make_report(project=MINE, run_id=taken.run_id, seq=99)
    path, body = f"/v1/runs/{taken.run_id}", report.model_dump_json()
    answer = world.client.put(path, content=body, headers=bearing(world.my_key))
    assert (answer.status_code, answer.headers["content-type"]) == (409, MEDIA_TYPE)
    assert answer.json()["detail"] == (
        f"run {taken.run_id} cannot be stored: its id is taken, make a new one"
    )
    other = make_report(project=MINE)
    batch = json.dumps({"items": [json.loads(body), other.model_dump(mode="json")]})
    results = world.client.post("/v1/runs/batch", content=batch, headers=bearing(world.my_key))
    assert [item["status"] for item in results.json()["items"]] == [409, 201]
    world.client.delete(f"/v1/runs/{other.run_id}", headers=bearing(world.my_key))
    held = world.client.get(path, headers=bearing(SERVER_KEY))
    assert RunReport.model_validate_json(held.content) == taken


def test_a_share_of_another_projects_run_is_refused(world: World) -> None:
    taken = world.theirs[1]
    share = make_report(project=MINE, run_id=taken.run_id, reporter="intruder", seq=99)
    path = f"/v1/runs/{taken.run_id}"
    answer = world.client.put(path, content=share.model_dump_json(), headers=bearing(world.my_key))
    assert answer.status_code == 409
    held = world.client.get(path, headers=bearing(SERVER_KEY))
    assert RunReport.model_validate_json(held.content) == taken


def test_a_run_does_not_leave_its_project_with_a_key_of_that_alone(world: World) -> None:
    report = world.mine[0]
    moved = report.model_copy(update={"project": THEIRS, "seq": 7}).model_dump_json()
    path = f"/v1/runs/{report.run_id}"
    answer = world.client.put(path, content=moved, headers=bearing(world.my_key))
    assert answer.status_code == 403
    assert answer.json()["detail"] == (
        f"this key is not for project '{THEIRS}', but for '{MINE}'; name one of those, or use "
        "another key"
    )
    assert world.client.get(path, headers=bearing(world.my_key)).json()["project"] == MINE


def test_runs_that_are_costed_with_a_key_of_mine_are_mine(world: World) -> None:
    order = {"table": grid.bundled_version(), "dry_run": True}
    mine = world.client.post("/v1/recost", json=order, headers=bearing(world.my_key)).json()
    everything = world.client.post("/v1/recost", json=order, headers=bearing(SERVER_KEY)).json()
    assert (mine["runs"], everything["runs"]) == (len(world.mine), len(world.mine))
    # Theirs are at a place that is in no table.
    assert (mine["runs_without_factor"], everything["runs_without_factor"]) == (
        0,
        len(world.theirs),
    )


# ----------------------------------------------------------------------------------------- scopes


@pytest.fixture(scope="module")
def scoped(module_ledgers: Ledgers) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """A server, and a key for every combination of scopes that lacks one."""
    url = module_ledgers.url("scopes")
    made = {
        "ingest": make_key(url, scopes=("ingest",))[1],
        "read": make_key(url, scopes=("read",))[1],
        "ingest, read": make_key(url, scopes=("ingest", "read"))[1],
        "admin": make_key(url, scopes=("admin",))[1],
    }
    settings = module_ledgers.settings("scopes", rate_limit="0")
    with TestClient(create_app(settings)) as client:
        yield client, made


DELIVERIES = {("put", "/v1/runs/{run_id}"), ("post", "/v1/runs/batch")}
QUESTIONS = {("post", "/v1/runs/{run_id}/what-if")}


def test_every_route_asks_for_a_scope(scoped: tuple[TestClient, dict[str, str]]) -> None:
    """Reading for questions, delivering for reports, and `admin` for whatever else there is."""
    client, made = scoped
    paths = client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            if path in OPEN:
                continue
            is_question = method == "get" or (method, path) in QUESTIONS
            needed = "read" if is_question else "admin"
            if (method, path) in DELIVERIES:
                needed = "ingest"
            for has, key in made.items():
                answer = client.request(method, path, headers=bearing(key))
                is_refused = f"lacks the scope '{needed}', it has {has};" in answer.text
                assert is_refused == (answer.status_code == 403)
                assert is_refused == (needed not in has and has != "admin"), (method, path, has)
