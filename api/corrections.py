"""Corrections: what a user says of a run against its reports, logged and kept."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, select

from api import audit, costings, factors, labels
from api.access import Access
from api.audit import Deed
from api.overlay import BASES, COMPONENTS, ENERGIES, PLACE, as_delivered, laid_over
from api.problems import ProblemError, refused, unknown_run
from api.tables import RUNS
from api.writing import REPORT_COLUMNS, Writing
from carbon import grid
from carbon.errors import UnknownPlaceError
from carbon.schema import Correction, FactorKind, RunFields, RunReport

Values = Mapping[str, Any]

_LOGGED_OF_A_DELETED_RUN = (
    *("project", "study", "name", "strategy", "status", "user", "duration_s"),
    *ENERGIES,
    *("idle_energy_kwh", *PLACE, "pue"),
    *(name for basis in BASES.values() for name in basis.fields),
)


def correct(
    connection: Connection, access: Access, run_id: UUID, correction: Correction, actor: str
) -> RunFields:
    """Correct a run, and return it as it is then; what holds already changes nothing.

    Raises:
        ProblemError: 403, it would go into a project that is not there for the access; 404, there
            is no such run; 409, its energies still grow; 422, together with what is not corrected
            this makes no valid run.
    """
    writing = Writing(connection)
    _require_held(writing, access, run_id)
    row = _row(connection, run_id)
    held: Values = row.pop("corrections") or {}
    before = {name: row[name] for name in RunFields.model_fields}
    report = as_delivered(row)
    _check(correction, report)
    corrections = _joined(connection, held, correction, before)
    if corrections == held:
        return RunFields.model_validate(before)
    changed = laid_over(report, corrections, partial(factors.find, connection))
    corrected = _valid({**report, **changed})
    _require_project(access, correction, corrected.project)
    after = {name: getattr(corrected, name) for name in before}
    costings.keep(connection, [(run_id, before, after)], datetime.now(UTC))
    writing.update(
        run_id,
        {
            **{name: value for name, value in after.items() if value != before[name]},
            "labels": labels.labels_of(corrected),
            "corrections": corrections or None,
            "delivered": {name: report[name] for name in changed} or None,
        },
    )
    shown = {name for name in before if before[name] != after[name]}
    audit.add(
        connection,
        Deed(actor, "correct", correction.reason),
        {name: before[name] for name in shown},
        {name: after[name] for name in shown},
        project=before["project"],
        run_id=run_id,
    )
    writing.finish()
    return RunFields.model_validate(after)


def delete(
    connection: Connection, access: Access, run_id: UUID, actor: str, reason: str | None
) -> None:
    """Remove a run with all that hangs on it; what it added up to stays in the log.

    Raises:
        ProblemError: 404, there is no such run.
    """
    writing = Writing(connection)
    _require_held(writing, access, run_id)
    row = _row(connection, run_id)
    was = {name: row[name] for name in _LOGGED_OF_A_DELETED_RUN}
    was["started_at"] = row["started_at"].isoformat()
    audit.add(
        connection,
        Deed(actor, "delete", reason),
        was,
        {},
        project=row["project"],
        run_id=run_id,
    )
    writing.delete(run_id)
    writing.finish()


def _require_held(writing: Writing, access: Access, run_id: UUID) -> None:
    held = writing.hold([run_id]).get(run_id)
    if held is None or not access.admits(held["project"]):
        raise unknown_run(run_id)


def _require_project(access: Access, correction: Correction, project: str) -> None:
    if "project" in correction.withdraw and not access.admits(project):
        raise ProblemError(403, "the run's reports are of a project that this key is not for")
    access.require_project(project)


def _row(connection: Connection, run_id: UUID) -> dict[str, Any]:
    columns = (*REPORT_COLUMNS, RUNS.c.corrections, RUNS.c.delivered)
    found = connection.execute(select(*columns).where(RUNS.c.run_id == run_id))
    return dict(found.mappings().one())


def _check(correction: Correction, report: Values) -> None:
    given = correction.given()
    if not given and not correction.withdraw:
        raise _refused("correction", "it names no field; give one, or one to `withdraw`")
    both = sorted(set(given) & set(correction.withdraw))
    if both:
        raise _refused(both[0], "it cannot be corrected and withdrawn at once")
    energies = [name for name in ENERGIES if name in given]
    if energies and report["status"] == "running":
        raise ProblemError(
            409, f"run {report['run_id']} goes on; correct its energy once it has ended"
        )
    is_total_only = report["energy_kwh"] is not None and all(
        report[name] is None for name in COMPONENTS
    )
    if energies and is_total_only and "energy_kwh" not in given:
        raise _refused(
            energies[0], "the run knows its energy in total only; correct energy_kwh beside it"
        )


def _joined(
    connection: Connection, held: Values, correction: Correction, before: Values
) -> dict[str, Any]:
    """Return all corrections of a run: those held, and on top of them the ones that are new."""
    given, withdrawn = correction.given(), set(correction.withdraw)
    joined = {name: value for name, value in held.items() if name not in withdrawn}
    for kind, basis in BASES.items():
        is_looked_up = basis.intensity not in joined
        # A place brought its own table with it, or that its market is unknown.
        came_along = kind == "location" or joined.get(basis.table) is None
        if basis.intensity in withdrawn or (
            withdrawn.intersection(PLACE) and is_looked_up and came_along
        ):
            joined.pop(basis.table, None)
    # A total and its components are corrected together, or the one follows from the other.
    if any(name in given for name in ENERGIES):
        others = COMPONENTS if "energy_kwh" in given else ("energy_kwh",)
        joined = {name: value for name, value in joined.items() if name not in others}
    if "country_iso_code" in given:
        joined["region"] = None
    joined |= given
    is_moved = any(name in given for name in PLACE)
    place = {name: joined.get(name, before[name]) for name in PLACE}
    for kind, basis in BASES.items():
        if basis.intensity in given:
            joined |= basis.by_hand(given)
        elif is_moved and (kind == "location" or before[basis.intensity] is not None):
            joined = {name: value for name, value in joined.items() if name not in basis.told}
            joined[basis.table] = _table_for(connection, kind, place, before)
    return joined | place if is_moved else joined


def _table_for(
    connection: Connection, kind: FactorKind, place: Values, before: Values
) -> str | None:
    """Return the table that a corrected place has its intensity from: the run's, or our own."""
    version: str | None = before[BASES[kind].table]
    if version is not None and factors.kind_of(connection, version) != kind:
        version = None
    if kind == "market":  # What is bought nobody knows but by such a table.
        return version
    version = version or grid.bundled_version()
    if factors.find(connection, version, *place.values()) is None:
        try:
            grid.check_place(*place.values())
        except UnknownPlaceError as error:
            raise _refused(
                "country_iso_code" if place["region"] is None else "region", str(error)
            ) from error
    factors.keep_bundled(connection, version)
    return version


def _valid(values: Values) -> RunReport:
    try:
        return RunReport.model_validate(values)
    except ValidationError as error:
        raise refused(error.errors(include_url=False), whole="run") from error


def _refused(field: str, message: str) -> ProblemError:
    return ProblemError(422, f"{field}: {message}", errors=[{"field": field, "message": message}])
