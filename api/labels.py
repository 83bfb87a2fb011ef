"""Labels: what a run can be found by and may have several of, such as tags, hosts and words.

A label is a text, `host:node-1`. Both databases look it up by nothing but equality, so what is
found does not depend on a database's collation or on what it takes for a word.

A run's labels stand far apart in `run_labels`, each in a page of its own, and writing them takes
several times as long as the run itself. So they follow a little later, those of many runs at once;
until then the run is in `unlabelled`. Whoever looks for labels has them follow first: see
`api.settling`.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    CursorResult,
    Select,
    bindparam,
    delete,
    exists,
    func,
    select,
    true,
)
from sqlalchemy.exc import IntegrityError

from api.tables import LABELS, RUNS, UNLABELLED
from api.upserts import INSERT
from carbon.schema import RunReport

MAX_WORDS = 200
"""Of one run; what comes after is not found by its words."""

SETTLED_TOGETHER = 1000
"""How many runs' labels are written in one transaction at most."""

_LONGEST_WORD = 64

# PostgreSQL's index entries hold at most 2,704 bytes, so a longer label stands for itself by hash.
_LONGEST_LABEL = 200

# Names of projects, hosts and accelerators are the same in report after report.
_KEPT = 4096

_Key = tuple[str, datetime, UUID]
_Changes = Iterable[tuple[UUID, Mapping[str, Any] | None, Mapping[str, Any] | None]]
"""A run, `labels` and `started_at` of its row as it was, and the same as they are from now on."""
_DELETE = delete(LABELS).where(*(column == bindparam(column.name) for column in LABELS.primary_key))

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Return the words of a text, in small letters: runs of letters and digits."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return [word[:_LONGEST_WORD] for word in _WORD.findall(plain)]


def word_label(word: str) -> str:
    """Return the label of a run that has this word in one of its texts."""
    return _label("word", word)


def tag_label(text: str) -> str:
    """Return the label of a run that has the tag: its key, or `key:value`."""
    return _label("tag", text)


def host_label(hostname: str) -> str:
    """Return the label of a run that ran on this host, in whatever case its name is written."""
    return _label("host", hostname.strip().casefold())


def gpu_label(model: str) -> str:
    """Return the label of a run that used this model of accelerator, in whatever case."""
    return _label("gpu", model.strip().casefold())


def user_label(name: str) -> str:
    """Return the label of a run that this user ran."""
    return _label("user", name)


@dataclass(frozen=True)
class _Named:
    """What of a run can be looked for."""

    texts: tuple[str | None, ...]
    tags: Mapping[str, str]
    config: Mapping[str, Any]
    user: str | None
    hosts: list[str]
    models: set[str]


def labels_of(report: RunReport) -> list[str]:
    """Return the labels of a run, sorted."""
    devices = [device for node in report.nodes for device in node.devices]
    return _labels_of(
        _Named(
            texts=(report.project, report.study, report.name, report.strategy),
            tags=report.tags,
            config=report.config,
            user=report.user,
            hosts=[node.hostname for node in report.nodes],
            models={device.name for device in devices if device.name},
        )
    )


def labels_of_row(row: Mapping[str, Any]) -> list[str]:
    """Return the same from a run's row, where nodes are as JSON: a third of the time."""
    devices = [device for node in row["nodes"] for device in node["devices"]]
    return _labels_of(
        _Named(
            texts=(row["project"], row["study"], row["name"], row["strategy"]),
            tags=row["tags"],
            config=row["config"],
            user=row["user"],
            hosts=[node["hostname"] for node in row["nodes"]],
            models={device["name"] for device in devices if device.get("name")},
        )
    )


def follow(connection: Connection, changes: _Changes) -> None:
    """Remove the labels that runs no longer have, and note the runs that have new ones.

    Only differences matter: the reports of a run that goes on have the same labels.

    Args:
        connection: in the transaction that writes the runs' rows, after it has.
        changes: of each run, None before for a new one, None after for one that is removed.
    """
    gone: set[_Key] = set()
    renamed = []
    for run_id, held, new in changes:
        if held is None and new is not None:
            renamed.append(run_id)
            continue
        before, after = _keys(run_id, held), _keys(run_id, new)
        if after - before:
            gone |= before  # All of them: so that whoever writes its labels finds none there.
            renamed.append(run_id)
        else:
            gone |= before - after
    if gone:
        connection.execute(_DELETE, _parameters(gone))
    if renamed:
        statement = _NOTE[connection.dialect.name]
        connection.execute(statement, [{"run_id": run_id} for run_id in sorted(renamed)])


def settle(connection: Connection) -> int:
    """Write the labels of some runs that wait for them; return of how many, 0 if none waits.

    Args:
        connection: in a transaction that writes from its beginning.
    """
    if connection.dialect.name == "sqlite":
        # Nobody else writes. No row comes out of the database: the driver gives its turn in Python
        # away for each of them.
        connection.execute(_INSERT_NEXT)
        return connection.execute(_DELETE_NEXT).rowcount
    run_ids = connection.execute(_NEXT).scalars().all()
    if run_ids:
        these = {"run_ids": run_ids}
        # Held first: what these runs are called must not change meanwhile.
        connection.execute(_HELD, these)
        # Another server may have written some while this one waited to hold them.
        still_waiting = connection.execute(_STOP_WAITING, these).scalars().all()
        write(connection, still_waiting)
    return len(run_ids)


def write(connection: Connection, run_ids: Collection[UUID]) -> None:
    """Write the labels of runs that are held, those that are not there already."""
    if connection.dialect.name == "postgresql":
        # To look for each label takes it half as long again, and as a rule none is there.
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(_INSERT_ALL["postgresql"], {"run_ids": run_ids})
            return
    connection.execute(_INSERT_MISSING[connection.dialect.name], {"run_ids": run_ids})


def rewrite(connection: Connection, changes: _Changes) -> None:
    """Write the labels that differ, at once: one of the twenty of a run, say.

    Args:
        connection: in a transaction in which nobody else writes.
        changes: of runs that are there, whose rows have changed already.
    """
    nameless, gone, come = [], set[_Key](), set[_Key]()
    for run_id, held, new in changes:
        before, after = _keys(run_id, held), _keys(run_id, new)
        if before:
            gone |= before - after
            come |= after - before
        else:
            nameless.append(run_id)
    for statement, keys in ((_DELETE, gone), (_ADD[connection.dialect.name], come)):
        if keys:
            connection.execute(statement, _parameters(keys))
    if nameless:
        write(connection, nameless)


def waiting(connection: Connection) -> CursorResult[Any]:
    """Return the labels that are still to be written, each with `started_at` and `run_id`."""
    return connection.execute(_WAITING[connection.dialect.name])


def _keys(run_id: UUID, values: Mapping[str, Any] | None) -> set[_Key]:
    if values is None:
        return set()
    return {(label, values["started_at"], run_id) for label in values["labels"] or []}


def _parameters(keys: set[_Key]) -> list[dict[str, Any]]:
    return [dict(zip(LABELS.primary_key.columns.keys(), key, strict=True)) for key in sorted(keys)]


def _insert(insert: Any, unpack: Any, run_ids: Any) -> Any:
    """Return the statement that takes labels over from the rows of these runs.

    The database unpacks them by itself: that is several times as quick as to send each label.
    """
    found = _unpacked(unpack).where(RUNS.c.run_id.in_(run_ids))
    columns = LABELS.primary_key.columns.keys()
    in_order = found.order_by(*found.selected_columns)
    return insert(LABELS).from_select(columns, in_order)


def _waiting(unpack: Any) -> Select[Any]:
    found = _unpacked(unpack).where(RUNS.c.run_id.in_(select(UNLABELLED.c.run_id)))
    is_there = [
        column == wanted
        for column, wanted in zip(LABELS.primary_key, found.selected_columns, strict=True)
    ]
    return found.where(~exists().where(*is_there))


def _unpacked(unpack: Any) -> Select[Any]:
    unpacked = unpack(RUNS.c.labels).table_valued("value")
    label = unpacked.c.value.label("label")
    query = select(label, RUNS.c.started_at, RUNS.c.run_id)
    return query.select_from(RUNS.join(unpacked, true()))


_UNPACKS = {"sqlite": func.json_each, "postgresql": func.json_array_elements_text}
_ADD = {name: insert(LABELS).on_conflict_do_nothing() for name, insert in INSERT.items()}
_NOTE = {name: insert(UNLABELLED).on_conflict_do_nothing() for name, insert in INSERT.items()}
_MEANT: Any = bindparam("run_ids", expanding=True)
_INSERT_ALL = {name: _insert(INSERT[name], of, _MEANT) for name, of in _UNPACKS.items()}
_INSERT_MISSING = {name: all_.on_conflict_do_nothing() for name, all_ in _INSERT_ALL.items()}
_NEXT = select(UNLABELLED.c.run_id).order_by(UNLABELLED.c.run_id).limit(SETTLED_TOGETHER)
_INSERT_NEXT = _insert(INSERT["sqlite"], func.json_each, _NEXT).on_conflict_do_nothing()
_DELETE_NEXT = delete(UNLABELLED).where(UNLABELLED.c.run_id.in_(_NEXT))
_HELD = (
    select(RUNS.c.run_id).where(RUNS.c.run_id.in_(_MEANT)).order_by(RUNS.c.run_id).with_for_update()
)
_STOP_WAITING = (
    delete(UNLABELLED).where(UNLABELLED.c.run_id.in_(_MEANT)).returning(UNLABELLED.c.run_id)
)
_WAITING = {name: _waiting(of) for name, of in _UNPACKS.items()}


def _labels_of(named: _Named) -> list[str]:
    found = {
        *(tag_label(key) for key in named.tags),
        *(tag_label(f"{key}:{value}") for key, value in named.tags.items()),
        *(host_label(hostname) for hostname in named.hosts),
        *(gpu_label(model) for model in named.models),
        *_words_of(named),
    }
    if named.user is not None:
        found.add(user_label(named.user))
    return sorted(found)


def _words_of(named: _Named) -> list[str]:
    """Return the labels of the words of what a user would remember of a run."""
    texts = [*named.texts, *named.tags.values()]
    texts += [text for text in named.config.values() if isinstance(text, str)]
    texts += [*sorted(named.models), *named.hosts]
    found: dict[str, None] = {}
    for text in texts:
        if text:
            found.update(_word_labels(text))
            if len(found) >= MAX_WORDS:
                break
    return list(found)[:MAX_WORDS]


@lru_cache(_KEPT)
def _word_labels(text: str) -> dict[str, None]:
    return dict.fromkeys(map(word_label, words(text)))


def _label(kind: str, text: str) -> str:
    label = f"{kind}:{text}"
    if len(label) <= _LONGEST_LABEL:
        return label
    return f"{kind}#{blake2b(text.encode(), digest_size=16).hexdigest()}"
