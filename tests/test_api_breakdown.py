"""What each node and each model of accelerators of a run drew."""

from starlette.testclient import TestClient

from api.breakdown import LONGEST_MODEL, by_gpu_model, by_node
from api.sums import Drawn
from carbon import units
from carbon.schema import DeviceReport, NodeReport
from tests.factories import make_report
from tests.test_api_runs import put


def test_of_several_nodes_each_has_what_is_said_of_it() -> None:
    def node(hostname: str, gpu: float, uncertainty: float, idle: float | None) -> NodeReport:
        return NodeReport(
            hostname=hostname,
            energy_kwh=gpu + 0.5,
            gpu_energy_kwh=gpu,
            cpu_energy_kwh=0.5,
            energy_uncertainty=uncertainty,
            idle_energy_kwh=idle,
        )

    run = make_report(
        nodes=[
            node("one", 0.5, 0.1, 0.25),
            node("one", 2.5, 0.2, 0.125),
            node("two", 1.5, 0.3, None),
            NodeReport(hostname="three"),
        ],
        market_intensity_g_per_kwh=10.0,
        market_emissions_kg=units.emissions_kg(0.003, 1.2, 10.0),
    )
    assert by_node(run.model_dump()) == {
        "one": Drawn(
            energy_kwh=4.0,
            gpu_energy_kwh=3.0,
            cpu_energy_kwh=1.0,
            ram_energy_kwh=None,
            idle_energy_kwh=0.375,
            emissions_kg=units.emissions_kg(4.0, 1.2, 380.95),
            market_emissions_kg=units.emissions_kg(4.0, 1.2, 10.0),
            energy_uncertainty=(1.0 * 0.1 + 3.0 * 0.2) / 4.0,
        ),
        "two": Drawn(
            energy_kwh=2.0,
            gpu_energy_kwh=1.5,
            cpu_energy_kwh=0.5,
            ram_energy_kwh=None,
            idle_energy_kwh=None,
            emissions_kg=units.emissions_kg(2.0, 1.2, 380.95),
            market_emissions_kg=units.emissions_kg(2.0, 1.2, 10.0),
            energy_uncertainty=0.3,
        ),
        "three": Drawn._make([None] * len(Drawn._fields)),
    }


def test_a_model_with_a_long_name_is_known_by_its_beginning() -> None:
    devices = [DeviceReport(uuid=str(i), name=f" {'x' * 500}{i}") for i in range(2)]
    run = make_report(nodes=[NodeReport(hostname="a", devices=devices)], gpu_energy_kwh=0.5)
    (model,) = by_gpu_model(run.model_dump()).items()
    assert (model[0], model[1].energy_kwh) == ("x" * LONGEST_MODEL, 0.5)


def test_a_correction_is_of_the_only_node_and_model_but_not_divided(api_client: TestClient) -> None:
    devices = [DeviceReport(uuid=str(i), name="H100", energy_kwh=0.5) for i in range(2)]
    one = NodeReport(hostname="one", energy_kwh=1.0, gpu_energy_kwh=1.0, devices=devices)
    two = one.model_copy(update={"hostname": "two"})
    for project, nodes in (("p", [one]), ("q", [one, two])):
        total = float(len(nodes))
        report = make_report(
            project=project,
            nodes=nodes,
            **dict.fromkeys(("cpu_energy_kwh", "ram_energy_kwh")),
            gpu_energy_kwh=total,
            gpu_energy_uncertainty=0.02,
        )
        put(api_client, report)
        correction = {"reason": "a shunt was wrong", "gpu_energy_kwh": total / 4}
        assert api_client.patch(f"/v1/runs/{report.run_id}", json=correction).status_code == 200

    def energies(project: str, key: str) -> dict[str, tuple[float, float]]:
        path = f"/v1/projects/{project}/summary?group_by={key}"
        items = api_client.get(path).json()["items"]
        return {line[key]: (line["energy_kwh"], line["emissions_kg"]) for line in items}

    def drawn(energy_kwh: float) -> tuple[float, float]:
        return energy_kwh, units.emissions_kg(energy_kwh, 1.2, 380.95)

    assert energies("p", "node") == {"one": drawn(0.25)}
    assert energies("p", "gpu_model") == {"H100": drawn(0.25)}
    assert energies("q", "node") == {"one": drawn(1.0), "two": drawn(1.0)}
    assert energies("q", "gpu_model") == {"H100": drawn(0.5)}
