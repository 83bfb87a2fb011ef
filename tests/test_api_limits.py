"""How many requests a second pass: of a key, or of an address where there are no keys."""

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.auth import Doors
from api.limits import BURST_S, Limits, sender_at
from api.problems import MEDIA_TYPE, ProblemError
from carbon.settings import Settings
from tests.fixtures.ledgers import Ledgers
from tests.keys import bearing, make_key


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def passed(limits: Limits, sender: str) -> int:
    """Ask until it is enough; return how often that was not yet so."""
    for count in range(10_000):
        try:
            limits.take(sender)
        except ProblemError:
            return count
    raise AssertionError("there is no limit")


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    clock = Clock()
    limits = Limits(10.0, clock)
    assert passed(limits, "a") == 10 * BURST_S
    assert passed(limits, "a") == 0
    clock.now_s += 1.0
    assert passed(limits, "a") == 10
    clock.now_s += 0.35
    assert passed(limits, "a") == 3
    clock.now_s += 3600.0
    assert passed(limits, "a") == 10 * BURST_S


def test_each_sender_has_a_bucket_of_its_own() -> None:
    limits = Limits(10.0, Clock())
    passed(limits, "a")
    assert passed(limits, "b") == 10 * BURST_S


@pytest.mark.parametrize(("per_s", "wait_s"), [(500.0, "1"), (1.0, "1"), (0.1, "10")])
def test_it_is_said_when_the_next_one_passes(per_s: float, wait_s: str) -> None:
    clock = Clock()
    limits = Limits(per_s, clock)
    assert passed(limits, "a") >= 1
    with pytest.raises(ProblemError) as caught:
        limits.take("a")
    assert caught.value.headers == {"Retry-After": wait_s}
    clock.now_s += float(wait_s)
    limits.take("a")


def test_nought_is_no_limit() -> None:
    with pytest.raises(AssertionError, match="there is no limit"):
        passed(Limits(0.0, Clock()), "a")


def test_however_many_senders_come_few_are_kept() -> None:
    limits = Limits(1.0, Clock())
    for number in range(11_000):
        limits.take(str(number))
    assert len(limits._buckets) == 10_000


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        (None, "192.0.2.1", False),
    ],
)
def test_a_subscribers_addresses_are_one_sender(
    one: str | None, other: str | None, is_same: bool
) -> None:
    assert (sender_at(one) == sender_at(other)) == is_same


# --------------------------------------------------------------------------------- over the wire


def statuses(client: TestClient, count: int, key: str | None = None) -> list[int]:
    headers = {} if key is None else bearing(key)
    return [client.get("/v1/summary", headers=headers).status_code for _ in range(count)]


def test_one_keys_requests_do_not_use_up_anothers(ledgers: Ledgers) -> None:
    (_, one), (_, other) = (make_key(ledgers.url()) for _ in range(2))
    with TestClient(create_app(ledgers.settings(rate_limit="0.01"))) as client:
        assert statuses(client, 3, one) == [200, 429, 429]
        # Whoever guesses uses up his own, and is told the same of a right guess.
        assert statuses(client, 2, "cl_wrong") == [401, 429]
        assert statuses(client, 2) == [429, 429]
        assert statuses(client, 2, other) == [200, 429]
        answer = client.get("/v1/summary", headers=bearing(other))
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert 90 <= int(answer.headers["retry-after"]) <= 100
        assert answer.json()["detail"].startswith("more than 0.01 requests a second; ask again in")
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("doors", "expected"),
    [(Doors("testserver"), [200, 200]), (Doors(None, True, True), [200, 429])],
    ids=["loopback", "anyone"],
)
def test_without_keys_addresses_are_limited_but_not_on_loopback(
    ledgers: Ledgers, doors: Doors, expected: list[int]
) -> None:
    with TestClient(create_app(ledgers.settings(rate_limit="0.01"), doors)) as client:
        assert statuses(client, 2) == expected


@pytest.mark.parametrize("value", ["-1", "nan", "many"])
def test_a_limit_is_a_number(value: str) -> None:
    with pytest.raises(ValueError, match="rate_limit"):
        Settings.model_validate({"rate_limit": value})
