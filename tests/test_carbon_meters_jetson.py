"""Jetson boards: rails in trees of files, and a program that prints what tegrastats does."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.meters import jetson
from carbon.meters.jetson import Board, JetsonMeter
from carbon.meters.jetson_rails import Division, RailEnergies
from carbon.meters.jetson_sources import parse_line
from tests.fixtures.sysfs import Clock, Jetson
from tests.fixtures.tracking import wait_until

ORIN = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO")
ORIN_NX = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
XAVIER = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
NANO = ("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU")
TX2 = ("VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_4V0_WIFI", "VDD_IN", "VDD_SYS_CPU", "VDD_SYS_DDR")


@pytest.fixture
def clock() -> Clock:
    """A clock at 100 s."""
    return Clock()


@pytest.fixture
def orin(tmp_path: Path) -> Jetson:
    """An AGX Orin with its two sensors."""
    board = Jetson(tmp_path / "orin")
    board.add_hwmon("1-0040", *ORIN[:3])
    board.add_hwmon("1-0041", "NC", ORIN[3], "NC", number=4)
    return board


@pytest.fixture
def nano(tmp_path: Path) -> Jetson:
    """A Nano of 2019 with the iio layout."""
    board = Jetson(tmp_path / "nano", "NVIDIA Jetson Nano Developer Kit")
    board.add_iio("6-0040", *NANO)
    return board


def opened(jetson_: Jetson, clock: Clock) -> tuple[Board, dict[str, JetsonMeter]]:
    board = jetson.open_board(jetson_.root, clock)
    assert board is not None
    return board, {m.component: m for m in [*board.accelerators(), *board.host_meters()]}


def energies(meters: dict[str, JetsonMeter]) -> dict[str, float]:
    return {component: meter.read().energy_j for component, meter in meters.items()}


# ------------------------------------------------------------------------------------ the division


@pytest.mark.parametrize(
    ("rails", "board", "gpu", "ram"),
    [
        (ORIN, ORIN[:3], ("VDD_GPU_SOC",), ("VDDQ_VDD2_1V8AO",)),
        (ORIN_NX, ("VDD_IN",), ("VDD_CPU_GPU_CV",), ()),
        (XAVIER, XAVIER, ("GPU",), ("VDDRQ",)),
        (NANO, ("POM_5V_IN",), ("POM_5V_GPU",), ()),
        (TX2, ("VDD_IN",), ("VDD_SYS_GPU",), ("VDD_SYS_DDR",)),
    ],
    ids=["agx-orin", "orin-nx", "agx-xavier", "nano", "tx2"],
)
@given(watts=st.lists(st.floats(0, 20), min_size=6, max_size=6))
def test_components_add_up_to_the_board(
    rails: tuple[str, ...],
    board: tuple[str, ...],
    gpu: tuple[str, ...],
    ram: tuple[str, ...],
    watts: list[float],
) -> None:
    division = Division.of(rails)
    assert division == Division(board, gpu, ram)
    power_w = dict(zip(rails, watts, strict=False))
    # An input supplies all the others, and the 5 V rail of an Orin its memory.
    power_w[board[-1]] += sum(watt for rail, watt in power_w.items() if rail not in board)
    rail_energies = RailEnergies(division)
    for at_s in (0.0, 1.0, 3.0):
        rail_energies.add(at_s, power_w)
    found = {c: rail_energies.of(c) for c in division.components}
    assert sum(found.values()) == pytest.approx(3 * sum(power_w[rail] for rail in board))
    assert found["gpu"] == pytest.approx(3 * power_w[gpu[0]])
    assert ("ram" in found) is bool(ram)


def test_a_rail_that_supplies_more_than_the_gpu_says_so() -> None:
    assert Division.of(NANO).gpu_note is None
    assert Division.of(TX2).gpu_note is None
    assert Division.of(ORIN).gpu_note == "rail VDD_GPU_SOC also supplies SOC"
    assert Division.of(ORIN_NX).gpu_note == "rail VDD_CPU_GPU_CV also supplies CPU and CV"


_READINGS = st.lists(
    st.tuples(
        st.floats(0.01, 5),
        st.dictionaries(st.sampled_from(TX2), st.floats(0, 500), max_size=len(TX2)),
    ),
    max_size=40,
)


@given(_READINGS)
def test_no_energy_goes_back_or_is_huge(
    readings: list[tuple[float, dict[str, float]]],
) -> None:
    division = Division.of(TX2)
    rail_energies, at_s = RailEnergies(division), 0.0
    last = dict.fromkeys(division.components, 0.0)
    for gap_s, power_w in readings:
        at_s += gap_s
        rail_energies.add(at_s, power_w)
        now = {component: rail_energies.of(component) for component in division.components}
        assert all(last[c] <= now[c] <= 500 * at_s for c in now)
        last = now


# ----------------------------------------------------------------------------------- rails in files


def test_an_orin(orin: Jetson, clock: Clock) -> None:
    orin.set(VDD_GPU_SOC=20_000, VDD_CPU_CV=6_000, VIN_SYS_5V0=5_000, VDDQ_VDD2_1V8AO=1_500)
    board, meters = opened(orin, clock)
    assert {c: (m.method, m.poll_interval_s) for c, m in meters.items()} == dict.fromkeys(
        ["gpu", "cpu", "ram"], ("jetson_ina3221", 0.1)
    )
    assert all(0.01 < meter.uncertainty < 0.1 for meter in meters.values())
    for _ in range(100):
        clock.now_s += 0.1
        energies(meters)
    assert energies(meters) == pytest.approx({"gpu": 200, "cpu": 95, "ram": 15})
    assert meters["gpu"].note == "rail VDD_GPU_SOC also supplies SOC"
    assert meters["cpu"].note is None
    assert meters["gpu"].device == board.device
    assert meters["cpu"].cpu_model == "NVIDIA Jetson AGX Orin Developer Kit"
    assert jetson.explain(orin.root) is None


def test_a_nano_counts_its_input_once(nano: Jetson, clock: Clock) -> None:
    nano.set(POM_5V_IN=8_000, POM_5V_GPU=3_000, POM_5V_CPU=2_000)
    _, meters = opened(nano, clock)
    clock.now_s += 10
    # All that is not the GPU: the CPU, and what has no rail.
    assert energies(meters) == pytest.approx({"gpu": 30, "cpu": 50})
    assert meters["gpu"].note is None


def test_a_ramp_is_integrated_exactly(nano: Jetson, clock: Clock) -> None:
    _, meters = opened(nano, clock)
    for step in range(1, 101):
        clock.now_s = 100 + step / 10
        nano.set(POM_5V_IN=100 * step, POM_5V_GPU=40 * step)
        energies(meters)
    # From 0 to 10 W in 10 s.
    assert energies(meters) == pytest.approx({"gpu": 20, "cpu": 30})


def test_meters_read_together_are_of_one_moment(orin: Jetson, clock: Clock) -> None:
    _, meters = opened(orin, clock)
    clock.now_s += 1
    readings = []
    for meter in meters.values():
        readings.append(meter.read())
        clock.now_s += 0.001
    assert {reading.at_s for reading in readings} == {101}


def test_a_rail_that_fails_keeps_what_it_had(orin: Jetson, clock: Clock) -> None:
    orin.set(VDD_GPU_SOC=20_000, VDD_CPU_CV=6_000)
    _, meters = opened(orin, clock)
    clock.now_s += 1
    assert energies(meters) == pytest.approx({"gpu": 20, "cpu": 6, "ram": 0})
    file = orin.file_of("VDD_GPU_SOC")
    file.unlink()
    for _ in range(10):
        clock.now_s += 1
        meters["gpu"].read()
    assert energies(meters) == pytest.approx({"gpu": 20, "cpu": 66, "ram": 0})
    assert meters["gpu"].note is not None
    assert "VDD_GPU_SOC: no reading after 2.0 s" in meters["gpu"].note
    # What it drew meanwhile is not known.
    orin.set(VDD_GPU_SOC=20_000)
    clock.now_s += 1
    assert meters["gpu"].read().energy_j == pytest.approx(20)
    clock.now_s += 1
    assert meters["gpu"].read().energy_j == pytest.approx(40)
    assert meters["gpu"].note == "rail VDD_GPU_SOC also supplies SOC"


@pytest.mark.parametrize("shown", ["", "x", "999999999", "-999999999"])
def test_what_is_no_power_is_not_counted(orin: Jetson, clock: Clock, shown: str) -> None:
    _, meters = opened(orin, clock)
    orin.file_of("VDD_GPU_SOC").write_text(shown)
    clock.now_s += 1
    assert energies(meters)["gpu"] == 0
    assert "VDD_GPU_SOC: no reading" in (meters["gpu"].note or "")


def test_an_offset_below_zero_is_zero(orin: Jetson, clock: Clock) -> None:
    _, meters = opened(orin, clock)
    orin.file_of("VDD_CPU_CV").write_text("-16")
    clock.now_s += 1
    assert energies(meters) == {"gpu": 0, "cpu": 0, "ram": 0}
    assert meters["cpu"].note is None


def test_channels_that_are_switched_off_are_left_out(tmp_path: Path, clock: Clock) -> None:
    board = Jetson(tmp_path / "board")
    board.add_hwmon("1-0040", "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
    next(board.root.glob("sys/bus/i2c/drivers/*/*/hwmon/*/in2_enable")).write_text("0\n")
    board.set(VDD_IN=7_000)
    _, meters = opened(board, clock)
    clock.now_s += 1
    assert energies(meters) == {"cpu": 7}
    assert jetson.explain(board.root) == "the board has no power rail of its own for: GPU"


@pytest.mark.parametrize(
    "file",
    ["sys/devices/gpu.0/load", "sys/class/devfreq/17000000.ga10b/device/load"],
)
def test_the_gpu_s_load(orin: Jetson, clock: Clock, file: str) -> None:
    load = orin.root / file
    load.parent.mkdir(parents=True)
    load.write_text("731\n")
    _, meters = opened(orin, clock)
    assert meters["gpu"].utilization_percent() == 73.1
    assert meters["cpu"].utilization_percent() is None
    load.unlink()
    assert meters["gpu"].utilization_percent() is None


def test_a_closed_meter_stands_still(orin: Jetson, clock: Clock) -> None:
    orin.set(VDD_GPU_SOC=10_000)
    _, meters = opened(orin, clock)
    clock.now_s += 1
    last = meters["gpu"].read()
    meters["gpu"].close()
    clock.now_s += 1
    assert meters["gpu"].read() is last
    assert meters["gpu"].utilization_percent() is None
    assert meters["cpu"].read().at_s == 102


# -------------------------------------------------------------------------------- which board it is


def test_the_board_keeps_its_uuid(orin: Jetson, nano: Jetson, clock: Clock) -> None:
    first, again = opened(orin, clock)[0].device, opened(orin, clock)[0].device
    assert first == again
    assert first.uuid.startswith("JETSON-")
    assert "1420921055555" not in first.uuid
    (nano.root / "proc/device-tree/serial-number").unlink()
    assert opened(nano, clock)[0].device.uuid != first.uuid


def test_another_machine_is_no_jetson(tmp_path: Path) -> None:
    assert not jetson.is_jetson(tmp_path)
    assert jetson.open_board(tmp_path) is None
    assert jetson.explain(tmp_path) == "this machine is not a Jetson"


@pytest.mark.parametrize(
    ("file", "content"),
    [("etc/nv_tegra_release", "# R35"), ("sys/devices/soc0/family", "Tegra\n")],
)
def test_a_jetson_whose_device_tree_is_hidden(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(content)
    assert jetson.is_jetson(tmp_path)


# -------------------------------------------------------------------------------------- tegrastats

ORIN_LINE = (
    "11-21-2026 10:15:30 RAM 3128/30536MB (lfb 6204x4MB) SWAP 0/15268MB (cached 0MB) "
    "CPU [5%@1190,3%@1190,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 61%@[305,305] VIC_FREQ 729 "
    "APE 174 CV0@-256C CPU@47.437C Tboard@36C SOC2@43.687C tj@47.437C VDD_GPU_SOC 2794mW/2790mW "
    "VDD_CPU_CV 399mW/399mW VIN_SYS_5V0 3435mW/3435mW NC 0mW/0mW VDDQ_VDD2_1V8AO 505mW/505mW NC "
    "0mW/0mW"
)
NANO_LINE = (
    "RAM 1132/3964MB (lfb 338x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) "
    "CPU [12%@518,4%@518,4%@518,3%@518] EMC_FREQ 2%@1600 GR3D_FREQ 0%@76 APE 25 PLL@26C CPU@28.5C "
    "PMIC@100C GPU@28C AO@33.5C thermal@28.25C POM_5V_IN 2532/2532 POM_5V_GPU 40/40 POM_5V_CPU "
    "321/321"
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (ORIN_LINE, dict(zip(ORIN, (2.794, 0.399, 3.435, 0.505), strict=True))),
        (NANO_LINE, dict(zip(NANO, (2.532, 0.04, 0.321), strict=True))),
        ("GPU 0/0 CPU 311/311 SYS5V 1889/1889", {"GPU": 0.0, "CPU": 0.311, "SYS5V": 1.889}),
        ("", {}),
        ("RAM 3128/30536MB", {}),
    ],
)
def test_the_rails_in_a_line(line: str, expected: dict[str, float]) -> None:
    assert parse_line(line) == expected


Script = Callable[[str], Path]


@pytest.fixture
def tegrastats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Put a program named tegrastats into PATH that runs a script of `sh`; its root is returned."""

    def make(script: str) -> Path:
        program = tmp_path / "bin" / "tegrastats"
        program.parent.mkdir(exist_ok=True)
        lines = f"nano='{NANO_LINE}'\norin='{ORIN_LINE}'"
        program.write_text(f"#!/bin/sh\n{lines}\necho $$ >>{tmp_path}/pids\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")
        return Jetson(tmp_path / "board").root

    return make


def has_ended(tmp_path: Path) -> bool:
    return not any(Path("/proc", pid).exists() for pid in (tmp_path / "pids").read_text().split())


def test_lines_are_followed_until_the_last_meter_is_closed(
    tegrastats: Script, tmp_path: Path
) -> None:
    root = tegrastats('while true; do echo "$orin"; sleep 0.02; done')
    board = jetson.open_board(root)
    assert board is not None
    meters = {m.component: m for m in [*board.accelerators(), *board.host_meters()]}
    assert {m.method for m in meters.values()} == {"jetson_tegrastats"}
    assert {m.poll_interval_s for m in meters.values()} == {None}
    first = {c: m.read() for c, m in meters.items()}
    wait_until(lambda: meters["ram"].read().at_s - first["ram"].at_s > 0.6)
    power_w_by_component = {"gpu": 2.794, "cpu": 0.399 + 3.435 - 0.505, "ram": 0.505}
    for component, meter in meters.items():
        power_w = power_w_by_component[component]
        last = meter.read()
        mean_w = (last.energy_j - first[component].energy_j) / (last.at_s - first[component].at_s)
        assert mean_w == pytest.approx(power_w)
    assert meters["gpu"].utilization_percent() == 61
    meters["gpu"].close()
    meters["cpu"].close()
    assert not has_ended(tmp_path)
    meters["ram"].close()
    assert has_ended(tmp_path)
    last = meters["ram"].read()
    assert meters["ram"].read() is last


def test_files_come_before_tegrastats(tegrastats: Script, nano: Jetson, tmp_path: Path) -> None:
    tegrastats('while true; do echo "$nano"; sleep 0.02; done')
    board = jetson.open_board(nano.root)
    assert board is not None
    assert board.source.method == "jetson_ina3221"
    assert not (tmp_path / "pids").exists()


def test_files_that_cannot_be_read_give_way_to_tegrastats(tegrastats: Script, nano: Jetson) -> None:
    tegrastats('while true; do echo "$nano"; sleep 0.02; done')
    nano.file_of("POM_5V_GPU").unlink()
    board = jetson.open_board(nano.root)
    assert board is not None
    assert board.source.method == "jetson_tegrastats"
    for meter in [*board.accelerators(), *board.host_meters()]:
        meter.close()


def test_a_stream_that_ends_keeps_what_was_drawn(
    tegrastats: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carbon.meters.jetson_sources.STALE_S", 0.3)
    root = tegrastats('for i in 1 2 3 4 5; do echo "$nano"; sleep 0.02; done')
    board = jetson.open_board(root)
    assert board is not None
    gpu = board.accelerators()[0]
    wait_until(lambda: gpu.read() is not None and gpu.note is not None)
    assert gpu.note is not None
    assert gpu.note.startswith("no line of tegrastats after ")
    last = gpu.read()
    assert 0 < last.energy_j < 0.04 * 2.0
    assert gpu.utilization_percent() is None
    time.sleep(0.01)
    assert gpu.read().at_s > last.at_s
    assert gpu.read().energy_j == last.energy_j
    gpu.close()


def test_a_program_that_does_not_want_to_end_is_killed(tegrastats: Script, tmp_path: Path) -> None:
    root = tegrastats("trap '' TERM\nwhile true; do echo \"$nano\"; sleep 0.05; done")
    board = jetson.open_board(root)
    assert board is not None
    board.accelerators()[0].close()
    assert has_ended(tmp_path)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 1", "tegrastats printed no power rails"),
        ("echo RAM 1/2MB; head -c 30000 /dev/zero", "tegrastats printed no power rails"),
    ],
)
def test_a_board_without_rails_says_so(
    tegrastats: Script, caplog: pytest.LogCaptureFixture, script: str, why: str
) -> None:
    root = tegrastats(script)
    assert jetson.open_board(root) is None
    assert why in caplog.text
    assert why in (jetson.explain(root) or "")


def test_a_board_without_rails_or_tegrastats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    root = Jetson(tmp_path / "board").root
    why = jetson.explain(root)
    assert why is not None
    assert "no power rails in" in why
    assert "tegrastats is not in PATH" in why
