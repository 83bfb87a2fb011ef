"""The bell that wakes the recorder's thread."""

import threading
import time

from carbon.tracking.bell import Bell
from tests.patience import PATIENCE_S


def test_a_ring_before_the_wait_ends_it_at_once() -> None:
    bell = Bell()
    bell.ring()
    assert bell.wait(PATIENCE_S)


def test_rings_are_heard_once_however_many_there_were() -> None:
    bell = Bell()
    for _ in range(3):
        bell.ring()
    assert bell.wait(PATIENCE_S)
    assert not bell.wait(0)
    bell.ring()
    assert bell.wait(PATIENCE_S), "and the next one is heard again"


def test_a_ring_wakes_the_thread_that_waits() -> None:
    bell = Bell()
    heard: list[bool] = []
    waiting = threading.Thread(target=lambda: heard.append(bell.wait(PATIENCE_S)))
    waiting.start()
    time.sleep(0.05)
    bell.ring()
    waiting.join(PATIENCE_S)
    assert heard == [True]


def test_threads_that_ring_at_once_do_not_disturb_one_another() -> None:
    bell = Bell()
    faults: list[BaseException] = []

    def ring() -> None:
        try:
            for _ in range(2000):
                bell.ring()
        except BaseException as fault:  # noqa: BLE001 - to be told of by the test
            faults.append(fault)

    threads = [threading.Thread(target=ring) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        bell.wait(0.001)
    assert not faults


def test_forever_is_not_too_long() -> None:
    bell = Bell()
    bell.ring()
    assert bell.wait(float("inf"))
