"""API keys: making, finding and revoking them.

A key is `cl_<id>_<secret>`. The id is public, names the key in lists and logs, and is what it is
looked up by. Of the whole only the SHA-256 is stored: a secret of 238 random bits needs no slow
hash, for nobody can try them all.
"""

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, inspect, select, update

from api.access import Access, Scope
from api.engine import engine_of, file_of
from api.tables import KEYS

_ID_LENGTH = 10
_SECRET_LENGTH = 40
_KEY = re.compile(rf"cl_([0-9a-z]{{{_ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}}")
_SECRET = re.compile(rf"(cl_[0-9a-z]{{{_ID_LENGTH}}}_)[0-9A-Za-z]+")


@dataclass(frozen=True)
class Key:
    """A key as it is stored.

    Attributes:
        projects: that it is for; None for all, also those to come.
        expires_at: from when on it is not accepted any more.
        last_used_at: to about a minute.
    """

    id: str
    name: str | None
    digest: str
    projects: tuple[str, ...] | None
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_of(self, text: str) -> bool:
        """Tell whether this is the key that was sent; takes as long whatever was."""
        return hmac.compare_digest(self.digest, _digest(text))

    def access(self) -> Access:
        """Return what requests with it may do."""
        projects = None if self.projects is None else frozenset(self.projects)
        named = "" if self.name is None else f" ({self.name})"
        return Access(projects, frozenset(self.scopes), f"key {self.id}{named}")


def create(
    connection: Connection,
    *,
    projects: Sequence[str] | None,
    scopes: Sequence[Scope],
    name: str | None,
    created_at: datetime,
    expires_at: datetime | None,
) -> tuple[Key, str]:
    """Make a key; return it, and its text, which cannot be had again."""
    key_id = _random(string.digits + string.ascii_lowercase, _ID_LENGTH)
    text = f"cl_{key_id}_{_random(string.digits + string.ascii_letters, _SECRET_LENGTH)}"
    key = Key(
        key_id,
        name,
        _digest(text),
        None if projects is None else tuple(projects),
        tuple(scopes),
        created_at,
        expires_at,
        revoked_at=None,
        last_used_at=None,
    )
    connection.execute(insert(KEYS).values(vars(key)))
    return key, text


def every(connection: Connection) -> list[Key]:
    """Return all keys, also those that are not accepted any more, the oldest first."""
    rows = connection.execute(select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id)).mappings()
    return [_key(dict(row)) for row in rows]


def revoke(connection: Connection, key_id: str, now: datetime) -> Key | None:
    """Take a key back, for good; return it as it was before, or None where there is none."""
    query = select(KEYS).where(KEYS.c.id == key_id).with_for_update()
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    if row["revoked_at"] is None:
        connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(revoked_at=now))
    return _key(dict(row))


def note_use(connection: Connection, key_id: str, now: datetime) -> None:
    """Write down that a key was used."""
    connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(last_used_at=now))


def ask_for_one(held: Iterable[Key]) -> bool:
    """Tell whether a server with these keys asks for one.

    One that has expired counts: nothing is opened by the time that passes.
    """
    return any(key.revoked_at is None for key in held)


def are_asked_for(url_text: str) -> bool:
    """Tell whether a server on a ledger would ask for keys; a ledger that is not there is not made.

    Raises:
        SettingsError: what cannot be the URL of a ledger.
        DBAPIError: the database cannot be read.
    """
    engine = engine_of(url_text)
    try:
        path = file_of(engine.url)
        if path is not None and not path.exists():
            return False
        with engine.begin() as connection:
            return inspect(connection).has_table(KEYS.name) and ask_for_one(every(connection))
    finally:
        engine.dispose()


def id_in(text: str) -> str | None:
    """Return the id of a text that has the form of a key, else None."""
    found = _KEY.fullmatch(text)
    return found[1] if found else None


def masked(text: str) -> str:
    """Return a text with a mask in place of the secret of every key in it."""
    return _SECRET.sub(r"\1***", text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _key(row: dict[str, Any]) -> Key:
    projects, scopes = row.pop("projects"), row.pop("scopes")
    return Key(**row, projects=None if projects is None else tuple(projects), scopes=tuple(scopes))
