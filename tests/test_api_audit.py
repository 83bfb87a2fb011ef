"""The audit log of terms: prices, budgets and hardware, which change what runs cost and count."""

from typing import Any

import pytest
from starlette.testclient import TestClient

PRICE = {"currency": "EUR", "price_per_kwh": 0.3}
BUDGET = {"quantity": "energy_kwh", "limit": 5.0, "period": "month"}
MADE = {"embodied_kg": 150.0, "lifetime_h": 35040.0}

TERMS: list[tuple[str, str, str | None, dict[str, Any], str, Any]] = [
    ("/v1/prices/2026-01-01", "prices/2026-01-01", None, PRICE, "price_per_kwh", 0.4),
    (
        "/v1/projects/p/prices/2026-01-01",
        "prices/2026-01-01",
        "p",
        PRICE,
        "price_per_kwh",
        0.4,
    ),
    ("/v1/projects/p/budgets/b", "budgets/b", "p", BUDGET, "limit", 6.0),
    ("/v1/hardware/gpu/H100", "hardware/gpu/H100", None, MADE, "embodied_kg", 200.0),
]


def log(client: TestClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/audit").json()["items"]
    return items


@pytest.mark.parametrize(("path", "what", "project", "terms", "field", "other"), TERMS)
def test_terms_that_are_set_changed_and_removed_are_logged(
    api_client: TestClient,
    path: str,
    what: str,
    project: str | None,
    terms: dict[str, Any],
    field: str,
    other: Any,
) -> None:
    headers = {"X-Request-ID": "terms-1"}
    assert api_client.put(path, json=terms, headers=headers).status_code == 201
    assert api_client.put(path, json=terms).status_code == 200  # As before: nothing to log.
    assert api_client.put(path, json=terms | {field: other}).status_code == 200
    assert api_client.delete(path).status_code == 204
    assert api_client.delete(path).status_code == 404
    removed, changed, begun = log(api_client)
    assert [removed["action"], changed["action"], begun["action"]] == ["remove", "set", "set"]
    for entry in (removed, changed, begun):
        assert entry["project"] == project
        assert (entry["run_id"], entry["runs"]) == (None, 0)
        assert list(entry["changes"]) == [what]
    assert begun["request_id"] == "terms-1"
    assert begun["actor"].startswith("anonymous")
    assert begun["changes"][what]["before"] is None
    assert begun["changes"][what]["after"].items() >= terms.items()
    assert changed["changes"][what]["before"] == begun["changes"][what]["after"]
    assert changed["changes"][what]["after"][field] == other
    assert removed["changes"][what]["before"] == changed["changes"][what]["after"]
    assert removed["changes"][what]["after"] is None


def test_another_webhook_is_logged_and_its_secret_is_not(api_client: TestClient) -> None:
    path = "/v1/projects/p/budgets/b"
    for secret in ("s3cret-one", "s3cret-two"):
        url = f"https://1.1.1.1/{secret}"
        answer = api_client.put(path, json=BUDGET | {"webhook_url": url})
        assert answer.status_code in (200, 201), answer.text
    changed, _ = log(api_client)
    before, after = changed["changes"]["budgets/b"].values()
    assert before.pop("webhook_sha256") != after.pop("webhook_sha256")
    assert before == after
    assert "s3cret" not in api_client.get("/v1/audit").text
