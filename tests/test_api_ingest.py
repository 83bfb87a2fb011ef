"""What comes at the same time shares a transaction, also where the same deliver again and again."""

import asyncio
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine

from api import ingest, reports
from api.access import UNLIMITED
from api.db import writing
from api.ingest import Ingest, Outcome
from tests.factories import make_report

FOR_EVER_S = 3600.0
"""No test waits for as long: it would fail."""


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many reports shared each transaction so far."""
    counts: list[int] = []
    store = reports.store

    def counted(connection: Any, delivered: Any, accesses: Any) -> Any:
        counts.append(len(delivered))
        return store(connection, delivered, accesses)

    monkeypatch.setattr(reports, "store", counted)
    return counts


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Keep the next transaction waiting until this is set."""
    go = Event()

    def held(engine: Engine) -> Any:
        go.wait()
        return writing(engine)

    monkeypatch.setattr(ingest, "writing", held)
    yield go
    go.set()


async def deliver(queue: Ingest) -> None:
    outcomes: list[Outcome] = await queue.store([make_report()], UNLIMITED)
    assert [type(outcome) for outcome in outcomes] == [reports.Stored]


def test_the_same_who_deliver_again_share_a_transaction(
    engine: Engine, together: list[int], hold: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LINGER_S", FOR_EVER_S)
    monkeypatch.setattr(ingest, "LONGEST_LINGER_S", FOR_EVER_S)

    async def four_again_and_again() -> None:
        queue = Ingest(engine)
        first = asyncio.create_task(deliver(queue))
        while queue._queue.qsize() or queue._thread is None:  # Until it is being written.
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(deliver(queue)) for _ in range(3)]
        await asyncio.sleep(0)
        hold.set()
        await first
        # The first one again, and then all of them, one a little after the other.
        await asyncio.gather(*others, deliver(queue))
        later = []
        for _ in range(4):
            later.append(asyncio.create_task(deliver(queue)))
            await asyncio.sleep(0.05)
        await asyncio.gather(*later)
        queue.close()

    asyncio.run(four_again_and_again())
    assert together == [1, 4, 4]


def test_one_who_delivers_alone_waits_for_nobody(
    engine: Engine, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LINGER_S", FOR_EVER_S)
    monkeypatch.setattr(ingest, "LONGEST_LINGER_S", FOR_EVER_S)

    async def one_after_the_other() -> None:
        queue = Ingest(engine)
        for _ in range(3):
            await deliver(queue)
        queue.close()

    asyncio.run(one_after_the_other())
    assert together == [1, 1, 1]


@pytest.mark.parametrize("endless", ["LINGER_S", "LONGEST_LINGER_S"])
def test_those_who_do_not_come_again_are_waited_for_once_and_not_long(
    endless: str, engine: Engine, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, endless, FOR_EVER_S)

    async def first_of_three_alone() -> int:
        queue = Ingest(engine)
        queue._at_once = 3
        await deliver(queue)
        queue.close()
        return queue._at_once

    assert asyncio.run(first_of_three_alone()) == 1
    assert together == [1]
