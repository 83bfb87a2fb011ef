"""Labels: what a run can be found by and may have several of, such as tags, hosts and words.

A label is a text, `host:node-1`. Both databases look it up by nothing but equality, so what is
found does not depend on a database's collation or on what it takes for a word.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, func, select, true
from sqlalchemy.dialects import postgresql, sqlite

from api.tables import LABELS, RUNS
from carbon.schema import RunReport

MAX_WORDS = 200
"""Of one run; what comes after is not found by its words."""

_LONGEST_WORD = 64

# PostgreSQL's index entries hold at most 2,704 bytes, so a longer label stands for itself by hash.
_LONGEST_LABEL = 200

# Names of projects, hosts and accelerators are the same in report after report.
_KEPT = 4096

_Key = tuple[str, datetime, UUID]
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


def labels_of(report: RunReport) -> list[str]:
    """Return the labels of a run, sorted."""
    models = {device.name for node in report.nodes for device in node.devices if device.name}
    found = {
        *(tag_label(key) for key in report.tags),
        *(tag_label(f"{key}:{value}") for key, value in report.tags.items()),
        *(host_label(node.hostname) for node in report.nodes),
        *(gpu_label(model) for model in models),
        *_words_of(report, models),
    }
    return sorted(found)


def follow(
    connection: Connection,
    changes: Iterable[tuple[UUID, Mapping[str, Any] | None, Mapping[str, Any] | None]],
) -> None:
    """Bring `run_labels` from what it holds of runs to what it is to hold.

    Only the differences are written: the reports of a run that goes on have the same labels.

    Args:
        connection: in the transaction that writes the runs' rows, after it has.
        changes: a run, `labels` and `started_at` of its row as it was, None for a new run, and the
            same as they are from now on, None for a run that is removed.
    """
    gone: set[_Key] = set()
    renamed = []
    for run_id, held, new in changes:
        if held is None and new is not None:
            renamed.append(run_id)
            continue
        before, after = _keys(run_id, held), _keys(run_id, new)
        gone |= before - after
        if after - before:
            renamed.append(run_id)
    if gone:
        connection.execute(_DELETE, _parameters(gone))
    if renamed:
        statement = _INSERT_MISSING[connection.dialect.name]
        connection.execute(statement, {"renamed": renamed})


def _keys(run_id: UUID, values: Mapping[str, Any] | None) -> set[_Key]:
    if values is None:
        return set()
    return {(label, values["started_at"], run_id) for label in values["labels"] or []}


def _parameters(keys: set[_Key]) -> list[dict[str, Any]]:
    return [dict(zip(LABELS.primary_key.columns.keys(), key, strict=True)) for key in sorted(keys)]


def _insert_missing(insert: Any, unpack: Any) -> Any:
    """Return the statement that takes labels over from the rows of runs.

    The database unpacks them by itself: that is several times as quick as to send each label.
    """
    unpacked = unpack(RUNS.c.labels).table_valued("value")
    label = unpacked.c.value
    found = (
        select(label, RUNS.c.started_at, RUNS.c.run_id)
        .select_from(RUNS.join(unpacked, true()))
        .where(RUNS.c.run_id.in_(bindparam("renamed", expanding=True)))
        .order_by(label, RUNS.c.started_at, RUNS.c.run_id)
    )
    columns = LABELS.primary_key.columns.keys()
    return insert(LABELS).from_select(columns, found).on_conflict_do_nothing()


_INSERT_MISSING = {
    "sqlite": _insert_missing(sqlite.insert, func.json_each),
    "postgresql": _insert_missing(postgresql.insert, func.json_array_elements_text),
}


def _words_of(report: RunReport, models: Iterable[str]) -> list[str]:
    """Return the labels of the words of what a user would remember of a run."""
    texts = [report.project, report.study, report.name, report.strategy]
    texts += report.tags.values()
    texts += [text for text in report.config.values() if isinstance(text, str)]
    texts += sorted(models)
    texts += [node.hostname for node in report.nodes]
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
