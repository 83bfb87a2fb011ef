"""The audit log: who changed what in the ledger, when and why. It is only ever added to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    false,
    insert,
    or_,
    select,
    union,
)

from api import cursors, request_id
from api.access import Access
from api.tables import AUDIT, COSTINGS
from carbon.schema import AuditEntry, AuditPage

Values = Mapping[str, Any]

_READ_TOGETHER = 1000

_MOVED_TO = AUDIT.c.changes["project", "after"].as_string()
"""Of a run that was moved to another project, that one; null of all else."""


@dataclass(frozen=True)
class Deed:
    """What somebody did to the ledger, and why."""

    actor: str
    action: str
    reason: str | None = None


@dataclass(frozen=True)
class Asked:
    """Which entries are asked for; None does not matter."""

    project: str | None = None
    run_id: UUID | None = None
    since: datetime | None = None


def add(
    connection: Connection,
    deed: Deed,
    before: Values,
    after: Values,
    *,
    project: str | None = None,
    run_id: UUID | None = None,
    runs: int = 1,
    at: datetime | None = None,
) -> None:
    """Log a deed, in the transaction that does it.

    Args:
        connection: of that transaction.
        deed: who did what.
        before: fields as they were, as JSON can hold them; without those that were not there.
        after: the same fields as they are now.
        project: of the run that was changed, before that.
        run_id: of the run, where it is one.
        runs: how many runs were changed.
        at: when; now if None.
    """
    names = sorted({*before, *after})
    changes = {name: {"before": before.get(name), "after": after.get(name)} for name in names}
    connection.execute(
        insert(AUDIT).values(
            at=at or datetime.now(UTC),
            actor=deed.actor,
            action=deed.action,
            project=project,
            run_id=run_id,
            runs=runs,
            changes={name: change for name, change in changes.items() if _differs(change)},
            reason=deed.reason,
            request_id=request_id.current(),
        )
    )


def add_terms(
    connection: Connection,
    actor: str,
    what: str,
    shape: type[BaseModel],
    before: Values | None,
    after: Values | None,
    project: str | None = None,
) -> None:
    """Log that terms of a budget, a price or the like were set or removed, if that is news.

    Args:
        connection: of the transaction that does it.
        actor: who does.
        what: by which name the terms are asked for, `prices/2026-01-01`.
        shape: the model of such terms.
        before: the row that held them, None if there was none.
        after: the row that holds them, None if there is none any more.
        project: whose they are; None if they are of all.
    """
    was, now = (None if row is None else _terms(shape, row) for row in (before, after))
    if was != now:
        deed = Deed(actor, "remove" if after is None else "set")
        add(connection, deed, {what: was}, {what: now}, project=project, runs=0)


def page(
    connection: Connection, access: Access, asked: Asked, limit: int, cursor: str | None
) -> AuditPage:
    """Return at most `limit` of the entries that are there for an access, the newest first.

    Raises:
        ProblemError: 422, a cursor that is not of this list.
    """
    listed = ["audit", access.among([]), asked.project, asked.run_id, asked.since]
    query = select(AUDIT).where(_covered_by(access)).order_by(AUDIT.c.id.desc()).limit(limit + 1)
    if asked.project is not None:
        # Not of a project that is not there, though what came from it or went there be.
        of_it = or_(AUDIT.c.project == asked.project, asked.project == _MOVED_TO)
        query = query.where(of_it if access.admits(asked.project) else false())
    if asked.run_id is not None:
        query = query.where(_is_of(asked.run_id))
    if asked.since is not None:
        query = query.where(AUDIT.c.at >= asked.since)
    if cursor is not None:
        (before,) = cursors.decode(cursor, listed, ((int,),))
        query = query.where(AUDIT.c.id < before)
    rows = connection.execute(query).mappings().all()
    items = [AuditEntry.model_validate(_shown_to(access, dict(row))) for row in rows[:limit]]
    more = cursors.encode([items[-1].id], listed) if len(rows) > limit else None
    return AuditPage(items=items, next_cursor=more)


def entries(
    engine: Engine, access: Access, asked: Asked, limit: int | None, cursor: str | None
) -> Iterator[list[AuditEntry]]:
    """Yield all entries, or `limit` of them, as `page` lists them, some at a time.

    Each part is read in a transaction of its own: whoever reads slowly holds nothing up.
    """
    while True:
        with engine.begin() as connection:
            found = page(connection, access, asked, limit or _READ_TOGETHER, cursor)
        yield found.items
        cursor = found.next_cursor
        if cursor is None or limit is not None:
            return


def _is_of(run_id: UUID) -> ColumnElement[bool]:
    """Return the condition that an entry is of a run, or of a re-costing of several with it.

    A figure that such a one replaced was replaced at the moment that the entry has.
    """
    replaced_at = select(COSTINGS.c.replaced_at).where(COSTINGS.c.run_id == run_id)
    recosted = and_(AUDIT.c.action == "recost", AUDIT.c.at.in_(replaced_at))
    # Each of the two by an index of its own.
    either = union(
        *(select(AUDIT.c.id).where(of_it) for of_it in (AUDIT.c.run_id == run_id, recosted))
    )
    return AUDIT.c.id.in_(either)


def _covered_by(access: Access) -> ColumnElement[bool]:
    """Return the condition that a project of an entry is there for it: of a move either is one."""
    return or_(access.covers(AUDIT.c.project), access.covers(_MOVED_TO))


def _shown_to(access: Access, entry: Values) -> Values:
    """Return an entry; of a move from or to where is not there, only that the run came or went."""
    move = entry["changes"].get("project")
    if move is None or all(name is None or access.admits(name) for name in move.values()):
        return entry
    seen = {when: name if access.admits(name) else None for when, name in move.items()}
    project = seen["before"] or seen["after"]
    return {**entry, "project": project, "changes": {"project": seen}, "reason": None}


def _terms(shape: type[BaseModel], row: Values) -> dict[str, Any]:
    terms = shape.model_validate({name: row[name] for name in shape.model_fields})
    shown = terms.model_dump(mode="json")
    if url := shown.pop("webhook_url", None):
        # It often holds a secret; that it became another one is to be seen.
        shown["webhook_sha256"] = sha256(url.encode()).hexdigest()[:8]
    return shown


def _differs(change: Mapping[str, Any]) -> bool:
    return bool(change["before"] != change["after"])
