"""Figures of a run's emissions, past and present, and re-costing runs with another table."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, insert, literal, select, tuple_

from api import audit, cursors, factors
from api.access import Access
from api.audit import Deed
from api.db import writing
from api.overlay import BASES, PLACE, Basis, laid_over
from api.tables import COSTINGS, RUNS
from api.writing import Writing, read
from carbon.schema import Costing, Recosted, RecostOrder
from carbon.units import MASS_DECIMALS, add_known

Values = Mapping[str, Any]
_Place = tuple[str, datetime, UUID]

TOGETHER = 100
"""How many runs share a transaction: others write between them,"""

PAUSE_S = 0.1
"""and get the time to: SQLite has those who wait look again every tenth of a second."""

_FIGURE = [
    name
    for name in COSTINGS.columns.keys()  # noqa: SIM118 - a collection of columns, not a mapping
    if name not in ("id", "run_id", "replaced_at")
]


def keep(
    connection: Connection, changed: Iterable[tuple[UUID, Values, Values]], at: datetime
) -> None:
    """Keep the figures that other ones replace.

    Args:
        connection: in the transaction that replaces them.
        changed: run, its fields as they were and, at least those that changed, as they are now.
        at: when they are replaced.
    """
    rows = [
        {"run_id": run_id, "replaced_at": at, **{name: before[name] for name in _FIGURE}}
        for run_id, before, after in changed
        if any(after.get(name, before[name]) != before[name] for name in _FIGURE)
    ]
    if rows:
        connection.execute(insert(COSTINGS), rows)


def of_run(connection: Connection, access: Access, run_id: UUID) -> list[Costing] | None:
    """Return a run's figures, the newest first, or None for a run that is not there."""
    current = connection.execute(
        select(*(RUNS.c[name] for name in _FIGURE)).where(
            RUNS.c.run_id == run_id, access.covers(RUNS.c.project)
        )
    ).mappings()
    row = current.first()
    if row is None:
        return None
    past = connection.execute(
        select(COSTINGS).where(COSTINGS.c.run_id == run_id).order_by(COSTINGS.c.id.desc())
    ).mappings()
    return [
        Costing(is_current=True, replaced_at=None, **row),
        *(
            Costing(
                is_current=False,
                replaced_at=one["replaced_at"],
                **{name: one[name] for name in _FIGURE},
            )
            for one in past
        ),
    ]


@dataclass
class _Count:
    """What a re-costing has come to so far."""

    runs: int = 0
    as_before: int = 0
    without_factor: int = 0
    corrected: int = 0
    before_kg: list[float | None] = field(default_factory=list)
    after_kg: list[float | None] = field(default_factory=list)

    def add(self, other: "_Count") -> None:
        self.runs += other.runs
        self.as_before += other.as_before
        self.without_factor += other.without_factor
        self.corrected += other.corrected
        self.before_kg += other.before_kg
        self.after_kg += other.after_kg

    def differences_kg(self) -> list[float | None]:
        return [
            None if before is None or after is None else after - before
            for before, after in zip(self.before_kg, self.after_kg, strict=True)
        ]


def _sum(masses_kg: list[float | None]) -> float | None:
    """Return what is known of some masses: 0 where there are none, None where none is known."""
    return add_known(masses_kg, MASS_DECIMALS) if masses_kg else 0.0


def recost(engine: Engine, access: Access, order: RecostOrder, actor: str) -> Recosted:
    """Cost runs with a table, some in each transaction; what is done stays done.

    Project by project, each by time: runs of the same sums come together.

    Raises:
        ProblemError: 403, the project is not there for the access; 404, there is no such table;
            422, the cursor is of another order.
    """
    if order.project is not None:
        access.require_project(order.project)
    listed = ["recost", access.among([]), order.table, order.project, order.since, order.until]
    place = None
    if order.cursor is not None:
        project, moment, run_id = cursors.decode(order.cursor, listed, ((str,), (int,), (str,)))
        place = project, cursors.moment_of(moment), cursors.run_id_of(run_id)
    going = _Going(order, access, actor)
    total, left = _Count(), order.limit
    while left > 0:
        count, place = _recost_some(engine, going, place, min(left, TOGETHER))
        total.add(count)
        left -= TOGETHER
        if place is None:
            break
        if left > 0 and not order.dry_run:
            time.sleep(PAUSE_S)
    return Recosted(
        runs=total.runs,
        runs_as_before=total.as_before,
        runs_without_factor=total.without_factor,
        runs_corrected=total.corrected,
        emissions_before_kg=_sum(total.before_kg),
        emissions_after_kg=_sum(total.after_kg),
        difference_kg=_sum(total.differences_kg()),
        next_cursor=place
        and cursors.encode((place[0], cursors.microseconds(place[1]), place[2].hex), listed),
    )


@dataclass(frozen=True)
class _Going:
    """A re-costing under way: what was ordered, and by whom."""

    order: RecostOrder
    access: Access
    actor: str


def _recost_some(
    engine: Engine, going: _Going, after: _Place | None, limit: int
) -> tuple[_Count, _Place | None]:
    """Cost the next runs; return what came of it, and the last one's place if there may be more."""
    order = going.order
    with engine.begin() if order.dry_run else writing(engine) as connection:
        basis = BASES[factors.require(connection, order.table)]
        rows = connection.execute(_next(going, after, limit)).all()
        places: list[_Place] = [(row.project, row.started_at, row.run_id) for row in rows]
        run_ids = [run_id for _, _, run_id in places]
        if order.dry_run:
            count, _ = _costed(connection, basis, order.table, read(connection, run_ids))
        else:
            count = _write(connection, basis, going, run_ids)
    return count, places[-1] if len(places) == limit else None


def _write(connection: Connection, basis: Basis, going: _Going, run_ids: Sequence[UUID]) -> _Count:
    version = going.order.table
    changing = Writing(connection)
    held = changing.hold(run_ids)
    count, changes = _costed(connection, basis, version, held)
    if changes:
        factors.keep_bundled(connection, version)
        _keep_and_log(connection, basis, going, held, changes)
        changing.update_all(changes)
        changing.finish()
    return count


def _keep_and_log(
    connection: Connection,
    basis: Basis,
    going: _Going,
    held: Mapping[UUID, Values],
    changes: Mapping[UUID, Values],
) -> None:
    """Keep the old figures and log the new ones, of each project apart: who sees it may see both.

    At a moment of their own: by that the entry of a run's costing is found.
    """
    by_project: dict[str, list[UUID]] = {}
    for run_id in changes:
        by_project.setdefault(held[run_id]["project"], []).append(run_id)
    for project, run_ids in by_project.items():
        now = datetime.now(UTC)
        keep(connection, ((run_id, held[run_id], changes[run_id]) for run_id in run_ids), now)
        before_kg, after_kg = (
            _sum([of[run_id][basis.emissions] for run_id in run_ids]) for of in (held, changes)
        )
        audit.add(
            connection,
            Deed(going.actor, "recost", going.order.reason),
            {basis.emissions: before_kg},
            {basis.emissions: after_kg, basis.table: going.order.table},
            project=project,
            runs=len(run_ids),
            at=now,
        )


def _costed(
    connection: Connection, basis: Basis, version: str, runs: Mapping[UUID, Values]
) -> tuple[_Count, dict[UUID, dict[str, Any]]]:
    """Return what the table changes of these runs: by run, the same columns of each."""
    factor_of = factors.finder(connection)
    count, changes = _Count(), {}
    for run_id, run in runs.items():
        held = run["corrections"] or {}
        if factor_of(version, *(run[name] for name in PLACE)) is None:
            count.without_factor += 1
            continue
        if basis.intensity in held:
            count.corrected += 1
            continue
        report = {**run, **(run["delivered"] or {})}
        corrections = {**held, basis.table: version}
        laid = laid_over(report, corrections, factor_of)
        now = {**report, **laid}
        if all(now[name] == run[name] for name in basis.fields):
            count.as_before += 1
            continue
        count.runs += 1
        count.before_kg.append(run[basis.emissions])
        count.after_kg.append(now[basis.emissions])
        changes[run_id] = {
            **{name: now[name] for name in basis.fields},
            "corrections": corrections,
            "delivered": {name: report[name] for name in laid},
        }
    return count, changes


def _next(going: _Going, after: _Place | None, limit: int) -> Select[Any]:
    """Return the query for the places of the runs that come next, as an index has them."""
    place = RUNS.c.project, RUNS.c.started_at, RUNS.c.run_id
    order = going.order
    query = select(*place).order_by(*place).limit(limit).where(going.access.covers(place[0]))
    if order.project is not None:
        query = query.where(RUNS.c.project == order.project)
    if order.since is not None:
        query = query.where(RUNS.c.started_at >= order.since)
    if order.until is not None:
        query = query.where(RUNS.c.started_at < order.until)
    if after is not None:
        values = [literal(value, column.type) for value, column in zip(after, place, strict=True)]
        query = query.where(tuple_(*place) > tuple_(*values))
    return query
