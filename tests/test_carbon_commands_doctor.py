"""What the doctor finds on a machine in any state, healthy or not."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from carbon.attribution.run_id import new_run_id
from carbon.commands import doctor
from carbon.commands.doctor import Diagnosis, Finding, examine
from carbon.meters import processor
from carbon.meters.base import Meter
from carbon.meters.processor import Processor
from carbon.schema import SCHEMA_VERSION, Component
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.tracking import baseline
from carbon.tracking.baseline import Baseline, IdlePower
from carbon.tracking.metering import Sources, machine_sources
from tests.factories import make_report
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.tracking import SteadyMeter, steady_sources

HOSTNAME = "node-1"
HEALTH = {"status": "ok", "schema_version": SCHEMA_VERSION}
IDLE: list[tuple[str, Component, float]] = [
    ("gpu:GPU-0", "gpu", 50.0),
    ("cpu", "cpu", 20.0),
    ("ram", "ram", 10.0),
]
Answer = Callable[[httpx.Request], httpx.Response]


def ledger(request: httpx.Request) -> httpx.Response:
    """A ledger that lets everybody in."""
    if request.url.path == "/healthz":
        return httpx.Response(200, json=HEALTH)
    assert request.url.path == "/v1/runs"
    return httpx.Response(200, json={"items": [], "next_cursor": None})


def diagnosis(
    settings: Settings,
    sources: Sources | None = None,
    answer: Answer = ledger,
    environ: Mapping[str, str] | None = None,
) -> Diagnosis:
    return examine(
        settings,
        HOSTNAME,
        environ or {},
        sources or steady_sources([300.0]),
        httpx.MockTransport(answer),
    )


def finding(found: Diagnosis, subject: str) -> Finding:
    (only,) = [each for each in found.findings if each.subject == subject]
    return only


def said(found: Finding) -> str:
    return f"{found.text} {found.way_out}"


# ------------------------------------------------------------------------------ what is measured


def test_every_device_is_named_with_its_method_and_uncertainty(settings: Settings) -> None:
    found = diagnosis(settings, steady_sources([300.0, 200.0]))
    assert [(d.key, d.name, d.method, d.uncertainty) for d in found.measured] == [
        ("gpu:GPU-0", "Steady GPU", "steady_gpu", 0.1),
        ("gpu:GPU-1", "Steady GPU", "steady_gpu", 0.1),
        ("cpu", None, "steady_cpu", 0.1),
        ("ram", None, "steady_ram", 0.1),
    ]
    assert found.is_sound
    assert found.hostname == HOSTNAME


def test_meters_are_closed_again(settings: Settings) -> None:
    meters: list[Meter] = [SteadyMeter("gpu", 300.0, "GPU-0")]
    diagnosis(settings, Sources(lambda: meters, list))
    assert not any(meter.is_open for meter in meters if isinstance(meter, SteadyMeter))


def test_where_nothing_can_be_measured_the_machine_is_not_sound(settings: Settings) -> None:
    found = diagnosis(settings, Sources(list, list))
    assert not found.is_sound
    assert finding(found, "Energy").level == "bad"


@pytest.mark.parametrize(
    ("sources", "subject"),
    [
        (steady_sources([300.0], cpu_w=None), "CPU"),
        (steady_sources([300.0], ram_w=None), "RAM"),
    ],
)
def test_a_component_that_is_missing_is_named(
    sources: Sources, subject: str, settings: Settings
) -> None:
    found = diagnosis(settings, sources)
    assert "not measured" in finding(found, subject).text
    assert found.is_sound


def test_meters_that_cannot_be_opened_do_not_stop_the_doctor(settings: Settings) -> None:
    def broken() -> list[Meter]:
        raise ImportError("no module named 'codecarbon'")

    found = diagnosis(settings, Sources(steady_sources([300.0]).accelerators, broken))
    assert "ImportError: no module named 'codecarbon'" in finding(found, "Host").text
    assert [device.key for device in found.measured] == ["gpu:GPU-0"]
    assert found.is_sound


def test_why_a_gpu_is_not_metered_is_told(
    simulated_gpus_here: MakeGpus, settings: Settings
) -> None:
    gpus = simulated_gpus_here(3)
    gpus.change(1, mig_mode=1)
    sources = Sources(machine_sources(settings, {}).accelerators, list)
    found = diagnosis(settings, sources)
    assert [d.key for d in found.measured] == [f"gpu:{gpus.uuids[i]}" for i in (0, 2)]
    assert {d.method for d in found.measured} == {"nvml_counter"}
    assert "GPU 1 (Simulated A100) is not metered" in finding(found, "NVIDIA GPUs").text
    gpus.change(1, mig_mode=0)
    assert "NVIDIA GPUs" not in [each.subject for each in diagnosis(settings, sources).findings]


def test_hidden_gpus_are_told(simulated_gpus_here: MakeGpus, settings: Settings) -> None:
    simulated_gpus_here(2)
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    sources = Sources(machine_sources(settings, hidden).accelerators, list)
    found = diagnosis(settings, sources, environ=hidden)
    assert "hides all 2 GPUs" in finding(found, "NVIDIA GPUs").text
    assert found.measured == ()


def test_an_explainer_that_fails_does_not_stop_the_doctor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_EXPLAINERS", (("Jetson", "no_such_module", lambda *_: None),))
    assert "ModuleNotFoundError" in finding(diagnosis(settings), "Jetson").text


# -------------------------------------------------------------------------- processor, baseline


def test_whether_the_processor_is_known_already(settings: Settings) -> None:
    kept = settings.spool_dir / "host.json"

    def host() -> list[Meter]:
        processor.save(Processor("EPYC 9654", 360.0), kept)
        return [SteadyMeter("cpu", 60.0)]

    first = finding(diagnosis(settings, Sources(list, host)), "Processor")
    assert first.text == "EPYC 9654, rated 360 W; found out just now, and kept"
    second = finding(diagnosis(settings, Sources(list, host)), "Processor")
    assert second.text == "EPYC 9654, rated 360 W; kept by an earlier run"
    kept.unlink()
    unkept = finding(diagnosis(settings), "Processor")
    assert unkept.level == "note"
    assert str(kept) in unkept.text


def keep_baseline(settings: Settings, **fields: Any) -> None:
    devices = tuple(
        IdlePower(key, component, f"steady_{component}", 0.1, power_w)
        for key, component, power_w in IDLE
    )
    made = Baseline(HOSTNAME, datetime(2026, 3, 1, tzinfo=UTC), 30.0, devices)
    baseline.save(replace(made, **fields), settings.spool_dir)


def test_the_baseline_is_told_with_its_date(settings: Settings) -> None:
    assert "carbon baseline" in said(finding(diagnosis(settings), "Idle baseline"))
    keep_baseline(settings)
    found = diagnosis(settings)
    assert finding(found, "Idle baseline") == Finding(
        "Idle baseline", "good", "measured on 2026-03-01 over 30 s"
    )
    assert [device.idle_power_w for device in found.measured] == [50.0, 20.0, 10.0]


def test_a_baseline_that_does_not_hold_for_every_device_is_told(settings: Settings) -> None:
    keep_baseline(settings)
    found = finding(diagnosis(settings, steady_sources([300.0, 300.0])), "Idle baseline")
    assert found.level == "note"
    assert "not of gpu:GPU-1" in found.text
    keep_baseline(settings, doubts=("the CPU was 80 % busy",))
    doubted = finding(diagnosis(settings), "Idle baseline")
    assert doubted.level == "note"
    assert "the CPU was 80 % busy" in doubted.text


# ----------------------------------------------------------------------------------------- place


@pytest.mark.parametrize(
    ("fields", "level", "text"),
    [
        ({}, "note", "CARBON_COUNTRY_ISO_CODE"),
        ({"country_iso_code": "DEU", "pue": 1.2}, "good", "Germany: 380.95 g/kWh"),
        ({"country_iso_code": "USA", "region": "California"}, "good", "California, United States"),
        ({"country_iso_code": "AND"}, "note", "no carbon intensity is known"),
    ],
)
def test_whether_emissions_can_be_told(
    fields: dict[str, Any], level: str, text: str, tmp_path: Path
) -> None:
    settings = Settings.model_validate({"spool_dir": tmp_path} | fields)
    found = finding(diagnosis(settings), "Place")
    assert found.level == level
    assert text in said(found)


# ----------------------------------------------------------------------------------------- spool


def test_what_waits_in_the_spool_is_counted(settings: Settings) -> None:
    assert finding(diagnosis(settings), "Runs").level == "good"
    spool = Spool(settings.spool_dir)
    alive = spool.open_part(new_run_id(), "alive")
    spool.open_part(new_run_id(), "killed").close()
    for _ in range(2):
        report = make_report()
        spool.open_part(report.run_id, "refused").close()
        spool.move(report.run_id, "rejected", message="no")
    found = finding(diagnosis(settings), "Runs")
    assert found.text == "1 running, 1 waiting to be delivered, 2 refused"
    assert "carbon sync --rejected" in said(found)
    assert str(settings.spool_dir / "rejected") in said(found)
    alive.close()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/spool"])
def test_a_spool_that_cannot_be_written_is_bad(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.model_validate({"spool_dir": tmp_path / place})
    found = diagnosis(settings)
    assert not found.is_sound
    assert "CARBON_SPOOL_DIR" in said(finding(found, "Spool"))
    assert found.measured


def test_looking_leaves_nothing_behind(settings: Settings) -> None:
    found = diagnosis(settings)
    assert "can be written" in finding(found, "Spool").text
    assert list(settings.spool_dir.iterdir()) == []


# ------------------------------------------------------------------------------------------- API


def test_an_api_that_lets_us_in_is_good(settings: Settings) -> None:
    found = diagnosis(settings)
    assert finding(found, "API").level == "good"
    assert finding(found, "API key").text == "none is set, and none is asked for"
    with_key = settings.model_copy(update={"api_key": Settings(api_key="right").api_key})
    assert finding(diagnosis(with_key), "API key").text == "accepted"


def test_an_api_that_is_not_there_is_told(settings: Settings) -> None:
    found = examine(settings, HOSTNAME, {}, steady_sources())
    assert "carbon serve" in finding(found, "API").text
    assert found.is_sound  # The run waits in the spool.
    assert "API key" not in [each.subject for each in found.findings]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda _: httpx.Response(404, text="File not found"), "CARBON_API_URL"),
        (lambda _: httpx.Response(200, text="<html>"), "CARBON_API_URL"),
        (lambda _: httpx.Response(200, json={"ok": True}), "CARBON_API_URL"),
        (lambda _: httpx.Response(503, json={"detail": "the ledger is locked"}), "is locked"),
        (lambda _: httpx.Response(500, text="oops"), "500"),
    ],
    ids=["not found", "html", "json", "locked", "failing"],
)
def test_an_api_that_is_none_or_is_broken_is_told(
    answer: Answer, text: str, settings: Settings
) -> None:
    found = finding(diagnosis(settings, answer=answer), "API")
    assert found.level == "note"
    assert text in said(found)


def test_an_api_of_an_earlier_version_is_told(settings: Settings) -> None:
    def earlier(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/healthz":
            return httpx.Response(200, json=HEALTH | {"schema_version": SCHEMA_VERSION - 1})
        return ledger(request)

    found = finding(diagnosis(settings, answer=earlier), "API")
    assert found.level == "note"
    assert "upgrade carbon-ledger" in said(found)


@pytest.mark.parametrize(
    ("status", "text"), [(401, "CARBON_API_KEY"), (503, "503"), (418, "answered 418")]
)
def test_an_api_that_does_not_let_us_in_is_told(status: int, text: str, settings: Settings) -> None:
    def closed(request: httpx.Request) -> httpx.Response:
        return ledger(request) if request.url.path == "/healthz" else httpx.Response(status)

    found = diagnosis(settings, answer=closed)
    assert finding(found, "API").level == "good"
    assert finding(found, "API key").level == "note"
    assert text in said(finding(found, "API key"))
