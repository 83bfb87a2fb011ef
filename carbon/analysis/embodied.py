"""A run's share in what making its hardware emitted."""

from collections import Counter
from collections.abc import Mapping

from carbon.schema import EmbodiedPart, HardwareKind, HardwareTerms, RunReport
from carbon.units import SECONDS_PER_HOUR

METHOD = (
    "SCI: M = TE x TiR / EL x RR / ToR for each accelerator and each host that the run used, with "
    "the run's duration as TiR"
)


def embodied_share_kg(hardware: HardwareTerms, duration_s: float) -> float:
    """Return the share of a piece of hardware's embodied emissions that a time of use has.

    M = TE x TS x RS with TS = TiR / EL and RS = RR / ToR: Software Carbon Intensity (SCI)
    Specification, version 1, Green Software Foundation; ISO/IEC 21031:2024.
    """
    time_share = duration_s / SECONDS_PER_HOUR / hardware.lifetime_h
    return hardware.embodied_kg * time_share * hardware.resource_share


def embodied(
    report: RunReport, known: Mapping[tuple[HardwareKind, str], HardwareTerms]
) -> list[EmbodiedPart]:
    """Return the shares of the hardware that a run used, each once however many attempts it took.

    Args:
        report: the run; every device counts for the whole of its duration.
        known: by kind and `folded` name.
    """
    models = {device.uuid: device.name for node in report.nodes for device in node.devices}
    hosts = {folded(node.hostname): node.hostname for node in report.nodes}
    used: Counter[tuple[HardwareKind, str | None]] = Counter()
    used.update(("gpu", name) for name in models.values())
    used.update(("host", name) for name in hosts.values())
    return [
        _part(kind, name, count, known.get((kind, folded(name or ""))), report.duration_s)
        for (kind, name), count in sorted(used.items(), key=lambda item: str(item[0]))
    ]


def folded(name: str) -> str:
    """Return the form in which names of hardware are compared."""
    return name.strip().casefold()


def _part(
    kind: HardwareKind,
    name: str | None,
    count: int,
    hardware: HardwareTerms | None,
    duration_s: float,
) -> EmbodiedPart:
    if hardware is None:
        return EmbodiedPart(
            kind=kind, name=name, count=count, embodied_kg=None, source=None, year=None
        )
    return EmbodiedPart(
        kind=kind,
        name=name,
        count=count,
        embodied_kg=count * embodied_share_kg(hardware, duration_s),
        source=hardware.source,
        year=hardware.year,
    )
