"""Crossed budgets are noticed once and told of until somebody has heard."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from api import budgets, prices, reports
from api.budgets import MOST_ATTEMPTS
from api.crossings import Watch, pause_after, send
from api.db import open_database, writing
from api.outbound import DeliveryError
from api.writing import Writing
from carbon.rest.client import Client
from carbon.schema import Budget, BudgetCrossed, BudgetTerms, Price, PriceTerms, RunReport
from tests.factories import make_report
from tests.fixtures.api import serving
from tests.fixtures.ledgers import Ledgers, empty

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
URL = "https://hooks.example.org/secret"


class Receiver:
    """Takes the place of whoever is behind the webhook."""

    def __init__(self, *failures: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self.calls = 0
        self._failures = list(failures)
        self._one_at_a_time = threading.Lock()

    def __call__(
        self, url: str, document: dict[str, Any], *, allow_local: bool, timeout_s: float
    ) -> None:
        with self._one_at_a_time:
            self.calls += 1
            assert (url, allow_local) == (URL, False)
            if self._failures:
                raise DeliveryError(self._failures.pop(0))
            self.heard.append(document)


@pytest.fixture(scope="module")
def module_engine(module_ledgers: Ledgers) -> Iterator[Engine]:
    opened = open_database(module_ledgers.url())
    yield opened
    opened.dispose()


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    yield module_engine
    empty(module_engine)


def put(engine: Engine, now: datetime = NOW, **fields: Any) -> None:
    values = {"quantity": "energy_kwh", "limit": 1.0, "period": "month", "webhook_url": URL}
    with writing(engine) as connection:
        terms = BudgetTerms.model_validate(values | fields)
        budgets.put(connection, "digits", "b", terms, now, "ann")


def deliver(engine: Engine, gpu_energy_kwh: float, started_at: datetime = NOW) -> RunReport:
    report = make_report(gpu_energy_kwh=gpu_energy_kwh, started_at=started_at)
    with writing(engine) as connection:
        reports.store(connection, [report])
    return report


def read(engine: Engine, now: datetime = NOW) -> Budget:
    with engine.begin() as connection:
        row = budgets.find(connection, "digits", "b")
        assert row is not None
        tariff = prices.tariff(connection, "digits", None)
        days = budgets.period_of(row, now.date())
        return budgets.standing(connection, row, tariff, days, now)


def progress(engine: Engine) -> str:
    webhook = read(engine).webhook
    assert webhook is not None
    return webhook.progress


def tell(engine: Engine, receiver: Receiver, now: datetime = NOW) -> None:
    send(engine, now, allow_local=False, post=receiver)


def test_a_crossing_is_told_once(engine: Engine) -> None:
    watch, receiver = Watch(engine, None), Receiver()
    put(engine)
    deliver(engine, 0.9)
    watch.look(NOW)
    tell(engine, receiver)
    assert (receiver.calls, progress(engine)) == (0, "idle")
    deliver(engine, 0.2)
    watch.look(NOW + timedelta(seconds=2))
    assert progress(engine) == "waiting"
    for seconds in (2, 4, 1000):
        deliver(engine, 0.5)
        watch.look(NOW + timedelta(seconds=seconds))
        Watch(engine, None).look(NOW + timedelta(seconds=seconds))  # After a restart.
        tell(engine, receiver, NOW + timedelta(seconds=seconds))
    (heard,) = receiver.heard
    event = BudgetCrossed.model_validate(heard)
    assert (event.project, event.budget, event.limit) == ("digits", "b", 1.0)
    assert (event.spent, event.runs, event.runs_unknown) == (1.106, 2, 0)
    assert event.crossed_at == NOW + timedelta(seconds=2)
    assert read(engine).crossed_at == event.crossed_at
    assert progress(engine) == "delivered"


def test_of_many_servers_one_notices_and_one_tells(engine: Engine) -> None:
    put(engine)
    deliver(engine, 5.0)
    receiver = Receiver()

    def serve(_: int) -> None:
        Watch(engine, None).look(NOW)
        tell(engine, receiver)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(serve, range(8)))
    tell(engine, receiver, NOW + timedelta(days=1))
    assert receiver.calls == 1


def test_it_is_tried_again_later_and_later_with_the_same_message(engine: Engine) -> None:
    receiver = Receiver("answered 500", "not within 5 s")
    put(engine)
    deliver(engine, 5.0)
    Watch(engine, None).look(NOW)
    tell(engine, receiver)
    tell(engine, receiver, NOW + timedelta(seconds=9))
    webhook = read(engine).webhook
    assert webhook is not None
    assert (webhook.progress, webhook.attempts, webhook.error) == ("retrying", 1, "answered 500")
    assert webhook.next_attempt_at == NOW + timedelta(seconds=10)
    assert (webhook.host, "secret" in webhook.model_dump_json()) == ("hooks.example.org", False)
    for seconds in (10, 29, 30, 100):
        tell(engine, receiver, NOW + timedelta(seconds=seconds))
    assert (receiver.calls, len(receiver.heard)) == (3, 1)
    webhook = read(engine).webhook
    assert webhook is not None
    assert (webhook.progress, webhook.error) == ("delivered", None)
    assert webhook.delivered_at == NOW + timedelta(seconds=30)


def test_it_is_given_up_after_about_a_day_until_the_webhook_is_another(engine: Engine) -> None:
    receiver = Receiver(*["nobody there"] * MOST_ATTEMPTS)
    put(engine)
    deliver(engine, 5.0)
    Watch(engine, None).look(NOW)
    moment = NOW
    for attempt in range(1, MOST_ATTEMPTS + 10):
        tell(engine, receiver, moment)
        moment += pause_after(attempt)
    assert (receiver.calls, progress(engine)) == (MOST_ATTEMPTS, "given_up")
    given_up_after = sum(map(pause_after, range(1, MOST_ATTEMPTS)), start=timedelta())
    assert timedelta(hours=18) < given_up_after < timedelta(hours=30)
    put(engine, now=moment)
    assert progress(engine) == "given_up"
    put(engine, now=moment, webhook_url=None)
    put(engine, now=moment)
    tell(engine, receiver, moment)
    assert (len(receiver.heard), progress(engine)) == (1, "delivered")


def test_a_server_that_dies_while_it_tells_leaves_it_to_others(engine: Engine) -> None:
    put(engine)
    deliver(engine, 5.0)
    Watch(engine, None).look(NOW)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(engine, NOW, allow_local=False, post=die)
    receiver = Receiver()
    tell(engine, receiver, NOW + timedelta(seconds=5))
    assert receiver.calls == 0  # It may be telling still.
    tell(engine, receiver, NOW + timedelta(seconds=10))
    assert len(receiver.heard) == 1


def test_another_limit_and_another_period_can_be_crossed_anew(engine: Engine) -> None:
    watch, receiver = Watch(engine, None), Receiver()
    put(engine)
    deliver(engine, 1.5)
    watch.look(NOW)
    tell(engine, receiver)
    put(engine, limit=2.0)
    assert read(engine).crossed_at is None
    watch.look(NOW)
    tell(engine, receiver)
    assert len(receiver.heard) == 1
    deliver(engine, 1.0)
    watch.look(NOW)
    tell(engine, receiver)
    assert [event["limit"] for event in receiver.heard] == [1.0, 2.0]
    april = NOW + timedelta(days=30)
    deliver(engine, 3.0, started_at=april)
    watch.look(april)
    tell(engine, receiver, april)
    assert [event["from_day"] for event in receiver.heard] == [
        "2026-03-01",
        "2026-03-01",
        "2026-04-01",
    ]


def test_reports_that_come_late_cross_the_period_before(engine: Engine) -> None:
    watch, receiver = Watch(engine, None), Receiver()
    put(engine)
    april = NOW + timedelta(days=30)
    watch.look(april)
    deliver(engine, 3.0)
    deliver(engine, 3.0, started_at=NOW - timedelta(days=30))  # From before there was the budget.
    watch.look(april + timedelta(seconds=2))
    tell(engine, receiver, april + timedelta(seconds=2))
    assert [event["from_day"] for event in receiver.heard] == ["2026-03-01"]


def test_what_the_totals_do_not_show_is_noticed_within_a_minute(engine: Engine) -> None:
    default = Price(project=None, valid_from=None, price_per_kwh=0.1, currency="EUR", source=None)
    watch = Watch(engine, default)
    put(engine, quantity="cost", currency="EUR")
    report = deliver(engine, 2.0, started_at=NOW - timedelta(days=100))
    watch.look(NOW)
    moved = report.model_copy(update={"started_at": NOW, "ended_at": None, "seq": 1})
    with writing(engine) as connection:
        reports.store(connection, [moved])
        dear = {"price_per_kwh": 5.0, "currency": "EUR"}
        prices.put_price(connection, "digits", NOW.date(), PriceTerms.model_validate(dear), "ann")
    watch.look(NOW + timedelta(seconds=61))
    assert read(engine).crossed_at == NOW + timedelta(seconds=61)


def test_a_correction_takes_the_state_back_but_not_the_history(engine: Engine) -> None:
    put(engine)
    report = deliver(engine, 2.0)
    Watch(engine, None).look(NOW)
    with writing(engine) as connection:
        removing = Writing(connection)
        removing.hold([report.run_id])
        removing.delete(report.run_id)
        removing.finish()
    found = read(engine)
    assert (found.state, found.spent, found.crossed_at) == ("ok", 0.0, NOW)


def test_a_removed_budget_is_not_told_of(engine: Engine) -> None:
    put(engine)
    deliver(engine, 2.0)
    Watch(engine, None).look(NOW)
    with writing(engine) as connection:
        assert budgets.remove(connection, "digits", "b", "ann")
    receiver = Receiver()
    tell(engine, receiver)
    put(engine)
    tell(engine, receiver)
    assert receiver.calls == 0


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A real receiver."""
    heard: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
        server.shutdown()
        thread.join()


def test_two_workers_post_one_message_soon_after_the_report(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    allowed = {"CARBON_WEBHOOKS_ALLOW_LOCAL": "true"}
    with (
        listening() as (url, heard),
        serving(tmp_path, "--workers", "2", **allowed) as server,
        Client(server.settings) as client,
    ):
        terms = BudgetTerms(
            quantity="energy_kwh",
            limit=1.0,
            period="dates",
            from_day=now.date() - timedelta(days=1),
            until_day=now.date(),
            webhook_url=url,
        )
        client.accounting.put_budget("digits", "b", terms)
        client.put_run(make_report(started_at=now, gpu_energy_kwh=2.0))
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = client.accounting.budget("digits", "b")
            assert found.webhook is not None
            if found.webhook.progress == "delivered":
                break
            time.sleep(0.1)
        assert found.webhook is not None
        assert found.webhook.progress == "delivered"
        assert found.crossed_at is not None
    assert [event["spent"] for event in heard] == [2.003]
