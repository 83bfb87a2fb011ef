"""Following the parts of a run as they grow."""

from pathlib import Path

import pytest

from carbon.attribution.run_id import new_run_id
from carbon.spool.part import EpochEnded, Event, Sampled, Started, to_line
from carbon.spool.running_parts import RunningParts
from carbon.spool.spool import HeldFile, Spool, encode
from tests.test_carbon_spool_part import EVENTS, STARTED

RUN_ID = new_run_id()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def open_part(spool: Spool, name: str = "one") -> tuple[HeldFile, list[Event]]:
    fields = STARTED.__dict__ | {"run_id": str(RUN_ID)}
    return spool.open_part(RUN_ID, name), [Started(**fields), *EVENTS[1:]]


def test_what_is_followed_is_what_a_fresh_look_sees(spool: Spool) -> None:
    follower = RunningParts(spool, RUN_ID)
    assert follower.parts() == []
    held, events = open_part(spool)
    for event in events:
        held.append(encode([event]))
        assert follower.parts() == spool.parts(RUN_ID)
    other, events = open_part(spool, "two")
    other.append(encode(events[:-1]))
    assert follower.parts() == spool.parts(RUN_ID)
    assert [part.is_alive for part in follower.parts()] == [True, True]
    held.close()
    other.close()
    assert [part.is_alive for part in follower.parts()] == [False, False]
    assert [part.status for part in follower.parts()] == ["completed", "interrupted"]


def test_a_line_that_is_half_written_is_read_once_it_is_whole(spool: Spool) -> None:
    follower = RunningParts(spool, RUN_ID)
    held, events = open_part(spool)
    held.append(encode(events[:-1]))
    line = to_line(Sampled(9.0, {"cpu": 1e3}, {}, {}))
    for piece in (line[:10], line[10:]):
        held.append(piece)
        assert follower.parts()[0].sampled.at_s == 2.0
    held.append("\n")
    assert follower.parts()[0].sampled.at_s == 9.0
    held.append("no event\n" + encode([EpochEnded(1, 1.0, 2.0, {})]))
    assert set(follower.parts()[0].epochs) == {0, 1}
    held.close()


def test_a_part_that_was_rewritten_or_begun_anew_is_read_anew(spool: Spool) -> None:
    follower = RunningParts(spool, RUN_ID)
    held, events = open_part(spool)
    held.append(encode([*events[:-1], *([events[-2]] * 50)]))
    assert len(follower.parts()) == 1
    held.replace(encode([events[0], Sampled(5.0, {}, {}, {})]))
    (part,) = follower.parts()
    assert (part.sampled.at_s, part.meters) == (5.0, {})
    held.append(encode(events[:-1]))  # As after a disk that was full.
    assert follower.parts() == spool.parts(RUN_ID)
    held.close()
    held.path.unlink()
    assert follower.parts() == []
