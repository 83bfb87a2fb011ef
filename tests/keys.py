"""API keys for tests, made in a ledger's database as `carbon keys create` makes them."""

from datetime import UTC, datetime

from api import keys
from api.access import Scope
from api.db import open_database, writing
from api.keys import Key


def make_key(
    url: str,
    *projects: str,
    scopes: tuple[Scope, ...] = ("ingest", "read"),
    expires_at: datetime | None = None,
) -> tuple[Key, str]:
    """Make a key of a ledger for some projects, or for all; return it and its text."""
    engine = open_database(url)
    with writing(engine) as connection:
        made = keys.create(
            connection,
            projects=projects or None,
            scopes=scopes,
            name=None,
            created_at=datetime.now(UTC),
            expires_at=expires_at,
        )
    engine.dispose()
    return made


def bearing(text: str) -> dict[str, str]:
    """Return the header that a key is sent in."""
    return {"Authorization": f"Bearer {text}"}
