"""What is recorded at a sample, and that the energy figures never notice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from carbon import units
from carbon.attribution import topology
from carbon.attribution.run_id import new_run_id
from carbon.delivery.delivery import settle
from carbon.meters.base import Reading
from carbon.schema import SERIES_NAMES, RunReport, SeriesName, SeriesReport
from carbon.settings import Settings
from carbon.spool.part import Sampled
from carbon.spool.spool import Spool
from carbon.tracking.metering import Metering, Sources
from carbon.tracking.series_recorder import SeriesRecorder
from carbon.tracking.tracker import track
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.tracking import SteadyMeter, steady_sources, wait_until
from tests.nvml_sim.curve import SquareWave
from tests.test_carbon_spool_part import STARTED

BEGAN_S = 1000.0


class ScriptedMeter(SteadyMeter):
    """A GPU on a virtual clock, whose power is one step higher every second."""

    def __init__(self, index: int) -> None:
        super().__init__("gpu", 100.0, f"GPU-{index}", index)
        self.now_s = BEGAN_S
        self.calls: list[str] = []
        self.memory: int | None = 3 * 2**30

    def read(self) -> Reading:
        self.calls.append("read")
        since_s = self.now_s - BEGAN_S
        return Reading(self.now_s, 100.0 * since_s + since_s**2)

    def utilization_percent(self) -> float | None:
        self.calls.append("utilization")
        return 40.0

    def memory_used_bytes(self) -> int | None:
        return self.memory

    def temperature_celsius(self) -> float | None:
        return 50.0 + (self.now_s - BEGAN_S)


class ScriptedHost:
    """In the place of `HostReadings`."""

    def __init__(self, chosen: Collection[SeriesName]) -> None:
        self.moments: list[float] = []

    def read(self, at_s: float) -> dict[SeriesName, float]:
        self.moments.append(at_s)
        return {"ram_used": 8.0, "cpu_utilization": 25.0}


def play(
    tmp_path: Path, chosen: Collection[SeriesName] | None, seconds: int = 12
) -> tuple[list[Sampled], list[ScriptedMeter], SeriesRecorder | None]:
    """Two scripted GPUs, sampled every second as the recorder does it."""
    meters = [ScriptedMeter(0), ScriptedMeter(1)]
    place = topology.detect({})
    sources = Sources(lambda: meters, list)
    run_id = new_run_id()
    spool = Spool(tmp_path)
    spool.open_part(run_id, "part")
    metering = Metering(run_id, spool, sources, place, BEGAN_S)
    recorder = None
    if chosen is not None:
        open_host: Any = ScriptedHost
        recorder = SeriesRecorder(chosen, STARTED, BEGAN_S, 1.0, open_host)
    metering.open()
    said = []
    for second in range(1, seconds + 1):
        now_s = BEGAN_S + second
        for meter in meters:
            meter.now_s = now_s
        metering.read(hosts_too=True)
        metering.sample_utilization(1.0)
        said.append(metering.sampled(now_s))
        if recorder is not None:
            recorder.sample(metering, now_s - 1.0, now_s, at_end=second == seconds)
        metering.forget_before(now_s - 2.0)
    metering.close()
    return said, meters, recorder


def values(recorder: SeriesRecorder | None) -> dict[tuple[str, str | None], list[float | None]]:
    assert recorder is not None
    return {(one.name, one.device_uuid): one.series.means() for one in recorder.recorded().recorded}


def test_the_energy_figures_are_the_same_with_and_without(tmp_path: Path) -> None:
    plain, plain_meters, _ = play(tmp_path / "a", None)
    off, off_meters, nothing = play(tmp_path / "b", ())
    full, full_meters, recorder = play(tmp_path / "c", SERIES_NAMES)
    assert plain == off == full
    assert [m.calls for m in plain_meters] == [m.calls for m in full_meters]
    assert [m.calls for m in plain_meters] == [m.calls for m in off_meters]
    assert values(nothing) == {}
    assert len(values(recorder)) == 2 * 4 + 2


def test_power_is_the_slope_between_the_readings_and_adds_up_to_the_energy(tmp_path: Path) -> None:
    said, _, recorder = play(tmp_path, SERIES_NAMES)
    power_w = values(recorder)["gpu_power", "GPU-1"]
    assert power_w == pytest.approx([101.0 + 2 * second for second in range(12)])
    energy_j = said[-1].energy_j["gpu:GPU-1"]
    assert sum(power for power in power_w if power is not None) == pytest.approx(energy_j)


def test_what_is_not_metered_is_looked_at_more_seldom_and_at_the_end(tmp_path: Path) -> None:
    _, _, recorder = play(tmp_path, SERIES_NAMES, seconds=17)
    found = values(recorder)
    assert found["gpu_utilization", "GPU-0"] == [40.0] * 17
    # Looked at after 1, 16 and 17 s; a look stands for the time since the one before.
    expected = [51.0] + [66.0] * 15 + [67.0]
    assert found["gpu_temperature", "GPU-0"] == pytest.approx(expected)
    assert found["gpu_memory", "GPU-0"] == [3.0] * 17
    assert found["ram_used", None] == [8.0] * 17
    assert recorder is not None
    host: Any = recorder._host
    assert host.moments == [1001.0, 1016.0, 1017.0]


def test_a_device_that_is_lost_has_no_power_rather_than_none_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: ScriptedMeter) -> Reading:
        since_s = self.now_s - BEGAN_S
        self.note = "lost after 4.0 s" if since_s > 4 else None
        return Reading(self.now_s, 100.0 * min(since_s, 4.0))

    monkeypatch.setattr(ScriptedMeter, "read", read)
    said, _, recorder = play(tmp_path, ["gpu_power"])
    assert values(recorder)["gpu_power", "GPU-0"] == [100.0] * 4
    assert said[-1].energy_j["gpu:GPU-0"] == 400.0


def test_series_that_cannot_be_kept_stop_no_delivery(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: SeriesRecorder) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(SeriesRecorder, "recorded", fail)
    with track("digits", settings=settings, sources=steady_sources([300.0])) as run:
        time.sleep(0.2)
    assert run.report.status == "completed"
    assert (run.report.energy_kwh or 0) > 0
    assert by_name(run.report) == {}
    assert "the series are not kept: RuntimeError: a bug" in caplog.text


@pytest.mark.parametrize("name", SERIES_NAMES)
def test_each_is_switched_by_its_name(tmp_path: Path, name: SeriesName) -> None:
    _, _, recorder = play(tmp_path, [name])
    assert {found for found, _ in values(recorder)} <= {name}
    if name.startswith("gpu_"):
        assert {uuid for _, uuid in values(recorder)} == {"GPU-0", "GPU-1"}


def test_a_reading_that_is_not_there_leaves_no_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedMeter, "memory_used_bytes", lambda self: None)
    _, _, recorder = play(tmp_path, ["gpu_memory", "gpu_temperature"])
    assert {name for name, _ in values(recorder)} == {"gpu_temperature"}


def test_a_fault_of_its_own_ends_the_series_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: ScriptedMeter) -> float:
        raise RuntimeError("a bug")

    plain, _, _ = play(tmp_path / "a", None)
    monkeypatch.setattr(ScriptedMeter, "temperature_celsius", fail)
    said, _, _ = play(tmp_path / "b", SERIES_NAMES)
    assert said == plain
    assert [r.getMessage() for r in caplog.records] == [
        "no further series are recorded: RuntimeError: a bug"
    ]


# ------------------------------------------------------------------------------- a run as a whole


def by_name(report: RunReport) -> dict[tuple[str, str | None], SeriesReport]:
    (node,) = report.nodes
    return {(series.name, series.device_uuid): series for series in node.series}


def test_a_run_on_simulated_gpus_reports_its_series(
    settings: Settings, simulated_gpus_here: MakeGpus
) -> None:
    flat = SquareWave(base_w=200, peak_w=200, period_s=1, duty=0.5)
    gpus = simulated_gpus_here(
        2, waves=[flat], memory_used_mb=10240, temperature_c=63, utilization_percent=88
    )
    chosen = settings.model_copy(update={"series": SERIES_NAMES})

    def known_powers() -> list[list[float]]:
        with track("digits", settings=chosen) as run:
            time.sleep(0.6)
            assert all(not node.series for node in run.report.nodes), "not while it goes on"
        found = by_name(run.report)
        assert found["ram_used", None].values
        whole = []
        (node,) = run.report.nodes
        for device in node.devices:
            assert device.uuid in gpus.uuids
            assert set(found["gpu_memory", device.uuid].values) == {10.0}
            assert set(found["gpu_temperature", device.uuid].values) == {63.0}
            assert set(found["gpu_utilization", device.uuid].values) == {88.0}
            power = found["gpu_power", device.uuid]
            known = [value for value in power.values if value is not None]
            energy_j = units.joules_from_kwh(device.energy_kwh or 0.0)
            # The last point may stand for less than its whole stretch.
            expected_j = pytest.approx(sum(known) * power.interval_s, abs=201 * power.interval_s)
            assert energy_j == expected_j
            whole.append(known[:-1])  # The end cuts the last one short.
        return whole

    # The moment of a reading is known to half a millisecond, in stretches of fifty, unless whoever
    # reads is interrupted by a machine that is busy: the best of three runs.
    runs = [known_powers() for _ in range(3)]
    best = min(runs, key=lambda found: max(abs(w - 200.0) for whole in found for w in whole))
    assert len(best) == 2
    for whole in best:
        assert whole == pytest.approx([200.0] * len(whole), abs=5)
        assert sum(whole) / len(whole) == pytest.approx(200.0, abs=1)


def test_without_series_a_run_keeps_none(settings: Settings) -> None:
    off = settings.model_copy(update={"series": ()})
    with track("digits", settings=off, sources=steady_sources([300.0])) as run:
        time.sleep(0.2)
    assert by_name(run.report) == {}
    assert not list(settings.spool_dir.rglob("series-*"))


def test_a_spool_that_cannot_be_written_costs_no_series(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with track("digits", settings=settings, sources=steady_sources([300.0])) as run:
        time.sleep(0.3)
    assert ("gpu_power", "GPU-0") in by_name(run.report)


KILLED = """
import sys, time
from carbon.tracking import series_recorder
from tests.fixtures.tracking import steady_sources
series_recorder.WRITE_INTERVAL_S = 0.2
import carbon
with carbon.track("digits", sources=steady_sources([300.0])) as run:
    print(run.run_id, flush=True)
    time.sleep(60)
"""


def test_a_killed_run_has_what_was_written_last(
    settings: Settings, tracked_env: dict[str, str]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        stdout=subprocess.PIPE,
        text=True,
        env={**tracked_env, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            wait_until(lambda: bool(list(settings.spool_dir.rglob("series-*.dat"))))
        finally:
            process.send_signal(signal.SIGKILL)
    spool = Spool(settings.spool_dir)
    (run_id,) = spool.waiting()
    report = settle(spool, run_id)
    assert report is not None
    assert report.status == "interrupted"
    assert set(by_name(report)["gpu_power", "GPU-0"].values) <= {300.0, None}


def test_a_file_of_series_that_was_torn_costs_only_them(settings: Settings) -> None:
    with track("digits", settings=settings, sources=steady_sources([300.0])) as run:
        time.sleep(0.2)
    whole = run.report
    spool = Spool(settings.spool_dir)
    (path,) = settings.spool_dir.rglob("series-*.dat")
    kept = path.read_bytes()
    for torn in (b"", kept[:20], kept[:-3]):
        path.write_bytes(torn)
        report = settle(spool, run.run_id)
        assert report is not None
        assert by_name(report) == {}
        assert report.energy_kwh == whole.energy_kwh
