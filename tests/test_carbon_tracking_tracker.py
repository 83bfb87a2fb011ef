import asyncio
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import carbon
from carbon import units
from carbon.errors import SettingsError, UsageError
from carbon.schema import RunReport, StepProfile
from carbon.settings import Settings
from carbon.spool.part import Part
from carbon.spool.spool import HeldFile, Spool
from carbon.tracking.metering import Sources
from carbon.tracking.tracker import track
from tests.fixtures.tracking import SteadyMeter, joules, steady_sources, wait_until
from tests.patience import PATIENCE_S

Track = Callable[..., track]


@pytest.fixture
def tracked(settings: Settings) -> Track:
    """`carbon.track` with a spool of the test's own and steady meters."""

    def make(project: str = "digits", sources: Sources | None = None, **options: Any) -> track:
        return track(
            project, settings=settings, sources=sources or steady_sources([300.0]), **options
        )

    return make


def test_a_run_is_measured_by_component_and_in_total(tracked: Track) -> None:
    gpu, cpu = SteadyMeter("gpu", 300.0, "GPU-0"), SteadyMeter("cpu", 60.0)
    ram = SteadyMeter("ram", 10.0)
    sources = Sources(lambda: [gpu], lambda: [cpu, ram])
    began_s = time.monotonic()
    with tracked(
        sources=sources, study="s", name="n", tags={"model": "cnn"}, config={"lr": 0.1}
    ) as run:
        for meter in (gpu, cpu, ram):
            assert meter.was_read.wait(PATIENCE_S)
        # What is drawn before the first look is uncertain, and a busy machine looks late.
        time.sleep(max(0.5, 5 * (time.monotonic() - began_s)))
    took_s = time.monotonic() - began_s
    report = run.report
    assert (report.project, report.study, report.name) == ("digits", "s", "n")
    assert (report.tags, report.config) == ({"model": "cnn"}, {"lr": 0.1})
    assert (report.status, report.strategy, report.world_size) == ("completed", "single", 1)
    assert report.run_id == run.run_id
    assert report.run_id.version == 7
    assert 0.5 <= report.duration_s <= took_s
    # The curve is straight, so what is lost or doubled anywhere would show.
    assert joules(report) == pytest.approx(370 * report.duration_s, rel=1e-3)
    assert report.gpu_energy_kwh == pytest.approx(300 / 370 * (report.energy_kwh or 0), rel=1e-6)
    assert report.gpu_energy_method == "steady_gpu"
    assert report.cpu_energy_method == "steady_cpu"
    assert report.ram_energy_method == "steady_ram"
    # Three sources of error, each of a tenth; what was drawn before the first look adds to them.
    three = math.hypot(300, 60, 10) / 370 * 0.1
    assert report.energy_uncertainty is not None
    assert 0.8 * three < report.energy_uncertainty < 0.3
    assert (report.country_iso_code, report.pue) == ("DEU", 1.2)
    assert report.intensity_g_per_kwh == 380.95
    assert report.intensity_year == 2023
    assert report.emissions_kg == units.emissions_kg(report.energy_kwh or 0, 1.2, 380.95)
    (node,) = report.nodes
    (device,) = node.devices
    assert (device.uuid, device.name, device.mean_utilization_percent) == (
        "GPU-0",
        "Steady GPU",
        50.0,
    )
    assert device.energy_kwh == report.gpu_energy_kwh
    assert report.software["python"].startswith("3.")


def test_epochs_are_windows_of_the_run(tracked: Track) -> None:
    with tracked() as run:
        for epoch in run.epochs(range(3)):
            time.sleep(0.1 * (epoch + 1))
            run.log(loss=1 / (epoch + 1))
        run.log(accuracy=0.9)
    report = run.report
    assert [e.index for e in report.epochs] == [0, 1, 2]
    for measured in report.epochs:
        assert measured.duration_s == pytest.approx(0.1 * (measured.index + 1), abs=0.09)
        assert units.joules_from_kwh(measured.energy_kwh or 0) == pytest.approx(
            370 * measured.duration_s, rel=1e-3
        )
    assert [e.metrics for e in report.epochs] == [{"loss": 1.0}, {"loss": 0.5}, {"loss": 1 / 3}]
    assert report.metrics == {"loss": 1 / 3, "accuracy": 0.9}


def test_epochs_count_on_over_several_loops_and_a_break_counts(tracked: Track) -> None:
    with tracked() as run:
        for epoch in run.epochs(range(10)):
            run.log(epoch=epoch)
            if epoch == 1:
                break
        run.log(between=1)
        for epoch in run.epochs(range(5, 7)):
            run.log(epoch=epoch)
    assert [(e.index, e.metrics) for e in run.report.epochs] == [
        (0, {"epoch": 0}),
        (1, {"epoch": 1}),
        (2, {"epoch": 5}),
        (3, {"epoch": 6}),
    ]
    assert run.report.metrics == {"epoch": 6, "between": 1}


def test_a_run_goes_on_from_another_ones_checkpoint(tracked: Track) -> None:
    with tracked() as first:
        for _ in first.epochs(range(3)):
            pass
    with tracked(resumed_from=first.run_id) as second:
        for _ in second.epochs(range(2, 4), start=2):
            pass
        for _ in second.epochs(range(1)):
            pass
    assert first.report.resumed_from is None
    assert second.report.resumed_from == first.report.run_id
    assert [epoch.index for epoch in second.report.epochs] == [2, 3, 4]


PROFILE: dict[str, Any] = {
    "steps": 5,
    "duration_s": 2.0,
    "compute_s": 1.0,
    "exposed_communication_s": 0.5,
    "overlapped_communication_s": 0.375,
    "idle_s": 0.125,
}


def test_where_the_time_of_steps_went_is_reported(
    tracked: Track, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with tracked() as run:
        run.profile(**PROFILE)
        run.profile(**PROFILE | {"compute_s": 1.5})
    assert "run.profile: left out" in caplog.text
    assert "add up to 2.5" in caplog.text
    (profile,) = run.report.nodes[0].profiles
    assert profile == StepProfile(rank=0, **PROFILE)
    (part,) = Spool(settings.spool_dir).parts(run.run_id)
    assert Part.replay(part.events(), is_alive=False) == replace(part, is_alive=False)


def test_an_exception_goes_through_untouched_and_the_run_has_failed(tracked: Track) -> None:
    error = KeyError("mine")
    runs = []

    def train() -> None:
        with tracked() as run:
            runs.append(run)
            for epoch in run.epochs(range(3)):
                if epoch == 1:
                    raise error

    with pytest.raises(KeyError) as caught:
        train()
    assert caught.value is error
    report = runs[0].report
    assert report.status == "failed"
    assert [e.index for e in report.epochs] == [0], "the epoch that failed is not one"
    assert joules(report) > 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(), "completed"),
        (SystemExit(0), "completed"),
        (SystemExit(3), "failed"),
        (SystemExit("no"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "failed"),
    ],
)
def test_how_the_block_is_left_is_the_runs_status(
    error: BaseException, status: str, tracked: Track
) -> None:
    with pytest.raises(type(error)), tracked() as run:
        raise error
    assert run.report.status == status


def test_as_a_decorator_every_call_is_a_run(tracked: Track, settings: Settings) -> None:
    @tracked()
    def double(value: int, *, plus: int = 0) -> int:
        return 2 * value + plus

    @tracked()
    async def later(value: int) -> int:
        await asyncio.sleep(0.01)
        return value

    assert double.__name__ == "double"
    assert double(2, plus=1) == 5
    assert double(3) == 6
    assert asyncio.run(later(4)) == 4
    spool = Spool(settings.spool_dir)
    wait_until(lambda: sum(spool.report(run_id) is not None for run_id in spool.waiting()) == 3)


def test_runs_nest_and_overlap(tracked: Track) -> None:
    with tracked("outer") as outer:
        time.sleep(0.1)
        with tracked("inner") as inner:
            time.sleep(0.2)
    assert inner.run_id != outer.run_id
    assert outer.report.duration_s > inner.report.duration_s


def test_one_track_is_one_run(tracked: Track) -> None:
    again = tracked()
    with again, pytest.raises(UsageError, match="in use"), again:
        pass


def test_a_report_can_be_read_while_the_run_goes_on(tracked: Track) -> None:
    with tracked() as run:
        time.sleep(0.3)
        report = run.report
        assert report.status == "running"
        assert report.ended_at is None
        assert joules(report) > 0
    assert run.report.status == "completed"


def test_metrics_that_are_no_numbers_are_left_out_with_a_warning(
    tracked: Track, caplog: pytest.LogCaptureFixture
) -> None:
    class Tensor:
        def __float__(self) -> float:
            return 0.25

    with tracked() as run:
        for _ in run.epochs(range(1)):
            run.log(a=Tensor(), b=float("nan"), c=float("inf"), d="x", e=None, f=True)  # type: ignore[arg-type]
            run.log(huge=10**400, meta=torch.empty((), device="meta"))  # type: ignore[arg-type]
    assert run.report.epochs[0].metrics == {"a": 0.25, "b": None, "c": None, "f": 1.0}
    for name in ("d (str)", "e (NoneType)", "huge (int)", "meta (Tensor)"):
        assert f"{name} is not a number" in caplog.text


@pytest.mark.parametrize("name", ["m" * 201, " ", "", "a\x00", "a\udc80"])
def test_a_name_that_no_report_can_hold_costs_that_metric_only(
    name: str, tracked: Track, caplog: pytest.LogCaptureFixture
) -> None:
    with tracked() as run:
        for _ in run.epochs(range(3)):
            run.log(**{name: 1.0, "self": 2.0, " naïve ": 3.0})
    assert run.report.metrics == {"self": 2.0, "naïve": 3.0}
    assert caplog.text.count("cannot be the name of a metric") == 1


def test_metrics_beyond_the_most_a_report_holds_are_left_out(tracked: Track) -> None:
    with tracked() as run:
        for i in range(1005):
            run.log(**{f"m{i}": i})
    assert len(run.report.metrics) == 1000


def test_epochs_beyond_the_most_a_report_lists_count_in_its_totals(
    tracked: Track, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("carbon.tracking.tracker.MAX_EPOCHS", 3)
    with tracked() as run:
        for epoch in run.epochs(range(6)):
            time.sleep(0.05)
            run.log(epoch=epoch)
    report = run.report
    assert [epoch.index for epoch in report.epochs] == [0, 1, 2]
    assert report.metrics == {"epoch": 5}
    assert joules(report) == pytest.approx(370 * report.duration_s, rel=1e-3)
    assert caplog.text.count("are not listed") == 1


def test_an_epoch_whose_loop_is_left_but_not_forgotten_still_counts(tracked: Track) -> None:
    with tracked() as run:
        epochs = run.epochs(range(10))
        for epoch in epochs:
            run.log(epoch=epoch)
            if epoch == 2:
                break
        run.log(final=1)
    assert [epoch.metrics for epoch in run.report.epochs] == [
        {"epoch": 0},
        {"epoch": 1},
        {"epoch": 2, "final": 1},
    ]


def test_scalars_of_other_libraries_keep_their_type(tracked: Track) -> None:
    config: dict[str, Any] = {
        "n": numpy.int64(3),
        "on": numpy.bool_(True),
        "lr": torch.tensor(0.5),
    }
    with tracked(config=config) as run:
        pass
    assert run.report.config == {"n": 3, "on": True, "lr": 0.5}
    assert type(run.report.config["n"]) is int


def test_an_epoch_may_last_for_many_samples(tracked: Track) -> None:
    with tracked() as run:
        time.sleep(1.5)
        for _ in run.epochs(range(2)):
            time.sleep(1.6)
    for epoch in run.report.epochs:
        assert units.joules_from_kwh(epoch.energy_kwh or 0) == pytest.approx(
            370 * epoch.duration_s, rel=1e-3
        )


def test_a_run_whose_spool_is_deleted_is_written_anew(tracked: Track, settings: Settings) -> None:
    with tracked() as run:
        for epoch in run.epochs(range(4)):
            time.sleep(0.1)
            if epoch == 1:
                # In one step, then at leisure: the recorder goes on writing meanwhile.
                shutil.rmtree(settings.spool_dir.rename(settings.spool_dir.with_name("deleted")))
    spool = Spool(settings.spool_dir)
    assert run.report.status == "completed"
    assert spool.report(run.run_id) == run.report
    assert len(run.report.epochs) == 4


def test_many_epochs_do_not_slow_the_spool_down(
    tracked: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be made smaller is not rewritten at every sample."""
    monkeypatch.setattr("carbon.spool.journal.COMPACT_BYTES", 1000)
    rewritten: list[int] = []
    replace = HeldFile.replace

    def counted(held: HeldFile, text: str) -> int:
        rewritten.append(1)
        return replace(held, text)

    monkeypatch.setattr(HeldFile, "replace", counted)
    with tracked() as run:
        for _ in run.epochs(range(200)):
            time.sleep(0.01)
    assert len(run.report.epochs) == 200
    assert 1 <= len(rewritten) <= 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"project": ""}, "project=''"),
        ({"project": "x" * 10_000_000}, "project='xxx"),
        ({"project": None}, "project=None"),
        ({"project": "p", "strategy": "dpp"}, "strategy='dpp'"),
        ({"project": "p", "tags": {"a": 1}}, "tags.a=1"),
        ({"project": "p", "config": {"a": [1]}}, "config.a"),
        ({"project": "p", "config": {"a": "x" * 1001}}, "config.a"),
        ({"project": "p", "config": [1]}, "config=[1]"),
        ({"project": "p", "tags": "abc"}, "tags='abc'"),
        ({"project": "nul\x00"}, "NUL"),
    ],
)
def test_a_bad_argument_is_named_before_training_begins(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        track(**arguments)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("kind", ["generator", "async generator", "not callable"])
def test_what_cannot_be_tracked_by_decoration_is_refused(kind: str, tracked: Track) -> None:
    def generator() -> Any:
        yield 1

    async def async_generator() -> Any:
        yield 1

    what: Any = {"generator": generator, "async generator": async_generator}.get(kind, 3)
    with pytest.raises(UsageError, match=r"makes a generator|cannot be called"):
        tracked()(what)


def test_a_generator_that_is_not_used_up_is_a_completed_run(tracked: Track) -> None:
    runs = []

    def batches() -> Any:
        with tracked() as run:
            runs.append(run)
            yield from range(10)

    for batch in batches():
        if batch == 3:
            break
    assert runs[0].report.status == "completed"


def test_a_bad_setting_is_named_before_training_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARBON_PUE", "a lot")
    with pytest.raises(SettingsError, match="CARBON_PUE is 'a lot'"), track("p"):
        pytest.fail("training began")


def test_a_meter_that_fails_to_open_costs_its_component_only(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> list[Any]:
        raise RuntimeError("no cpuinfo")

    sources = Sources(steady_sources([100.0]).accelerators, broken)
    with track("p", settings=settings, sources=sources) as run:
        time.sleep(0.2)
    assert run.report.cpu_energy_kwh is None
    assert joules(run.report) == pytest.approx(100 * run.report.duration_s, rel=1e-3)
    assert "no cpuinfo" in caplog.text


@pytest.mark.parametrize("sample_interval_s", [0.05, 0.3])
def test_a_host_meter_that_opens_late_still_covers_the_whole_run(
    sample_interval_s: float, settings: Settings
) -> None:
    def slow() -> list[Any]:
        time.sleep(0.4)
        return [SteadyMeter("cpu", 60.0)]

    settings = settings.model_copy(update={"sample_interval_s": sample_interval_s})
    with track("p", settings=settings, sources=Sources(list, slow)) as run:
        for _ in run.epochs(range(6)):
            time.sleep(0.2)
    report = run.report
    assert joules(report) == pytest.approx(60 * report.duration_s, rel=1e-3)
    for epoch in report.epochs:
        assert units.joules_from_kwh(epoch.energy_kwh or 0) == pytest.approx(
            60 * epoch.duration_s, rel=1e-3
        )


def test_entering_and_leaving_wait_for_no_meter(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    is_left, opened = threading.Event(), []

    def slow() -> list[Any]:
        opened.append(is_left.wait(PATIENCE_S))
        return []

    with track("p", settings=settings, sources=Sources(list, slow)) as run:
        pass
    assert opened == []
    is_left.set()
    assert run.report.cpu_energy_kwh is None
    assert "ended before CodeCarbon had found out this machine's processor" in caplog.text


def test_without_a_usable_spool_training_goes_on_and_the_report_is_there(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    unusable = settings.model_copy(update={"spool_dir": tmp_path / "file" / "spool"})
    with track("p", settings=unusable, sources=steady_sources([100.0])) as run:
        time.sleep(0.2)
    assert joules(run.report) == pytest.approx(170 * run.report.duration_s, rel=1e-3)
    wait_until(lambda: "neither in the spool nor delivered" in caplog.text)
    record = next(r for r in caplog.records if "neither" in r.getMessage())
    report = RunReport.model_validate_json(record.getMessage().split(": ", 4)[-1])
    assert report == run.report, "nothing is lost: the log holds the whole report"


def test_a_long_run_keeps_a_short_file(
    tracked: Track, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carbon.spool.journal.COMPACT_BYTES", 2000)
    with tracked() as run:
        for epoch in run.epochs(range(5)):
            time.sleep(0.5)
            run.log(epoch=epoch)
    spool = Spool(settings.spool_dir)
    (part,) = (spool.directory / "runs" / str(run.run_id)).glob("part-*")
    assert part.read_text().count('"sampled"') < 25, "of about fifty"
    assert len(run.report.epochs) == 5
    assert joules(run.report) == pytest.approx(370 * run.report.duration_s, rel=1e-3)


def test_a_forked_child_reports_nothing(tracked: Track, settings: Settings) -> None:
    with tracked() as run:
        child = os.fork()
        if child == 0:
            run.log(from_child=1)
            run.end("failed")
            os._exit(0)
        os.waitpid(child, 0)
        run.log(from_parent=1)
    assert run.report.status == "completed"
    assert run.report.metrics == {"from_parent": 1}
    assert len(Spool(settings.spool_dir).parts(run.run_id)) == 1


def test_importing_carbon_loads_nothing_heavy() -> None:
    heavy = ["torch", "fastapi", "sqlmodel", "streamlit", "pandas", "codecarbon", "httpx", "pynvml"]
    script = f"""
import sys, json
import carbon
carbon.track, carbon.CarbonError, carbon.RunReport
print(json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert json.loads(done.stdout) == [], done.stderr


def test_the_public_surface() -> None:
    assert sorted(carbon.__all__) == [
        "ApiError",
        "ApiRejectedError",
        "ApiUnreachableError",
        "CarbonError",
        "Client",
        "Run",
        "RunReport",
        "SettingsError",
        "SpoolError",
        "UnknownPlaceError",
        "UsageError",
        "track",
    ]
    assert all(getattr(carbon, name) is not None for name in carbon.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'trakc'"):
        carbon.trakc  # noqa: B018
