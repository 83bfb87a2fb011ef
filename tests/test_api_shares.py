"""A run that several nodes report: whatever comes in whatever order, it is one run, once."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from carbon.rest.client import Client
from carbon.schema import RunReport
from tests.fixtures.api import serving
from tests.fixtures.ledgers import Ledgers
from tests.patience import PATIENCE_S
from tests.test_carbon_spool_shares import RUN_ID, share, whole

PATH = f"/v1/runs/{RUN_ID}"


def put(client: TestClient, report: RunReport, expected_status: int | None = None) -> int:
    answer = client.put(PATH, content=report.model_dump_json())
    assert answer.status_code == expected_status or expected_status is None, answer.text
    assert answer.is_success, answer.text
    held: int = answer.json()["seq"]
    return held


def run_at(client: TestClient) -> RunReport:
    answer = client.get(PATH)
    assert answer.status_code == 200, answer.text
    return RunReport.model_validate_json(answer.content)


def summary(client: TestClient) -> dict[str, Any]:
    answer = client.get("/v1/summary")
    document: dict[str, Any] = answer.json()
    return document


def test_two_nodes_make_one_run(api_client: TestClient) -> None:
    assert put(api_client, share("a", 0, seq=4), 201) == 4
    assert put(api_client, share("b", 1, seq=2, gpu_energy_kwh=1.0), 200) == 2
    run = run_at(api_client)
    assert (run.reporter, run.seq, run.energy_kwh) == (None, 6, 1.006)
    assert [node.hostname for node in run.nodes] == ["a", "b"]
    totals = summary(api_client)
    assert (totals["runs"], totals["energy_kwh"]) == (1, 1.006)
    (listed,) = api_client.get("/v1/runs").json()["items"]
    assert listed["energy_kwh"] == 1.006


def test_every_message_three_times_in_any_order_is_the_same_run(ledgers: Ledgers) -> None:
    messages = [
        share("a", 0, seq=1, gpu_energy_kwh=0.5, status="running", ended_at=None),
        share("a", 0, seq=3, gpu_energy_kwh=2.0),
        share("b", 1, seq=2, gpu_energy_kwh=4.0),
        whole("a", "b", seq=1),
    ]
    texts = set()
    for number, order in enumerate(list(permutations(messages))[::5]):
        with TestClient(create_app(ledgers.settings(str(number)))) as client:
            shuffled = [*order, *random.sample(order, len(order)), *order]
            for report in shuffled:
                put(client, report)
            texts.add(client.get(PATH).text)
            assert summary(client)["runs"] == 1
            assert summary(client)["energy_kwh"] == 6.006
    assert len(texts) == 1


def test_an_older_share_changes_nothing_and_is_told_so(api_client: TestClient) -> None:
    put(api_client, share("a", seq=5, gpu_energy_kwh=2.0))
    late = share("a", seq=4, gpu_energy_kwh=1.0, status="running", ended_at=None)
    for seq in (4, 5):
        assert put(api_client, late.model_copy(update={"seq": seq}), 200) == 5
    assert run_at(api_client).gpu_energy_kwh == 2.0
    assert run_at(api_client).status == "completed"


def test_a_run_that_was_read_and_is_put_back_changes_nothing(api_client: TestClient) -> None:
    put(api_client, share("a", 0))
    put(api_client, share("b", 1))
    text = api_client.get(PATH).text
    assert api_client.put(PATH, content=text).status_code == 200
    assert api_client.get(PATH).text == text


def test_a_run_read_on_one_server_can_be_put_on_another(
    api_client: TestClient, ledgers: Ledgers
) -> None:
    put(api_client, share("a", 0))
    put(api_client, share("b", 1))
    text = api_client.get(PATH).text
    with TestClient(create_app(ledgers.settings("other"))) as other:
        assert other.put(PATH, content=text).status_code == 201
        assert other.get(PATH).text == text
        # What comes late from one of the nodes is contained in it already.
        put(other, share("b", 1, seq=9))
        assert summary(other)["energy_kwh"] == 0.006


def test_a_restart_elsewhere_adds_to_what_the_first_node_drew(api_client: TestClient) -> None:
    put(api_client, whole("a", status="failed"), 201)
    put(api_client, share("b", attempts=2), 200)
    run = run_at(api_client)
    assert (run.status, run.attempts, run.energy_kwh) == ("completed", 2, 0.006)


def test_shares_that_make_no_valid_run_are_refused_and_change_nothing(
    api_client: TestClient,
) -> None:
    put(api_client, share("a", gpu_energy_kwh=8e6))
    text = api_client.get(PATH).text
    body = share("b", gpu_energy_kwh=8e6).model_dump_json()
    answer = api_client.put(PATH, content=body)
    assert answer.status_code == 422
    assert "together with the other nodes' shares" in answer.json()["detail"]
    assert api_client.get(PATH).text == text


@pytest.mark.parametrize("first_whole", [False, True])
def test_nodes_that_report_at_once_to_two_servers_all_count(
    ledgers: Ledgers, first_whole: bool
) -> None:
    hosts, rounds = 4, 4
    with (
        serving(ledgers.directory, database_url=ledgers.url()) as one,
        serving(ledgers.directory, database_url=ledgers.url()) as two,
        ThreadPoolExecutor(hosts) as pool,
    ):
        together = threading.Barrier(hosts)
        if first_whole:
            httpx.put(f"{one.url}{PATH}", content=whole("0").model_dump_json(), timeout=PATIENCE_S)

        def deliver(report: RunReport) -> tuple[int, int]:
            together.wait(PATIENCE_S)
            url = random.choice((one, two)).url
            answer = httpx.put(f"{url}{PATH}", content=report.model_dump_json(), timeout=PATIENCE_S)
            return answer.status_code, answer.json()["seq"]

        for seq in range(1, rounds + 1):
            reports = [
                share(str(rank), rank, seq=seq, gpu_energy_kwh=float(seq)) for rank in range(hosts)
            ]
            answers = list(pool.map(deliver, reports))
            created = 1 if seq == 1 and not first_whole else 0
            assert [status for status, _ in answers].count(201) == created
            assert [held for _, held in answers] == [seq] * hosts
            with Client(two.settings) as client:
                run = client.run(RUN_ID)
                assert run.gpu_energy_kwh == float(seq * hosts)
                assert len(run.nodes) == hosts
        with Client(one.settings) as client:
            assert client.summary().runs == 1
