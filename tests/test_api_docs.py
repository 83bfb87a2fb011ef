"""The documentation page works where no other machine can be reached."""

import re

from starlette.testclient import TestClient

from carbon.schema import Problem


def test_the_docs_load_nothing_from_elsewhere(api_client: TestClient) -> None:
    page = api_client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {link.rsplit(".")[-1] for link in loaded} == {"css", "js", "png"}
    for link in loaded:
        assert link.startswith("/")
        assert api_client.get(link).status_code == 200
    assert "://" not in page
    assert '"validatorUrl": null' in page


def test_the_schema_names_every_route_and_the_reports_fields(api_client: TestClient) -> None:
    document = api_client.get("/openapi.json").json()
    assert {
        (method, path) for path, methods in document["paths"].items() for method in methods
    } == {
        ("post", "/v1/runs/batch"),
        ("put", "/v1/runs/{run_id}"),
        ("delete", "/v1/runs/{run_id}"),
        ("get", "/v1/runs/{run_id}"),
        ("patch", "/v1/runs/{run_id}"),
        ("delete", "/v1/runs/{run_id}"),
        ("get", "/v1/runs/{run_id}/epochs"),
        ("get", "/v1/runs/{run_id}/audit"),
        ("get", "/v1/runs/{run_id}/costings"),
        ("post", "/v1/runs/batch"),
        ("get", "/v1/runs"),
        ("get", "/v1/projects"),
        ("get", "/v1/projects/{project}/summary"),
        ("get", "/v1/projects/{project}/studies"),
        ("get", "/v1/projects/{project}/studies/{study}/scaling"),
        ("get", "/v1/projects/{project}/tradeoff"),
        ("get", "/v1/summary"),
        ("get", "/v1/grid"),
        ("get", "/v1/projects/{project}/budgets"),
        ("get", "/v1/projects/{project}/prices"),
        ("get", "/v1/prices"),
        ("get", "/v1/hardware"),
        ("get", "/v1/projects/{project}/what-if"),
        ("get", "/v1/runs/{run_id}/what-if"),
        ("post", "/v1/runs/{run_id}/what-if"),
        ("get", "/v1/runs/{run_id}/footprint"),
        *(
            (method, path)
            for method in ("get", "put", "delete")
            for path in (
                "/v1/projects/{project}/budgets/{name}",
                "/v1/projects/{project}/prices/{valid_from}",
                "/v1/prices/{valid_from}",
                "/v1/hardware/{kind}/{name}",
            )
        ),
        ("get", "/v1/factor-tables"),
        ("post", "/v1/factor-tables"),
        ("post", "/v1/recost"),
        ("get", "/v1/audit"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    }
    body = document["paths"]["/v1/runs/{run_id}"]["put"]["requestBody"]
    reference = body["content"]["application/json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/RunReport"
    report = document["components"]["schemas"]["RunReport"]
    assert {"run_id", "energy_kwh", "nodes"} <= set(report["properties"])
    assert "energy_kwh" not in report["required"]


def test_every_operation_says_how_it_fails(api_client: TestClient) -> None:
    document = api_client.get("/openapi.json").json()
    for methods in document["paths"].values():
        for operation in methods.values():
            content = operation["responses"]["default"]["content"]
            fields = content["application/problem+json"]["schema"]["properties"]
            assert set(fields) == set(Problem.model_fields)


def test_no_parameter_is_ignored(api_client: TestClient) -> None:
    """But for reports: what is delivered is in the body, and nothing may hold it up."""
    deliveries = {("put", "/v1/runs/{run_id}"), ("post", "/v1/runs/batch")}
    values = {
        "run_id": "01900000-0000-7000-8000-000000000000",
        "valid_from": "2026-01-01",
        "kind": "gpu",
    }
    for path, methods in api_client.get("/openapi.json").json()["paths"].items():
        for method in methods:
            if not path.startswith("/v1/") or (method, path) in deliveries:
                continue
            names = re.findall(r"{(\w+)}", path)
            url = path.format(**{name: values.get(name, "x") for name in names})
            answer = api_client.request(method, f"{url}?surprise=1", content="{}")
            assert answer.status_code == 422, (method, path)
            assert "surprise" in {error["field"] for error in answer.json()["errors"]}
