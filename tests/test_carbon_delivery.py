import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from carbon.attribution.run_id import new_run_id
from carbon.delivery.delivery import deliver
from carbon.rest.client import Client
from carbon.settings import Settings
from carbon.spool.part import Committed, Event
from carbon.spool.spool import HeldFile, Spool, encode
from tests.test_carbon_spool_part import EVENTS, STARTED


class Server:
    """An API that keeps what it is sent, or answers with `status`."""

    def __init__(self) -> None:
        self.status = 201
        self.asked = 0
        self.received: list[dict[str, object]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.status >= 300:
            return httpx.Response(self.status, json={"detail": "no"})
        report = json.loads(request.content)
        self.received.append(report)
        return httpx.Response(201, json={"run_id": report["run_id"], "seq": report["seq"]})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server, settings: Settings) -> Client:
    return Client(settings, transport=httpx.MockTransport(server))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def put(spool: Spool) -> Callable[..., tuple[UUID, HeldFile]]:
    """Put a part of a new run into the spool."""

    def put(events: list[Event], run_id: UUID | None = None) -> tuple[UUID, HeldFile]:
        run_id = run_id or new_run_id()
        held = spool.open_part(run_id, str(new_run_id()))
        fields = STARTED.__dict__ | {"run_id": str(run_id)}
        held.append(encode([type(STARTED)(**fields), *events[1:]]))
        return run_id, held

    return put


Put = Callable[..., tuple[UUID, HeldFile]]


def test_what_ended_or_was_killed_is_delivered_and_what_runs_is_left(
    spool: Spool, client: Client, server: Server, put: Put
) -> None:
    ended, held = put(EVENTS)
    killed, dropped = put(EVENTS[:-1])
    running, alive = put(EVENTS[:-1])
    held.close()
    dropped.close()
    outcome = deliver(spool, client)
    assert {report.run_id: report.status for report in outcome.delivered} == {
        ended: "completed",
        killed: "interrupted",
    }
    assert outcome.running == [running]
    assert spool.waiting() == [running]
    assert len(server.received) == 2
    alive.close()


@pytest.mark.parametrize("said", [EVENTS, []], ids=["ended", "just opened"])
def test_a_part_that_is_still_held_is_not_moved_away_from_its_writer(
    spool: Spool, client: Client, server: Server, put: Put, said: list[Event]
) -> None:
    run_id, first = put(EVENTS)
    first.close()
    held = spool.open_part(run_id, "held")
    held.append(encode(said))
    assert deliver(spool, client).running == [run_id]
    assert server.asked == 0
    held.append(encode([Committed("0123abc")]))
    held.close()
    assert [report.run_id for report in deliver(spool, client).delivered] == [run_id]


def test_delivering_again_sends_nothing_again(
    spool: Spool, client: Client, server: Server, put: Put
) -> None:
    _, held = put(EVENTS)
    held.close()
    deliver(spool, client)
    assert deliver(spool, client).delivered == []
    assert len(server.received) == 1


def test_a_run_waits_while_the_api_fails_and_arrives_unchanged(
    spool: Spool, client: Client, server: Server, put: Put
) -> None:
    run_id, held = put(EVENTS)
    held.close()
    server.status = 503
    for _ in range(3):
        outcome = deliver(spool, client)
        assert outcome.waiting == [run_id]
        assert outcome.unreachable
    server.status = 201
    (report,) = deliver(spool, client).delivered
    assert report.seq == 1, "trying again does not change the report"


@pytest.mark.parametrize(("status", "tried"), [(500, 3), (503, 1), (401, 1), (403, 3)])
def test_other_runs_are_tried_unless_the_api_is_absent(
    status: int, tried: int, spool: Spool, client: Client, server: Server, put: Put
) -> None:
    for _ in range(3):
        put(EVENTS)[1].close()
    server.status = status
    assert len(deliver(spool, client).waiting) == 3
    assert server.asked == tried


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_refused_report_is_kept_with_the_reason(
    status: int, spool: Spool, client: Client, server: Server, put: Put
) -> None:
    refused, held = put(EVENTS)
    held.close()
    server.status = status
    outcome = deliver(spool, client)
    ((run_id, reason, folder),) = outcome.rejected
    assert run_id == refused
    assert f"answered {status}: no" in reason
    assert (folder / "report.json").exists()
    assert json.loads((folder / "reason.json").read_text())["message"] == reason
    server.status = 201
    spool.take_back_rejected()
    assert [report.run_id for report in deliver(spool, client).delivered] == [refused]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_address_is_not_the_reports_fault(
    status: int, spool: Spool, client: Client, server: Server, put: Put
) -> None:
    run_id, held = put(EVENTS)
    held.close()
    server.status = status
    outcome = deliver(spool, client)
    assert outcome.waiting == [run_id]
    assert spool.rejected() == []


def test_a_later_attempt_sends_the_whole_run_with_a_higher_number(
    spool: Spool, client: Client, server: Server, put: Put
) -> None:
    run_id, held = put(EVENTS[:-1])
    held.close()
    deliver(spool, client)
    _, again = put([*EVENTS[:-1], Committed("1" * 40), EVENTS[-1]], run_id)
    again.close()
    (report,) = deliver(spool, client).delivered
    assert report.seq == 2
    assert report.cpu_energy_kwh == pytest.approx(2 * 120.0 / 3.6e6)


def test_a_part_that_makes_no_report_does_not_stop_the_others(
    spool: Spool, client: Client, put: Put
) -> None:
    fields = STARTED.__dict__ | {"spec": {"project": ""}}
    broken = new_run_id()
    held = spool.open_part(broken, "a")
    held.append(encode([type(STARTED)(**fields), *EVENTS[1:]]))
    held.close()
    good, other = put(EVENTS)
    other.close()
    outcome = deliver(spool, client)
    assert [run_id for run_id, _, _ in outcome.rejected] == [broken]
    assert [report.run_id for report in outcome.delivered] == [good]


def test_a_folder_that_is_no_run_is_left_alone(spool: Spool, client: Client) -> None:
    stranger = spool.directory / "runs" / "notes"
    stranger.mkdir(parents=True)
    empty = spool.directory / "runs" / str(new_run_id())
    empty.mkdir()
    outcome = deliver(spool, client)
    assert (outcome.delivered, outcome.rejected, outcome.waiting) == ([], [], [])
    assert stranger.exists()


def test_a_run_that_was_killed_before_it_said_anything_does_not_wait_for_ever(
    spool: Spool, client: Client, server: Server
) -> None:
    unsaid, living, unreadable = new_run_id(), new_run_id(), new_run_id()
    spool.open_part(unsaid, "part").close()
    held = spool.open_part(living, "part")
    damaged = spool.open_part(unreadable, "part")
    damaged.append("{\n")
    damaged.close()
    outcome = deliver(spool, client)
    assert outcome.running == [living]
    assert sorted(spool.waiting()) == sorted([living, unreadable])
    assert server.asked == 0
    held.close()
