"""The idle machine: measured, kept, and subtracted from nothing but shown beside everything."""

import json
import logging
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carbon import units
from carbon.attribution.run_id import new_run_id
from carbon.attribution.topology import detect
from carbon.errors import CarbonError, SpoolError
from carbon.meters.base import Meter, Reading
from carbon.settings import Settings
from carbon.spool.part import Metered, Sampled, from_line
from carbon.spool.spool import Spool
from carbon.tracking import baseline
from carbon.tracking.baseline import Baseline, IdlePower
from carbon.tracking.metering import Sources, machine_sources
from carbon.tracking.tracker import track
from carbon.tracking.window import MeterWindow
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.tracking import SteadyMeter, joules, steady_sources

HOSTNAME = detect(os.environ).hostname
QUIET = lambda: (0.0, 1.0)  # noqa: E731


def idle_gpus(gpus_w: Sequence[float] = (50.0,), busy_percent: float = 0.0) -> Sources:
    class IdleGpu(SteadyMeter):
        def utilization_percent(self) -> float | None:
            return busy_percent

    host = steady_sources([], 20.0, 10.0).host
    return Sources(lambda: [IdleGpu("gpu", w, f"GPU-{i}", i) for i, w in enumerate(gpus_w)], host)


def kept(
    settings: Settings, *, without: str | None = None, methods: str = "steady", **fields: Any
) -> Baseline:
    """Keep a baseline of the steady meters: 50 W a GPU, 20 W of CPU, 10 W of RAM."""
    powers = {"gpu:GPU-0": 50.0, "gpu:GPU-1": 50.0, "cpu": 20.0, "ram": 10.0}
    devices = tuple(
        IdlePower(key, key[:3], f"{methods}_{key[:3]}", 0.1, power_w)  # type: ignore[arg-type]
        for key, power_w in powers.items()
        if key != without
    )
    values: dict[str, Any] = {
        "hostname": HOSTNAME,
        "measured_at": datetime.now(UTC),
        "duration_s": 30.0,
    }
    made = Baseline(**(values | {"devices": devices} | fields))
    baseline.save(made, settings.spool_dir)
    return made


# -------------------------------------------------------------------------------------- measuring


def test_the_mean_power_of_every_device_is_measured() -> None:
    sources = idle_gpus([50.0, 60.0])
    measured = baseline.measure(sources, HOSTNAME, 0.2, cpu_times_s=QUIET)
    assert {d.key: d.power_w for d in measured.devices} == pytest.approx(
        {"gpu:GPU-0": 50.0, "gpu:GPU-1": 60.0, "cpu": 20.0, "ram": 10.0}, rel=1e-3
    )
    assert [d.method for d in measured.devices] == [
        "steady_gpu",
        "steady_gpu",
        "steady_cpu",
        "steady_ram",
    ]
    assert measured.duration_s >= 0.2
    assert measured.doubts == ()
    assert measured.devices[0].name == "Steady GPU"


def test_power_that_has_to_be_integrated_is_read_often_enough() -> None:
    class Counting(SteadyMeter):
        poll_interval_s: float | None = 0.02
        reads = 0

        def read(self) -> Reading:
            self.reads += 1
            return super().read()

    meter = Counting("gpu", 50.0, "GPU-0")
    baseline.measure(Sources(lambda: [meter], list), HOSTNAME, 0.6, cpu_times_s=QUIET)
    assert meter.reads > 8  # Meters that miss nothing are read three times or so.


def test_simulated_gpus_are_measured_by_their_counters(
    simulated_gpus_here: MakeGpus, settings: Settings
) -> None:
    gpus = simulated_gpus_here(2, utilization_percent=0)
    sources = Sources(machine_sources(settings).accelerators, list)
    began_s = time.monotonic()
    measured = baseline.measure(sources, HOSTNAME, 1.4, cpu_times_s=QUIET)
    assert [d.key for d in measured.devices] == [f"gpu:{uuid}" for uuid in gpus.uuids]
    assert {d.method for d in measured.devices} == {"nvml_counter"}
    for i, device in enumerate(measured.devices):
        true_w = gpus.energy_j(i, began_s, began_s + measured.duration_s) / measured.duration_s
        assert device.power_w == pytest.approx(true_w, rel=0.3)  # Its edges are not known.


def test_devices_hidden_from_this_process_are_measured_too(
    simulated_gpus_here: MakeGpus, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = simulated_gpus_here(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    visible = machine_sources(settings, baseline.everything_visible(os.environ)).accelerators()
    assert [m.device.uuid for m in visible if m.device] == gpus.uuids
    for meter in visible:
        meter.close()


def test_a_device_that_fails_meanwhile_is_left_out() -> None:
    class Failing(SteadyMeter):
        def read(self) -> Reading:
            self.note = "GPU is lost"
            return super().read()

    sources = Sources(lambda: [Failing("gpu", 50.0, "GPU-0")], idle_gpus().host)
    measured = baseline.measure(sources, HOSTNAME, 0.1, cpu_times_s=QUIET)
    assert [d.key for d in measured.devices] == ["cpu", "ram"]


def test_without_any_meter_there_is_nothing_to_keep() -> None:
    with pytest.raises(CarbonError, match="carbon doctor"):
        baseline.measure(Sources(list, list), HOSTNAME, 0.1, cpu_times_s=QUIET)


def test_meters_are_closed_whatever_happens() -> None:
    meters: list[Meter] = [SteadyMeter("cpu", 20.0)]

    def broken() -> tuple[float, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        baseline.measure(Sources(list, lambda: meters), HOSTNAME, 0.1, cpu_times_s=broken)
    assert not any(meter.is_open for meter in meters if isinstance(meter, SteadyMeter))


# ------------------------------------------------------------------------------------ is it idle


def test_a_busy_gpu_is_no_idle_machine() -> None:
    measured = baseline.measure(idle_gpus(busy_percent=93.0), HOSTNAME, 0.1, cpu_times_s=QUIET)
    assert measured.doubts == ("GPU 0 (Steady GPU) was 93 % busy",)


@pytest.mark.parametrize(("busy_s", "doubts"), [(1.0, ()), (8.0, ("the CPU was 80 % busy",))])
def test_a_busy_cpu_is_no_idle_machine(busy_s: float, doubts: tuple[str, ...]) -> None:
    times = iter([(100.0, 500.0), (100.0 + busy_s, 510.0)])
    measured = baseline.measure(idle_gpus(), HOSTNAME, 0.1, cpu_times_s=lambda: next(times))
    assert measured.doubts == doubts


def test_the_cpu_s_own_times_go_up() -> None:
    first = baseline._cpu_times_s()
    ended_s = time.process_time() + 0.1
    while time.process_time() < ended_s:
        pass
    second = baseline._cpu_times_s()
    assert first is not None
    assert second is not None
    assert 0 < second[0] - first[0] <= second[1] - first[1] + 1e-6  # Of differences of floats.


def test_a_tracked_run_that_is_alive_is_named(settings: Settings) -> None:
    assert baseline.living_runs(settings.spool_dir) == []
    run_id = new_run_id()
    part = Spool(settings.spool_dir).open_part(run_id, "part")
    assert baseline.living_runs(settings.spool_dir) == [f"run {run_id} is being tracked"]
    part.close()
    assert baseline.living_runs(settings.spool_dir) == []


# ------------------------------------------------------------------------------------ keeping it


def test_what_is_kept_comes_back_and_the_newest_counts(settings: Settings) -> None:
    assert baseline.load(settings.spool_dir, HOSTNAME) is None
    kept(settings, doubts=("the CPU was 80 % busy",))
    second = kept(settings, without="ram")
    assert baseline.load(settings.spool_dir, HOSTNAME) == second
    assert baseline.load(settings.spool_dir, "another-host") is None
    assert [path.name for path in settings.spool_dir.iterdir()] == [f"baseline-{HOSTNAME}.json"]
    assert Spool(settings.spool_dir).waiting() == []


def test_an_idle_power_is_of_a_device_and_a_method(settings: Settings) -> None:
    made = kept(settings)
    assert made.power_w("cpu", "steady_cpu") == 20.0
    assert made.power_w("cpu", "rapl") is None
    assert made.power_w("gpu:GPU-7", "steady_gpu") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"hostname": "a"}',
        json.dumps({"hostname": 1, "measured_at": 2, "duration_s": 3, "devices": 4, "doubts": []}),
        "\udcff",
    ],
)
def test_what_cannot_be_read_is_no_baseline(
    text: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.spool_dir.mkdir(parents=True)
    path = baseline.path_in(settings.spool_dir, HOSTNAME)
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert baseline.load(settings.spool_dir, HOSTNAME) is None
    assert "carbon baseline" in caplog.text
    kept(settings)
    assert baseline.load(settings.spool_dir, HOSTNAME) is not None


@pytest.mark.parametrize("power_w", [-1.0, float("nan"), float("inf"), 10**400])
def test_an_impossible_power_is_no_baseline(power_w: float, settings: Settings) -> None:
    made = kept(settings).document()
    made["devices"][0]["power_w"] = power_w
    baseline.path_in(settings.spool_dir, HOSTNAME).write_text(json.dumps(made))
    assert baseline.load(settings.spool_dir, HOSTNAME) is None


def test_a_spool_that_cannot_be_written_is_said(tmp_path: Path, settings: Settings) -> None:
    made = kept(settings)
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="CARBON_SPOOL_DIR"):
        baseline.save(made, tmp_path / "file" / "spool")


# ------------------------------------------------------------------------ what runs make of it


def tracked(settings: Settings, sources: Sources, sleep_s: float = 0.3) -> Any:
    with track("digits", settings=settings, sources=sources) as run:
        time.sleep(sleep_s)
    return run.report


def test_a_run_tells_what_its_devices_draw_idle(settings: Settings) -> None:
    kept(settings)
    report = tracked(settings, steady_sources([300.0, 200.0]))
    assert joules(report) == pytest.approx(570 * report.duration_s, rel=1e-3)
    idle_j = units.joules_from_kwh(report.idle_energy_kwh)
    assert idle_j == pytest.approx((50 + 50 + 20 + 10) * report.duration_s, rel=1e-3)
    assert report.nodes[0].idle_energy_kwh == report.idle_energy_kwh
    # The ledger's value is the gross energy all the same.
    assert report.emissions_kg == units.emissions_kg(report.energy_kwh, 1.2, 380.95)


def test_without_a_baseline_the_idle_part_is_unknown(settings: Settings) -> None:
    report = tracked(settings, steady_sources([300.0]))
    assert report.energy_kwh is not None
    assert report.idle_energy_kwh is None


@pytest.mark.parametrize(
    "fields", [{"without": "ram"}, {"methods": "other"}, {"hostname": "another-host"}]
)
def test_one_device_without_a_baseline_makes_the_whole_unknown(
    fields: dict[str, Any], settings: Settings
) -> None:
    kept(settings, **fields)
    assert tracked(settings, steady_sources([300.0])).idle_energy_kwh is None


def test_the_idle_part_is_never_more_than_what_was_drawn(settings: Settings) -> None:
    kept(settings)
    report = tracked(settings, steady_sources([30.0], cpu_w=15.0, ram_w=10.0))
    assert report.idle_energy_kwh == report.energy_kwh


def test_a_broken_baseline_does_not_disturb_the_run(settings: Settings) -> None:
    settings.spool_dir.mkdir(parents=True)
    baseline.path_in(settings.spool_dir, HOSTNAME).write_text("{")
    logging.getLogger("carbon").addHandler(logging.NullHandler())
    report = tracked(settings, steady_sources([300.0]))
    assert report.status == "completed"
    assert report.idle_energy_kwh is None


def test_a_device_that_was_lost_was_idle_only_as_long_as_it_was_measured() -> None:
    class Scripted(SteadyMeter):
        def __init__(self) -> None:
            super().__init__("gpu", 300.0, "GPU-0")
            self.now_s = 0.0

        def read(self) -> Reading:
            if self.now_s > 12:
                self.note = "GPU is lost"
            return Reading(self.now_s, self.power_w * min(self.now_s, 12.0))

    meter = Scripted()
    window = MeterWindow(meter, 0.0, idle_power_w=50.0)
    for second in range(61):
        meter.now_s = float(second)
        window.read()
        if second == 10:
            assert window.idle_j(10.0) == 500.0
    assert window.total_j(60.0) == 3600.0
    assert window.idle_j(60.0) == 600.0


def test_a_line_from_before_baselines_is_read() -> None:
    line = (
        '{"kind":"sampled","at_s":1.0,"energy_j":{"cpu":2.0},"utilization_percent":{},"notes":{}}'
    )
    assert from_line(line) == Sampled(1.0, {"cpu": 2.0}, {}, {})
    meter = '{"kind":"metered","key":"cpu","component":"cpu","method":"m","uncertainty":0.1}'
    assert from_line(meter) == Metered("cpu", "cpu", "m", 0.1, idle_power_w=None)
