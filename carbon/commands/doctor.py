"""What can be measured on this machine, how well, what is missing, and whether runs get through.

Everything is looked at and nothing is changed, but that the spool's directory is made and what is
found out of the processor is kept, as the next run would do.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

from carbon import grid
from carbon.countries import country_name
from carbon.errors import ApiRejectedError, ApiUnreachableError, SpoolError
from carbon.meters import processor
from carbon.meters.base import Meter
from carbon.schema import SCHEMA_VERSION, Component
from carbon.settings import Settings
from carbon.spool.disk import free_bytes, why_not_writable
from carbon.spool.spool import Spool
from carbon.tracking import baseline
from carbon.tracking.metering import Sources

if TYPE_CHECKING:
    from httpx import BaseTransport

Level = Literal["good", "note", "bad"]
"""As it should be; worth a look, or no more than this machine has; a run would be lost by it."""

API_TIMEOUT_S = 5.0

LITTLE_ROOM_BYTES = 100 << 20
"""A day of samples of eight GPUs is a few megabytes; a disk with less than this is all but full."""

# What is looked for, the module in `carbon.meters` that knows, and how that is asked.
_EXPLAINERS: tuple[tuple[str, str, Callable[[Any, Mapping[str, str]], str | None]], ...] = (
    ("NVIDIA GPUs", "nvml", lambda nvml, environ: nvml.explain(environ)),
    ("AMD GPUs", "amd", lambda amd, environ: amd.explain(environ)),
    ("RAPL counters", "rapl", lambda rapl, environ: rapl.explain()),
    ("Jetson", "jetson", lambda jetson, environ: jetson.explain() if jetson.is_jetson() else None),
)


@dataclass(frozen=True)
class Measured:
    """One device that is measured, by which method, and what is known of it.

    `uncertainty` is relative, one standard deviation; `idle_power_w` is in watts, by the baseline.
    """

    key: str
    component: Component
    name: str | None
    method: str
    uncertainty: float
    idle_power_w: float | None
    note: str | None


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it stands, and what to do where it could be better."""

    subject: str
    level: Level
    text: str
    way_out: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """All that was found."""

    hostname: str
    version: str
    measured: tuple[Measured, ...]
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether a run would be measured and kept."""
        return not any(finding.level == "bad" for finding in self.findings)


def examine(
    settings: Settings,
    hostname: str,
    environ: Mapping[str, str],
    sources: Sources,
    transport: "BaseTransport | None" = None,
) -> Diagnosis:
    """Look at everything, whatever state it is in: what is broken is a finding, not an error.

    Args:
        settings: where the spool and the API are.
        hostname: the machine's name, by which its baseline is kept.
        environ: the process's environment variables.
        sources: where the meters come from.
        transport: of the requests to the API, by default the network's.
    """
    findings: list[Finding] = []
    known = processor.load(settings.spool_dir / "host.json")
    kept = baseline.load(settings.spool_dir, hostname)
    measured = []
    for subject, open_meters in (("Accelerators", sources.accelerators), ("Host", sources.host)):
        try:
            for meter in open_meters():
                measured.append(_measured(meter, kept))
                meter.close()
        except Exception as error:  # noqa: BLE001 - what is broken here is what is asked for
            text = f"could not be opened: {type(error).__name__}: {error}"
            findings.append(Finding(subject, "note", text))
    findings += _missing(measured, environ)
    findings += _processor(settings, known)
    findings.append(_baseline(kept, measured))
    findings.append(_place(settings))
    findings += _spool(settings)
    findings += _api(settings, transport)
    return Diagnosis(hostname, _version(), tuple(measured), tuple(findings))


def _version() -> str:
    try:
        return version("carbon-ledger")
    except PackageNotFoundError:
        return "unknown"  # Run from a source tree.


def _measured(meter: Meter, kept: baseline.Baseline | None) -> Measured:
    meter.read()
    key = baseline.key_of(meter)
    return Measured(
        key=key,
        component=meter.component,
        name=meter.device.name if meter.device else getattr(meter, "cpu_model", None),
        method=meter.method,
        uncertainty=meter.uncertainty,
        idle_power_w=None if kept is None else kept.power_w(key, meter.method),
        note=meter.note,
    )


def _missing(measured: list[Measured], environ: Mapping[str, str]) -> Iterator[Finding]:
    if not measured:
        yield Finding("Energy", "bad", "nothing can be measured on this machine")
    components: tuple[Component, ...] = ("cpu", "ram")
    for component in components:
        if measured and component not in {device.component for device in measured}:
            yield Finding(component.upper(), "note", "not measured; its energy will be unknown")
    for subject, module, ask in _EXPLAINERS:
        try:
            reason = ask(import_module(f"carbon.meters.{module}"), environ)
        except Exception as error:  # noqa: BLE001 - as above
            reason = f"could not be asked: {type(error).__name__}: {error}"
        if reason is not None:
            yield Finding(subject, "note", reason)


def _processor(settings: Settings, known: processor.Processor | None) -> Iterator[Finding]:
    path = settings.spool_dir / "host.json"
    found = known or processor.load(path)
    if found is None:
        yield Finding(
            "Processor",
            "note",
            f"what CodeCarbon finds out of it is not kept in {path}",
            "every run takes a second or two to find it out, and a shorter one has no CPU energy",
        )
        return
    model = found.model or "of a model that CodeCarbon does not know"
    rated = (
        "no rated power is known" if found.max_power_w is None else f"rated {found.max_power_w:g} W"
    )
    since = "kept by an earlier run" if known else "found out just now, and kept"
    yield Finding("Processor", "good", f"{model}, {rated}; {since}")


def _baseline(kept: baseline.Baseline | None, measured: list[Measured]) -> Finding:
    way_out = (
        "run `carbon baseline` once while the machine is idle; runs then show what is above it"
    )
    if kept is None:
        return Finding("Idle baseline", "note", "none is kept", way_out)
    text = f"measured on {_day(kept.measured_at)} over {kept.duration_s:.0f} s"
    without = [device.key for device in measured if device.idle_power_w is None]
    if without:
        text += f", but not of {', '.join(without)} by the method in use"
        return Finding("Idle baseline", "note", text, way_out)
    if kept.doubts:
        return Finding("Idle baseline", "note", f"{text}, though {'; '.join(kept.doubts)}", way_out)
    return Finding("Idle baseline", "good", text)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _place(settings: Settings) -> Finding:
    country, region = settings.country_iso_code, settings.region
    if country is None:
        return Finding(
            "Place",
            "note",
            "unknown, and so are emissions",
            "set CARBON_COUNTRY_ISO_CODE, for example to DEU, and CARBON_REGION if there is one",
        )
    place = ", ".join(filter(None, (region, country_name(country))))
    factor = grid.lookup(country, region)
    if factor is None:
        return Finding("Place", "note", f"{place}: no carbon intensity is known for it")
    return Finding(
        "Place",
        "good",
        f"{place}: {factor.intensity_g_per_kwh:g} g/kWh "
        f"({factor.source}, {factor.year or 'year unknown'}), PUE {settings.pue:g}",
    )


def _spool(settings: Settings) -> Iterator[Finding]:
    directory = settings.spool_dir
    reason = why_not_writable(directory)
    if reason is not None:
        yield Finding(
            "Spool",
            "bad",
            f"{directory} cannot be written: {reason}",
            "set CARBON_SPOOL_DIR to a directory that can; without one a killed run is lost",
        )
    else:
        free = free_bytes(directory)
        room = "" if free is None else f", {_size(free)} free"
        is_full = free is not None and free < LITTLE_ROOM_BYTES
        yield Finding(
            "Spool",
            "note" if is_full else "good",
            f"{directory} can be written{room}",
            "make room before a long run" if is_full else None,
        )
    spool = Spool(directory)
    try:
        waiting, rejected = spool.waiting(), spool.rejected()
        running = [run_id for run_id in waiting if spool.has_living_part(run_id)]
    except SpoolError as error:
        if reason is None:
            yield Finding("Runs", "bad", str(error))
        return
    idle = len(waiting) - len(running)
    text = f"{len(running)} running, {idle} waiting to be delivered, {len(rejected)} refused"
    ways = []
    if idle:
        ways.append("`carbon sync` delivers what waits, and so does the next run")
    if rejected:
        ways.append(
            f"the reasons are in {directory / 'rejected'}; `carbon sync --rejected` tries again"
        )
    yield Finding("Runs", "note" if ways else "good", text, "; ".join(ways) or None)


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"


def _api(settings: Settings, transport: "BaseTransport | None") -> Iterator[Finding]:
    from carbon.rest.client import Client

    with Client(settings, timeout_s=API_TIMEOUT_S, transport=transport) as client:
        try:
            health = client.health()
        except (ApiUnreachableError, ApiRejectedError) as error:
            is_another = isinstance(error, ApiRejectedError)
            doubt = "is CARBON_API_URL the ledger's address? " if is_another else ""
            yield Finding("API", "note", str(error), f"{doubt}until then runs wait in the spool")
            return
        if health.schema_version < SCHEMA_VERSION:
            yield Finding(
                "API",
                "note",
                f"{settings.base_url} knows reports up to version {health.schema_version}, this "
                f"machine sends version {SCHEMA_VERSION}",
                "upgrade carbon-ledger where the API runs",
            )
        else:
            yield Finding("API", "good", f"{settings.base_url} answers, and its database does")
        try:
            client.runs(limit=1)
        except ApiRejectedError as error:
            # Of a key that is good but lacks a scope the server says which.
            way_out = "set CARBON_API_KEY to a key of the server" if error.status == 401 else None
            yield Finding("API key", "note", str(error), way_out)
        except ApiUnreachableError as error:
            yield Finding("API key", "note", str(error))
        else:
            used = "accepted" if settings.api_key_text else "none is set, and none is asked for"
            yield Finding("API key", "good", used)
