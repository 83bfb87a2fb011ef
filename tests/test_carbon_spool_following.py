"""What `carbon run` reads of its processes' epochs, from the files they write."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from carbon.attribution.topology import Topology
from carbon.settings import Settings
from carbon.spool.following import FollowedEpoch, Follower
from carbon.spool.part import Ended, EpochBegan, EpochEnded, Event, Part, Started
from carbon.spool.spool import HeldFile, Spool, encode
from carbon.tracking import recorder
from carbon.tracking.metering import Sources
from carbon.tracking.recorder import Recorder
from tests.fixtures.tracking import SteadyMeter, steady_sources, wait_until
from tests.patience import PATIENCE_S
from tests.test_carbon_spool_part import STARTED

RUN_ID = UUID(STARTED.run_id)
HOST = STARTED.hostname


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


class Writer:
    """A tracked process, as far as its file goes."""

    def __init__(self, spool: Spool, **fields: object) -> None:
        self.started: Started = replace(STARTED, **fields)  # type: ignore[arg-type]
        file = spool.open_part(RUN_ID, self.started.part_name)
        self.file: HeldFile = file
        self.say(self.started)

    @property
    def name(self) -> str:
        return self.started.part_name

    def say(self, *events: Event) -> None:
        self.file.append(encode(list(events)))

    def epoch(self, index: int, began_s: float, ended_s: float) -> FollowedEpoch:
        """Say that an epoch has ended, and return what is to be read of it."""
        self.say(EpochEnded(index, ended_s - began_s, None, {}, began_s))
        return FollowedEpoch(self.name, index, began_s, ended_s)


@pytest.fixture
def follower(spool: Spool) -> Follower:
    return Follower(spool, RUN_ID, HOST)


def test_every_epoch_is_read_once(spool: Spool, follower: Follower) -> None:
    assert follower.poll() == []
    writer = Writer(spool)
    assert follower.poll() == []
    first = writer.epoch(0, 10, 20)
    assert follower.poll() == [first]
    assert follower.poll() == []
    # Said again, with its energy.
    writer.say(EpochEnded(0, 10.0, 5.0, {}, 10.0))
    second = writer.epoch(1, 20, 30)
    assert follower.poll() == [second]


def test_a_line_that_is_half_written_is_read_when_it_is_whole(
    spool: Spool, follower: Follower
) -> None:
    writer = Writer(spool)
    line = encode([EpochEnded(0, 10.0, None, {}, 10.0)])
    writer.file.append(line[:30])
    assert follower.poll() == []
    writer.file.append(line[30:])
    assert [epoch.index for epoch in follower.poll()] == [0]


def test_a_file_that_was_rewritten_says_nothing_twice(spool: Spool, follower: Follower) -> None:
    writer = Writer(spool)
    said = [writer.epoch(0, 10, 20), writer.epoch(1, 20, 30)]
    writer.say(EpochBegan(2, 30.0))
    assert follower.poll() == said
    part = Part.replay(
        [writer.started, *(EpochEnded(i, 10.0, None, {}, 10.0 + 10 * i) for i in range(2))],
        is_alive=True,
    )
    assert part is not None
    part.apply(EpochBegan(2, 30.0))
    writer.file.replace(encode(part.events()))
    assert follower.poll() == []
    assert follower.open_since_s() == [30.0]
    assert follower.poll() == []
    third = writer.epoch(2, 30, 40)
    assert follower.poll() == [third]


def test_an_epoch_goes_on_until_it_has_ended_or_its_process_has(
    spool: Spool, follower: Follower
) -> None:
    writer = Writer(spool)
    writer.say(EpochBegan(0, 10.0))
    follower.poll()
    assert follower.open_since_s() == [10.0]
    writer.epoch(0, 10, 20)
    follower.poll()
    assert follower.open_since_s() == []
    writer.say(EpochBegan(1, 20.0))
    follower.poll()
    writer.file.close()
    follower.poll()
    assert follower.open_since_s() == []


def test_of_the_ranks_the_lowest_counts(spool: Spool, follower: Follower) -> None:
    zero, one = Writer(spool, rank=0, pid=1), Writer(spool, rank=1, pid=2)
    one.say(EpochBegan(0, 10.0))
    zero.say(EpochBegan(0, 10.0))
    follower.poll()
    one.epoch(0, 10, 20)
    assert follower.poll() == []
    said = zero.epoch(0, 10, 20)
    assert follower.poll() == [said]


def test_a_rank_that_is_heard_of_first_takes_no_epoch_from_the_lowest(
    spool: Spool, follower: Follower
) -> None:
    first, second = Writer(spool, rank=0, pid=1), Writer(spool, rank=1, pid=2)
    early = second.epoch(0, 10.0, 11.1)  # The lowest one has not said yet that it began.
    assert follower.poll() == [early]
    own = [first.epoch(0, 10.0, 11.0), first.epoch(1, 11.0, 12.0)]
    second.epoch(1, 11.1, 12.1)
    assert follower.poll() == own


def test_of_ranks_that_note_no_epochs_none_is_waited_for(spool: Spool, follower: Follower) -> None:
    Writer(spool, rank=0, pid=1)
    said = Writer(spool, rank=1, pid=2).epoch(0, 10, 20)
    assert follower.poll() == [said]


def test_epochs_at_the_same_time_share_nothing(spool: Spool, follower: Follower) -> None:
    """Two trials of a search at once: energy is counted once, for the epoch that ended first."""
    one, two = Writer(spool, pid=1), Writer(spool, pid=2)
    two.epoch(0, 12, 24)
    first = one.epoch(0, 10, 20)
    assert follower.poll() == [first]
    assert follower.poll() == []
    later = two.epoch(1, 24, 30)
    assert follower.poll() == [later]


def test_what_is_not_of_this_host_or_was_there_before_is_left_out(spool: Spool) -> None:
    earlier = Writer(spool, pid=1)
    follower = Follower(spool, RUN_ID, HOST)
    earlier.epoch(0, 10, 20)
    Writer(spool, pid=2, hostname="elsewhere").epoch(0, 10, 20)
    Writer(spool, pid=3, is_launcher=True).epoch(0, 10, 20)
    assert follower.poll() == []


def test_a_damaged_file_does_no_harm(spool: Spool, follower: Follower) -> None:
    with ExitStack() as stack:
        garbage = spool.open_part(RUN_ID, "garbage")
        stack.callback(garbage.close)
        garbage.append('{"kind":"epoch"}\n')
        writer = Writer(spool)
        writer.file.append('{"kind":"epoch","index":0\n')
        writer.file.append('{"kind":"epoch","index":"x"\n')
        said = writer.epoch(0, 10, 20)
        assert follower.poll() == [said]


@pytest.fixture
def launcher(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """The recorder of a `carbon run` that reads a GPU of 300 W and keeps few readings."""
    monkeypatch.setattr(recorder, "FOLLOWED_KEPT_S", 0.2)
    began_s = time.monotonic()
    started = replace(STARTED, is_launcher=True, began_s=began_s)
    sources = steady_sources([300.0], None, None)
    running = Recorder(started, began_s, settings, Topology(HOST), sources)
    running.start()
    yield running
    running.stop("completed", time.monotonic())
    assert running.delivered.wait(PATIENCE_S)


def test_an_epoch_that_lasts_longer_than_readings_are_kept_is_measured(
    launcher: Recorder, settings: Settings
) -> None:
    spool = Spool(settings.spool_dir)
    writer = Writer(spool)
    began_s = time.monotonic()
    writer.say(EpochBegan(0, began_s))
    time.sleep(2.0)
    ended_s = time.monotonic()
    writer.epoch(0, began_s, ended_s)
    wait_until(lambda: launcher_part(spool).measured != {})
    writer.say(Ended("completed", 2.0))
    writer.file.close()
    measured = launcher_part(spool).measured[writer.name, 0]
    assert measured.energy_j == pytest.approx(300 * (ended_s - began_s), rel=1e-3)


def launcher_part(spool: Spool) -> Part:
    return next(part for part in spool.parts(RUN_ID) if part.started.is_launcher)


def test_what_carbon_run_is_about_to_claim_is_left_to_it(settings: Settings) -> None:
    spool = Spool(settings.spool_dir)
    held_back = spool.hold_back(RUN_ID)
    meters: list[SteadyMeter] = []

    def accelerators() -> list[SteadyMeter]:
        meters.append(SteadyMeter("gpu", 300.0, "GPU-0"))
        return meters[-1:]

    began_s = time.monotonic()
    started = replace(STARTED, began_s=began_s)
    sources = Sources(accelerators, list)
    inner = Recorder(started, began_s, settings, Topology(HOST), sources)
    inner.start()
    wait_until(lambda: spool.part_files(RUN_ID) != [])
    time.sleep(0.2)
    assert meters == []
    held_back.remove()
    wait_until(lambda: meters != [])
    inner.stop("completed", time.monotonic())
    assert inner.delivered.wait(PATIENCE_S)
