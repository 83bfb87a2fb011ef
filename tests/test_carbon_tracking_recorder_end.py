"""The end of a run: safe at once, exact a moment later."""

import logging
import random
import time

import pytest

from carbon import units
from carbon.meters.base import Reading
from carbon.settings import Settings
from carbon.spool.part import Ended, EpochEnded, Sampled
from carbon.spool.spool import Spool
from carbon.tracking.metering import Sources, machine_sources
from carbon.tracking.tracker import track
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.tracking import SteadyMeter, joules, steady_sources, wait_until
from tests.nvml_sim.curve import SquareWave


class LateMeter(SteadyMeter):
    """A meter of 300 W that says 1 kJ too much until it has looked twice at what it is asked."""

    poll_interval_s = 0.002
    looks_left = 0
    is_awaited = False

    @property
    def is_following(self) -> bool:
        return self.is_awaited

    def follow(self, at_s: float) -> None:
        self.is_awaited = True
        self.looks_left = 2

    def read(self) -> Reading:
        reading = super().read()
        if not self.is_awaited:
            return reading
        self.looks_left -= 1
        if self.looks_left >= 0:
            return Reading(reading.at_s, reading.energy_j + 1000, is_final=False)
        self.is_awaited = False
        return reading


class NeverMeter(LateMeter):
    """One that never comes to an end."""

    def follow(self, at_s: float) -> None:
        self.is_awaited = True
        self.looks_left = 1_000_000


def of(meter: SteadyMeter) -> Sources:
    return Sources(lambda: [meter], list)


def test_what_is_found_out_after_the_end_is_said_again(settings: Settings) -> None:
    settings = settings.model_copy(update={"sample_interval_s": 10.0})
    meter = LateMeter("gpu", 300.0, "GPU-0")
    with track("digits", settings=settings, sources=of(meter)) as run:
        for _ in run.epochs(range(2)):
            time.sleep(0.15)
    provisional = run._recorder._journal.part.ended
    assert provisional is not None, "on disk before the block is left"
    report = run.report
    assert joules(report) == pytest.approx(300 * report.duration_s, rel=1e-3)
    assert report.duration_s == pytest.approx(provisional.duration_s, abs=1e-5)
    assert report.status == "completed"
    epochs_j = [units.joules_from_kwh(epoch.energy_kwh or 0) for epoch in report.epochs]
    assert epochs_j == pytest.approx([300 * e.duration_s for e in report.epochs], rel=1e-2)


def test_the_spool_holds_the_end_before_it_is_exact(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    append = Spool.open_part

    def open_part(self: Spool, *args: object) -> object:
        file = append(self, *args)  # type: ignore[arg-type]
        write = file.append

        def remember(text: str) -> int:
            said.append(text)
            return write(text)

        monkeypatch.setattr(file, "append", remember)
        return file

    monkeypatch.setattr(Spool, "open_part", open_part)
    settings = settings.model_copy(update={"sample_interval_s": 10.0})
    with track("d", settings=settings, sources=of(LateMeter("gpu", 300.0, "GPU-0"))) as run:
        time.sleep(0.1)
    assert run.report.energy_kwh is not None
    kinds = [[kind for kind in ("sampled", "ended") if kind in str(text)] for text in said]
    end = kinds.index(["sampled", "ended"])
    assert ["sampled"] in kinds[end + 1 :]


def test_a_meter_that_never_knows_does_not_keep_the_run_open(settings: Settings) -> None:
    with track("digits", settings=settings, sources=of(NeverMeter("gpu", 300.0, "GPU-0"))) as run:
        time.sleep(0.1)
    report = run.report
    assert report.status == "completed"
    assert report.energy_kwh is not None


@pytest.mark.parametrize("count", [1, 16])
def test_a_whole_run_on_simulated_gpus(
    simulated_gpus_here: MakeGpus, settings: Settings, count: int
) -> None:
    random_ = random.Random(7)
    waves = [SquareWave(60, 300, 0.7, 0.3, random_.uniform(0, 0.7)) for _ in range(count)]
    gpus = simulated_gpus_here(count, waves=waves, counter_step_ms=100)
    for index in range(count):
        gpus.change(index, counter_phase_ms=random_.uniform(0, 100))
    settings = settings.model_copy(update={"sample_interval_s": 1.0})
    sources = Sources(machine_sources(settings).accelerators, list)
    with track("digits", settings=settings, sources=sources) as run:
        began_s = run._began_s
        for _ in run.epochs(range(3)):
            time.sleep(0.7)
        end_s = time.monotonic()
    report = run.report
    (node,) = report.nodes
    assert [device.uuid for device in node.devices] == gpus.uuids
    for device in node.devices:
        drawn_j = units.joules_from_kwh(device.energy_kwh or 0)
        # The bars are kept in simulated time; here the machine's own load is in it too.
        assert drawn_j == pytest.approx(gpus.energy_j(device.uuid, began_s, end_s), rel=0.15)
    between_s = report.duration_s - sum(epoch.duration_s for epoch in report.epochs)
    epochs_j = sum(units.joules_from_kwh(epoch.energy_kwh or 0) for epoch in report.epochs)
    assert epochs_j == pytest.approx(joules(report), abs=300 * count * (between_s + 0.001))


def test_saying_it_again_changes_no_other_part_of_the_run(settings: Settings) -> None:
    from carbon.spool.part import Part
    from tests.test_carbon_spool_part import EVENTS

    part = Part.replay(EVENTS, is_alive=False)
    assert part is not None
    part.apply(EpochEnded(0, 1.5, 91.0, {"loss": 0.25}))
    part.apply(Sampled(2.5, {"cpu": 121.0}, {}, {}))
    assert part.ended == Ended("completed", 2.5)
    assert (part.duration_s, part.status) == (2.5, "completed")
    assert part.sampled.energy_j == {"cpu": 121.0}
    assert Part.replay(part.events(), is_alive=False) == part


def test_where_no_report_can_be_written_the_run_waits_in_its_parts(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "carbon")
    with track("p", settings=settings, sources=steady_sources()) as run:
        time.sleep(0.1)
        obstacle = settings.spool_dir / "runs" / str(run.run_id) / "seq.new"
        wait_until(obstacle.parent.exists)
        obstacle.mkdir()  # Like a disk that is full by now.
    wait_until(lambda: f"run {run.run_id} waits in the spool" in caplog.text)
    assert "Traceback" not in caplog.text
    assert [part.status for part in Spool(settings.spool_dir).parts(run.run_id)] == ["completed"]
