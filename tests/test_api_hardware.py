"""Hardware and the share of its embodied emissions that a run has."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from carbon.analysis.embodied import embodied_share_kg
from carbon.schema import DeviceReport, Footprint, HardwareTerms, NodeReport
from tests.factories import make_report

MODEL = "NVIDIA H100/80GB HBM3"


def gpu(uuid: str, name: str | None = MODEL) -> DeviceReport:
    return DeviceReport(uuid=uuid, name=name)


def set_hardware(client: TestClient, path: str, **fields: Any) -> int:
    sent = {"embodied_kg": 150.0, "lifetime_h": 1000.0, "source": "maker", "year": 2024} | fields
    return client.put(f"/v1/hardware/{path}", json=sent).status_code


def test_the_share_is_that_of_the_sci_specification() -> None:
    """Its example: of 1,000 kg and four years an hour has around 28 g."""
    hardware = HardwareTerms(embodied_kg=1000.0, lifetime_h=4 * 365 * 24)
    assert embodied_share_kg(hardware, 3600.0) == pytest.approx(0.0285, abs=0.0001)
    half = hardware.model_copy(update={"resource_share": 0.5})
    assert embodied_share_kg(half, 3600.0) == embodied_share_kg(hardware, 3600.0) / 2


def test_a_run_has_its_share_of_each_device_once(shared_client: TestClient) -> None:
    attempts = [
        NodeReport(hostname="node-1", attempt=attempt, devices=[gpu("a"), gpu("b")])
        for attempt in range(2)
    ]
    other = NodeReport(hostname="node-2", attempt=1, devices=[gpu("c", "other"), gpu("d", None)])
    run = make_report(nodes=[*attempts, other], duration_s=7200.0, ended_at=None)
    shared_client.put(f"/v1/runs/{run.run_id}", content=run.model_dump_json())

    def footprint() -> Footprint:
        answer = shared_client.get(f"/v1/runs/{run.run_id}/footprint")
        return Footprint.model_validate_json(answer.content)

    unknown = footprint()
    assert (unknown.embodied_kg, unknown.total_kg) == (None, None)
    assert unknown.operational_kg == run.emissions_kg
    assert set_hardware(shared_client, f"gpu/{MODEL.lower()}") == 201
    assert set_hardware(shared_client, f"gpu/{MODEL}") == 200
    assert set_hardware(shared_client, "gpu/unused") == 201
    found = footprint()
    parts = {(part.kind, part.name): part for part in found.embodied}
    assert parts["gpu", MODEL].count == 2
    assert parts["gpu", MODEL].embodied_kg == pytest.approx(2 * 150 * 2 / 1000)
    assert (parts["gpu", MODEL].source, parts["gpu", MODEL].year) == ("maker", 2024)
    assert {key for key, part in parts.items() if part.embodied_kg is None} == {
        ("gpu", None),
        ("gpu", "other"),
        ("host", "node-1"),
        ("host", "node-2"),
    }
    assert found.embodied_kg == pytest.approx(0.6)
    assert found.total_kg is None  # Of some hardware nothing is known.


def test_the_total_is_there_once_all_of_it_is_known(shared_client: TestClient) -> None:
    run = make_report(nodes=[NodeReport(hostname="Node-1", devices=[gpu("a")])])
    shared_client.put(f"/v1/runs/{run.run_id}", content=run.model_dump_json())
    set_hardware(shared_client, f"gpu/{MODEL}")
    set_hardware(shared_client, "host/node-1", embodied_kg=3000.0, resource_share=0.125)
    found = Footprint.model_validate_json(
        shared_client.get(f"/v1/runs/{run.run_id}/footprint").content
    )
    share_kg = (150 + 3000 / 8) / 60 / 1000
    assert found.embodied_kg == pytest.approx(share_kg)
    assert found.total_kg == pytest.approx(share_kg + (run.emissions_kg or 0))


def test_hardware_is_listed_and_forgotten(shared_client: TestClient) -> None:
    for path in ("host/b", f"gpu/{MODEL}", "host/A"):
        assert set_hardware(shared_client, path) == 201
    listed = shared_client.get("/v1/hardware").json()["items"]
    assert [(each["kind"], each["name"]) for each in listed] == [
        ("gpu", MODEL),
        ("host", "A"),
        ("host", "b"),
    ]
    assert shared_client.get("/v1/hardware/host/a").json()["name"] == "A"
    assert shared_client.delete("/v1/hardware/host/a").status_code == 204
    assert shared_client.get("/v1/hardware/host/A").status_code == 404
    assert shared_client.delete("/v1/hardware/host/A").status_code == 404
    assert set_hardware(shared_client, "tpu/x") == 422
    assert set_hardware(shared_client, "gpu/x", lifetime_h=0) == 422
    assert set_hardware(shared_client, "gpu/x", resource_share=1.1) == 422
