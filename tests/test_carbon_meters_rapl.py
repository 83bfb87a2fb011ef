"""RAPL counters in trees of files as the kernel shows them."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.meters import rapl
from carbon.meters.rapl import RaplMeter
from carbon.meters.rapl_domain import MAX_DOMAIN_POWER_W
from tests.fixtures.sysfs import DEFAULT_RANGE_UJ, Clock, Powercap

J = 1_000_000


@pytest.fixture
def powercap(tmp_path: Path) -> Powercap:
    """A tree without a domain."""
    return Powercap(tmp_path / "powercap")


@pytest.fixture
def clock() -> Clock:
    """A clock at 100 s."""
    return Clock()


def cpu_meter(powercap: Powercap, clock: Clock) -> RaplMeter:
    meter = rapl.open_meters(powercap.folder, clock)[0]
    assert meter.component == "cpu"
    return meter


# ------------------------------------------------------------------------------- what is added up


def test_packages_are_the_cpu_and_dram_is_the_ram(powercap: Powercap, clock: Clock) -> None:
    for socket in (0, 1):
        powercap.add(f"{socket}", f"package-{socket}", (5 + socket) * J)
        powercap.add(f"{socket}:0", "core", 1 * J)
        powercap.add(f"{socket}:1", "uncore", 1 * J)
        powercap.add(f"{socket}:2", "dram", (2 + socket) * J)
    powercap.add("2", "psys", 50 * J)
    (powercap.folder / "intel-rapl-mmio:0").mkdir()
    (powercap.folder / "intel-rapl-mmio:0" / "name").write_text("package-0\n")
    (powercap.folder / "dtpm").mkdir()
    cpu, ram = rapl.open_meters(powercap.folder, clock)
    assert [(m.component, m.method, m.device) for m in (cpu, ram)] == [
        ("cpu", "rapl", None),
        ("ram", "rapl_dram", None),
    ]
    assert 0 < cpu.uncertainty < ram.uncertainty < 0.2
    clock.now_s += 1
    for number, drawn_j in {
        "0": 80,
        "1": 40,
        "0:0": 70,
        "0:1": 5,
        "0:2": 9,
        "1:2": 4,
        "2": 300,
    }.items():
        file = powercap.folder / f"intel-rapl:{number}" / "energy_uj"
        file.write_text(str(int(file.read_text()) + drawn_j * J))
    assert (cpu.read().energy_j, ram.read().energy_j) == (120, 13)
    assert cpu.read().at_s == 101
    assert cpu.note is None
    assert rapl.explain(powercap.folder) is None


def test_an_amd_processor_has_the_same_tree(powercap: Powercap, clock: Clock) -> None:
    powercap.add("0", "package-0", 7 * J, 65_532_610_987)
    powercap.add("0:0", "core", 3 * J, 65_532_610_987)
    meter = cpu_meter(powercap, clock)
    clock.now_s += 2
    powercap.set("0", 107 * J)
    assert meter.read().energy_j == 100
    assert rapl.explain(powercap.folder) == (
        "RAM energy is not metered by RAPL: the processor has no counter for it"
    )


def test_the_processor_is_named_without_codecarbon(powercap: Powercap) -> None:
    powercap.add("0", "package-0", J)
    program = """
import sys
from pathlib import Path
from carbon.meters import rapl
cpu = rapl.open_meters(Path(sys.argv[1]))[0]
print(cpu.cpu_model, "codecarbon" in sys.modules, sep="|")
"""
    said = subprocess.check_output([sys.executable, "-c", program, str(powercap.folder)], text=True)
    model, has_codecarbon = said.strip().split("|")
    assert (model in Path("/proc/cpuinfo").read_text() or model == "None", has_codecarbon) == (
        True,
        "False",
    )


# ------------------------------------------------------------------------------------ going round


def test_a_counter_that_goes_round_within_the_run(powercap: Powercap, clock: Clock) -> None:
    powercap.add("0", "package-0", 990 * J, 1000 * J)
    meter = cpu_meter(powercap, clock)
    # 200 W, so that the counter goes round every 5 s, read as often as the meter asks for.
    poll_interval_s = meter.poll_interval_s
    assert poll_interval_s == 1000 / MAX_DOMAIN_POWER_W / 2
    for _ in range(100):
        clock.now_s += poll_interval_s
        powercap.set("0", int((990 + 200 * (clock.now_s - 100)) * J) % (1000 * J))
        assert meter.read().energy_j == pytest.approx(200 * (clock.now_s - 100), abs=2e-6)
    assert meter.note is None


@pytest.mark.parametrize(("range_uj", "slowest_s"), [(65_532_610_987, 33), (DEFAULT_RANGE_UJ, 132)])
def test_real_counters_are_read_twice_a_round(
    powercap: Powercap, clock: Clock, range_uj: int, slowest_s: float
) -> None:
    powercap.add("0", "package-0", 1, range_uj)
    powercap.add("1", "package-1", 1, 2 * range_uj)
    poll_interval_s = cpu_meter(powercap, clock).poll_interval_s
    assert poll_interval_s is not None
    assert slowest_s - 1 < poll_interval_s < slowest_s


@given(
    st.lists(
        st.tuples(st.floats(0.02, 30), st.floats(0, MAX_DOMAIN_POWER_W)), min_size=1, max_size=30
    ),
    st.integers(1, DEFAULT_RANGE_UJ - 1),
)
def test_any_course_of_power_is_counted(steps: list[tuple[float, float]], start_uj: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        powercap, clock = Powercap(Path(folder) / "powercap"), Clock()
        powercap.add("0", "package-0", start_uj)
        meter = cpu_meter(powercap, clock)
        drawn_uj = 0
        for duration_s, power_w in steps:
            clock.now_s += duration_s
            drawn_uj += int(duration_s * power_w * J)
            powercap.set("0", (start_uj + drawn_uj) % DEFAULT_RANGE_UJ)
            assert meter.read().energy_j == pytest.approx(drawn_uj / J, rel=1e-9, abs=1e-9)
        assert meter.note is None


@given(st.lists(st.integers(0, 2**40) | st.sampled_from(["", "x", "-5", None]), max_size=40))
def test_whatever_the_file_shows_is_never_negative_nor_huge(shown: list[int | str | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        powercap, clock = Powercap(Path(folder) / "powercap"), Clock()
        file = powercap.add("0", "package-0", 17)
        meter = cpu_meter(powercap, clock)
        last_j, read_s = 0.0, clock.now_s
        for value in shown:
            clock.now_s += 0.5
            file.unlink(missing_ok=True)
            if value is not None:
                file.write_text(str(value))
            reading = meter.read()
            assert reading.at_s == clock.now_s
            assert 0 <= reading.energy_j - last_j <= MAX_DOMAIN_POWER_W * (clock.now_s - read_s + 1)
            if isinstance(value, int):
                read_s = clock.now_s
            last_j = reading.energy_j


def test_a_counter_that_restarts_loses_one_reading(powercap: Powercap, clock: Clock) -> None:
    powercap.add("0", "package-0", 90_000 * J)
    meter = cpu_meter(powercap, clock)
    clock.now_s += 1
    powercap.set("0", 90_100 * J)
    meter.read()
    clock.now_s += 1
    powercap.set("0", 60 * J)
    assert meter.read().energy_j == 160
    assert meter.note == "package-0: the energy counter restarted after 2.0 s"


# --------------------------------------------------------------------------------- mirrored dies


def test_dies_that_show_one_counter_count_once(powercap: Powercap, clock: Clock) -> None:
    for number, die in [("0", "0-die-0"), ("1", "0-die-1"), ("2", "1-die-0"), ("3", "1-die-1")]:
        powercap.add(number, f"package-{die}", (1000 if die[0] == "0" else 5000) * J)
    meter = cpu_meter(powercap, clock)
    clock.now_s += 1
    for number, count_j in [("0", 1068), ("1", 1068), ("2", 5030), ("3", 5030)]:
        powercap.set(number, count_j * J)
    assert meter.read().energy_j == 98


def test_views_a_step_apart_are_one_counter(powercap: Powercap, clock: Clock) -> None:
    powercap.add("0", "package-0-die-0", 1000 * J)
    powercap.add("1", "package-0-die-1", 1000 * J + 68_000)
    meter = cpu_meter(powercap, clock)
    clock.now_s += 1
    powercap.set("0", 1068 * J)
    powercap.set("1", 1068 * J)
    assert meter.read().energy_j == 68


@pytest.mark.parametrize(
    "names",
    [
        # Dies with counters of their own, as on Cascade Lake AP.
        ("package-0-die-0", "package-0-die-1"),
        ("package-0", "package-1"),
    ],
)
def test_counters_of_their_own_are_all_counted(
    powercap: Powercap, clock: Clock, names: tuple[str, str]
) -> None:
    powercap.add("0", names[0], 1000 * J)
    powercap.add("1", names[1], 1050 * J)
    meter = cpu_meter(powercap, clock)
    clock.now_s += 1
    powercap.set("0", 1070 * J)
    powercap.set("1", 1120 * J)
    assert meter.read().energy_j == 140


def test_sockets_that_show_the_same_are_two(powercap: Powercap, clock: Clock) -> None:
    powercap.add("0", "package-0", 1000 * J)
    powercap.add("1", "package-1", 1000 * J)
    meter = cpu_meter(powercap, clock)
    clock.now_s += 1
    powercap.set("0", 1070 * J)
    powercap.set("1", 1070 * J)
    assert meter.read().energy_j == 140


def test_dram_of_mirrored_dies_counts_once(powercap: Powercap, clock: Clock) -> None:
    for die in (0, 1):
        powercap.add(f"{die}", f"package-0-die-{die}", 1000 * J)
        powercap.add(f"{die}:0", "dram", 300 * J)
    ram = rapl.open_meters(powercap.folder, clock)[1]
    clock.now_s += 1
    powercap.set("0:0", 309 * J)
    powercap.set("1:0", 309 * J)
    assert ram.read().energy_j == 9


# ----------------------------------------------------------------------------- what cannot be read


def test_a_counter_that_fails_keeps_what_it_had(powercap: Powercap, clock: Clock) -> None:
    powercap.add("0", "package-0", 10 * J)
    powercap.add("1", "package-1", 10 * J)
    meter = cpu_meter(powercap, clock)
    clock.now_s += 1
    powercap.set("0", 60 * J)
    powercap.set("1", 60 * J)
    assert meter.read().energy_j == 100
    powercap.break_counter("1")
    clock.now_s += 1
    powercap.set("0", 100 * J)
    assert meter.read().energy_j == 140
    assert meter.note is not None
    assert meter.note.startswith("package-1: no reading after 2.0 s: ")
    # It went on counting meanwhile.
    clock.now_s += 1
    powercap.mend_counter("1", 150 * J)
    assert meter.read().energy_j == 230
    assert meter.note is None


def test_after_a_long_failure_it_is_the_least_that_was_drawn(
    powercap: Powercap, clock: Clock
) -> None:
    powercap.add("0", "package-0", 10 * J, 65_000 * J)
    meter = cpu_meter(powercap, clock)
    powercap.break_counter("0")
    clock.now_s += 100
    assert meter.read().energy_j == 0
    powercap.mend_counter("0", 5 * J)
    clock.now_s += 1
    assert meter.read().energy_j == 64_995
    assert meter.note == "package-0: not read for 101 s after 101.0 s; this is the least it drew"


def test_a_part_of_the_packages_is_no_cpu(powercap: Powercap) -> None:
    powercap.add("0", "package-0", J)
    powercap.add("1", "package-1", J)
    powercap.add("1:0", "dram", J)
    powercap.break_counter("1")
    assert [meter.component for meter in rapl.open_meters(powercap.folder)] == ["ram"]
    why = rapl.explain(powercap.folder)
    assert why is not None
    assert why.startswith("CPU energy is not metered by RAPL: ")
    assert str(powercap.folder / "intel-rapl:1" / "energy_uj") in why


def test_a_counter_that_does_not_count_is_not_used(powercap: Powercap) -> None:
    powercap.add("0", "package-0", J)
    powercap.add("0:0", "dram", 0)
    assert [meter.component for meter in rapl.open_meters(powercap.folder)] == ["cpu"]
    assert "stands at 0" in (rapl.explain(powercap.folder) or "")


@pytest.mark.parametrize("range_text", ["", "0", "none"])
def test_a_counter_without_a_range_is_not_used(powercap: Powercap, range_text: str) -> None:
    powercap.add("0", "package-0", J)
    (powercap.folder / "intel-rapl:0" / "max_energy_range_uj").write_text(range_text)
    assert rapl.open_meters(powercap.folder) == []
    assert "max_energy_range_uj" in (rapl.explain(powercap.folder) or "")


def test_a_machine_without_counters(tmp_path: Path, powercap: Powercap) -> None:
    for folder in (tmp_path / "missing", powercap.folder):
        assert rapl.open_meters(folder) == []
        assert "intel_rapl_msr" in (rapl.explain(folder) or "")


def test_counters_that_a_container_hides(powercap: Powercap) -> None:
    (powercap.folder / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/nowhere")
    assert rapl.open_meters(powercap.folder) == []
    assert "/sys/devices/virtual/powercap" in (rapl.explain(powercap.folder) or "")


@pytest.fixture
def anyones_folder() -> Iterator[Path]:
    """A folder that every user may look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_counters_of_root_say_how_to_open_them(anyones_folder: Path) -> None:
    powercap = Powercap(anyones_folder / "powercap")
    file = powercap.add("0", "package-0", J)
    file.chmod(0o400)
    program = """
import os, sys
from pathlib import Path
from carbon.meters import rapl
if os.geteuid() == 0:
    os.setuid(65534)
else:
    Path(sys.argv[1], "intel-rapl:0", "energy_uj").chmod(0)
assert rapl.open_meters(Path(sys.argv[1])) == []
print(rapl.explain(Path(sys.argv[1])))
"""
    said = subprocess.run(
        [sys.executable, "-c", program, str(powercap.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert "CVE-2020-8694" in said.stdout
    assert f"sudo chmod a+r {file}" in said.stdout
    assert "CAP_DAC_READ_SEARCH" in said.stdout


# -------------------------------------------------------------------------------------- the meter


def test_a_closed_meter_stands_still(powercap: Powercap, clock: Clock) -> None:
    powercap.add("0", "package-0", J)
    meter = cpu_meter(powercap, clock)
    clock.now_s += 1
    powercap.set("0", 51 * J)
    last = meter.read()
    assert meter.read() is last
    meter.close()
    clock.now_s += 1
    powercap.set("0", 101 * J)
    assert meter.read() is last
    assert meter.utilization_percent() is None
