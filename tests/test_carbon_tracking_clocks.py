from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from carbon.tracking import clocks

BOOTED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Busy:
    """Two clocks of one machine, and a process that is put aside between looking at one and the
    other, for as long as `pauses_s` say in turn."""

    def __init__(self, pauses_s: list[float]) -> None:
        self.pauses_s = pauses_s
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def now(self, tz: object) -> datetime:
        assert tz is UTC
        self.now_s += self.pauses_s.pop(0)
        return BOOTED_AT + timedelta(seconds=self.now_s)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Busy:
    machine = Busy([])
    monkeypatch.setattr("carbon.tracking.clocks.time", machine)
    monkeypatch.setattr("carbon.tracking.clocks.datetime", SimpleNamespace(now=machine.now))
    return machine


@pytest.mark.parametrize(
    ("pauses_s", "apart_s"),
    [([1e-6], 1e-6), ([0.05, 1e-6], 1e-6), ([0.02, 0.002, 0.03], 0.002)],
    ids=["at once", "the second time", "never, so the best of three"],
)
def test_both_clocks_are_read_as_one(busy: Busy, pauses_s: list[float], apart_s: float) -> None:
    busy.pauses_s = pauses_s
    moment = clocks.now()
    assert busy.pauses_s == []
    by_wall_s = (moment.at - BOOTED_AT).total_seconds()
    assert by_wall_s - moment.at_s == pytest.approx(apart_s, abs=1e-6)
