"""Hardware that somebody knows the embodied emissions of, and what runs have of these.

It is of no project, but the name of a host or a rare accelerator tells of whoever has it. So to a
key of some projects only that is there which runs of these used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, select

from api import audit, upserts
from api.access import UNLIMITED, Access
from api.tables import GPU_DAYS, HARDWARE, NODE_DAYS
from carbon import units
from carbon.analysis.embodied import METHOD, embodied, folded
from carbon.schema import Footprint, Hardware, HardwareKind, HardwareTerms, RunReport
from carbon.units import MASS_DECIMALS

_USED: Mapping[HardwareKind, Column[Any]] = {
    "gpu": GPU_DAYS.c.gpu_model,
    "host": NODE_DAYS.c.hostname,
}
"""Where the names are of what a project's runs used."""


def put(
    connection: Connection, kind: HardwareKind, name: str, terms: HardwareTerms, actor: str
) -> bool:
    """Keep what is known of a model or a host; return whether nothing was."""
    row = {"kind": kind, "folded": folded(name), "name": name, **terms.model_dump()}
    held = upserts.put(connection, HARDWARE, row)
    audit.add_terms(connection, actor, f"hardware/{kind}/{name}", HardwareTerms, held, row)
    return held is None


def find(connection: Connection, access: Access, kind: HardwareKind, name: str) -> Hardware | None:
    """Return what is known of a model or a host that is there for the access."""
    row = upserts.find(connection, HARDWARE, kind=kind, folded=folded(name))
    if row is None or not _are_there(connection, access, [row]):
        return None
    return _hardware(row)


def remove(connection: Connection, kind: HardwareKind, name: str, actor: str) -> bool:
    """Forget a model or a host; return whether it was known."""
    held = upserts.remove(connection, HARDWARE, kind=kind, folded=folded(name))
    audit.add_terms(connection, actor, f"hardware/{kind}/{name}", HardwareTerms, held, None)
    return held is not None


def every(connection: Connection, access: Access) -> list[Hardware]:
    """Return the hardware that is there for the access, by kind and name."""
    query = select(HARDWARE).order_by(HARDWARE.c.kind, HARDWARE.c.folded)
    rows = connection.execute(query).mappings().all()
    return [_hardware(row) for row in _are_there(connection, access, rows)]


def footprint(connection: Connection, report: RunReport) -> Footprint:
    """Return a run's emissions of operation and its share of the embodied ones.

    SCI's O + M without the division by a functional unit (Software Carbon Intensity Specification,
    version 1, Green Software Foundation; ISO/IEC 21031:2024).
    """
    known = {(each.kind, folded(each.name)): each for each in every(connection, UNLIMITED)}
    parts = embodied(report, known)
    embodied_kg = units.add_known([part.embodied_kg for part in parts], MASS_DECIMALS)
    total_kg = None
    is_complete = all(part.embodied_kg is not None for part in parts)
    if embodied_kg is not None and report.emissions_kg is not None and is_complete:
        total_kg = round(report.emissions_kg + embodied_kg, MASS_DECIMALS)
    return Footprint(
        run_id=report.run_id,
        operational_kg=report.emissions_kg,
        operational_method="energy x PUE x the grid's intensity, location-based",
        operational_source=report.intensity_source,
        operational_year=report.intensity_year,
        embodied_kg=embodied_kg,
        embodied_method=METHOD,
        embodied=parts,
        total_kg=total_kg,
    )


def _are_there(
    connection: Connection, access: Access, rows: Sequence[Mapping[Any, Any]]
) -> Sequence[Mapping[Any, Any]]:
    """Return those of some rows that an access may see."""
    if access.projects is None or not rows:
        return rows
    used = {
        (kind, folded(name))
        for kind, column in _USED.items()
        for name in connection.scalars(
            select(column).distinct().where(access.covers(column.table.c.project))
        )
    }
    return [row for row in rows if (row["kind"], row["folded"]) in used]


def _hardware(row: Mapping[Any, Any]) -> Hardware:
    return Hardware.model_validate({name: row[name] for name in Hardware.model_fields})
