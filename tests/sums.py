"""Whether what is added up of a ledger's runs is what they add up to."""

from sqlalchemy import Engine
from starlette.testclient import TestClient

from api import derived
from api.engine import snapshots_of


def sums_are_right(client: TestClient) -> bool:
    engine: Engine = client.app.state.engine  # type: ignore[attr-defined]
    with snapshots_of(engine).begin() as connection:  # Labels still follow meanwhile.
        return derived.differences(connection) == []
