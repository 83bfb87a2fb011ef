"""What the demo makes of the API's answers."""

import random
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import httpx
import pytest
from rich.console import Console

from carbon.rest.client import Client
from carbon.schema import EpochReport, RunFields, RunPage, RunReport, TradeoffPoint
from carbon.settings import Settings
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.studies import tradeoff_of
from trainers.results import (
    ResultsError,
    explain_energy,
    explain_speedup,
    inexact_totals,
    study_table,
    wait_for_runs,
)


def run_of_study(strategy: str, workers: int, epoch_s: float, **fields: Any) -> RunReport:
    epochs = [EpochReport(index=i, duration_s=epoch_s, energy_kwh=1e-6) for i in range(4)]
    return make_report(
        strategy=strategy,
        world_size=workers,
        study="s",
        epochs=epochs,
        metrics={"accuracy": 0.975},
        **fields,
    )


def printed(points: Sequence[TradeoffPoint], runs: Sequence[RunFields]) -> list[str]:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(study_table(points, runs, "title"))
    return capture.get().splitlines()


def cells(line: str) -> list[str]:
    """The cells of a line of the table, which stand at least two blanks apart."""
    return re.split(r"\s{2,}", line.strip())


def test_the_table_and_the_totals_say_what_was_put_into_the_api(shared_api: LiveApi) -> None:
    draw = random.Random(5)
    reports = [
        run_of_study(strategy, n, epoch_s, cpu_energy_kwh=round(draw.random() / 1e3, 12))
        for strategy, n, epoch_s in (("single", 1, 2.0), ("ddp", 1, 2.5), ("ddp", 2, 1.0))
    ]
    others = [make_report(project="other", cpu_energy_kwh=draw.random()) for _ in range(40)]
    with Client(shared_api.settings) as client:
        for report in (*reports, *others):
            client.put_run(report)
        runs = wait_for_runs(client, "digits", "s", 3, timeout_s=0)
        with pytest.raises(ResultsError, match=r"3 of the 4 runs of study 's'.*carbon sync"):
            wait_for_runs(client, "digits", "s", 4, timeout_s=0)
        points = client.tradeoff("digits").points
        everything = list(client.all_runs())
        of_project = list(client.all_runs(project="digits"))
        total, project = client.summary(), client.summary("digits")

    assert {run.run_id for run in everything} == {run.run_id for run in (*reports, *others)}
    assert {run.run_id for run in of_project} == {run.run_id for run in reports}
    assert inexact_totals(total, everything) == []
    assert inexact_totals(project, of_project) == []
    assert inexact_totals(project, everything)[0].startswith("runs: the total is 3, there are 43")

    lines = printed(points, runs)
    (fastest,) = (line for line in lines if "ddp x2" in line)
    energy_kwh = reports[2].energy_kwh
    assert energy_kwh is not None
    shown = cells(fastest)
    assert shown[:5] == [
        "ddp x2",
        "60.0",
        "1.00",
        "2.00",
        format(Decimal(f"{energy_kwh:.2e}"), "f"),
    ]
    assert shown[6] == "97.5"
    assert explain_speedup(points).startswith("ddp x2 trains an epoch 2.00 times as fast as single")


@pytest.mark.parametrize(
    "field", ["energy_kwh", "cpu_energy_kwh", "ram_energy_kwh", "emissions_kg"]
)
def test_a_total_that_is_off_in_the_last_digit_is_found(field: str, shared_api: LiveApi) -> None:
    with Client(shared_api.settings) as client:
        client.put_run(make_report(cpu_energy_kwh=0.1, ram_energy_kwh=0.2))
        client.put_run(make_report(cpu_energy_kwh=0.2, ram_energy_kwh=0.1))
        runs, summary = list(client.all_runs()), client.summary()
    assert inexact_totals(summary, runs) == []
    for wrong in (getattr(summary, field) + 1e-12, None):
        (found,) = inexact_totals(summary.model_copy(update={field: wrong}), runs)
        assert found.startswith(f"{field}: the total is {wrong}")


def test_every_page_of_runs_is_read(settings: Settings) -> None:
    reports = [make_report() for _ in range(3)]
    pages = {
        None: RunPage(items=[RunFields.model_validate(fields(reports[0]))], next_cursor="a"),
        "a": RunPage(items=[RunFields.model_validate(fields(reports[1]))], next_cursor="b"),
        "b": RunPage(items=[RunFields.model_validate(fields(reports[2]))]),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        page = pages[request.url.params.get("cursor")]
        return httpx.Response(200, content=page.model_dump_json())

    with Client(settings, transport=httpx.MockTransport(answer)) as client:
        assert [run.run_id for run in client.all_runs()] == [report.run_id for report in reports]


def fields(report: RunReport) -> dict[str, Any]:
    return report.model_dump(include=set(RunFields.model_fields))


@pytest.mark.parametrize(
    ("energy_kwh", "shown"),
    [
        (12.0, "12.0"),
        (0.1, "0.100"),
        (0.09994, "0.0999"),
        (0.0000912345, "0.0000912"),
        (0.000000000012, "0.0000000000120"),
        (1234.5, "1230"),
        (0.0, "0.00"),
        (None, "unknown"),
    ],
)
def test_energy_is_shown_in_kwh_and_never_as_a_power_of_ten(
    energy_kwh: float | None, shown: str
) -> None:
    run = run_of_study("single", 1, 1.5, cpu_energy_kwh=energy_kwh, ram_energy_kwh=None)
    lines = printed(tradeoff_of("digits", [run]).points, [run])
    (headings,) = (cells(line) for line in lines if "configuration" in line)
    assert headings[4:6] == ["kWh", "g CO2e"]
    (row,) = (cells(line) for line in lines if line.strip().startswith("single x1 "))
    assert row[4] == shown
    if energy_kwh is None:
        assert row[5] == "unknown"


@pytest.mark.parametrize(
    ("epoch_s", "epoch_kwh", "sentence"),
    [
        (2.0, 1e-6, "No configuration is faster than single x1."),
        (
            0.8,
            9e-7,
            "ddp x2 trains an epoch 2.50 times as fast as single x1, for 0.90 times its energy.",
        ),
        (
            0.8,
            None,
            "ddp x2 trains an epoch 2.50 times as fast as single x1, for energy not known.",
        ),
    ],
)
def test_the_speedup_is_said_in_a_sentence(
    epoch_s: float, epoch_kwh: float | None, sentence: str
) -> None:
    epochs = [EpochReport(index=i, duration_s=epoch_s, energy_kwh=epoch_kwh) for i in range(4)]
    pair = run_of_study("ddp", 2, epoch_s).model_copy(update={"epochs": epochs})
    points = tradeoff_of("digits", [run_of_study("single", 1, 2.0), pair]).points
    assert explain_speedup(points) == sentence


@pytest.mark.parametrize(
    ("energies", "sentence"),
    [
        (
            {"cpu_energy_kwh": 0.1, "ram_energy_kwh": 0.1},
            "Energy: CPU by codecarbon_cpu_load, RAM by codecarbon_ram; give or take 30% (one "
            "standard deviation). Not measured: GPU.",
        ),
        (
            {"gpu_energy_kwh": 0.1, "cpu_energy_kwh": 0.1, "ram_energy_kwh": 0.1},
            "Energy: GPU by nvml_counter, CPU by codecarbon_cpu_load, RAM by codecarbon_ram; give "
            "or take 30% (one standard deviation).",
        ),
        ({"cpu_energy_kwh": None, "ram_energy_kwh": None}, "No energy was measured."),
    ],
)
def test_how_energy_was_found_is_said_in_a_sentence(
    energies: dict[str, float | None], sentence: str
) -> None:
    assert explain_energy([make_report(**energies), make_report(**energies)]) == sentence
