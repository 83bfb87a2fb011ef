"""Delivering, reading and listing runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from carbon.schema import DeviceReport, EpochReport, NodeReport, RunPage, RunReport
from tests.factories import make_report, run_id_at
from tests.fixtures.ledgers import Ledgers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def put(client: TestClient, report: RunReport, expected_status: int = 201) -> dict[str, Any]:
    answer = client.put(f"/v1/runs/{report.run_id}", content=report.model_dump_json())
    assert answer.status_code == expected_status, answer.text
    document: dict[str, Any] = answer.json()
    return document


def page(client: TestClient, **parameters: Any) -> RunPage:
    answer = client.get("/v1/runs", params=parameters)
    assert answer.status_code == 200, answer.text
    return RunPage.model_validate_json(answer.content)


def all_pages(client: TestClient, **parameters: Any) -> list[RunPage]:
    pages = [page(client, **parameters)]
    while pages[-1].next_cursor:
        pages.append(page(client, **parameters, cursor=pages[-1].next_cursor))
    return pages


# ------------------------------------------------------------------------------------- delivering


def test_a_new_run_is_created_and_read_back_whole(api_client: TestClient) -> None:
    report = make_report(
        study="scaling-1",
        gpu_energy_kwh=0.125,
        tags={"model": "cnn"},
        config={"lr": 0.01, "batch": 64, "amp": True, "note": None, "seed": 10**30, "one": 1.0},
        software={"torch": "2.13.0"},
        git_commit="0123abc-dirty",
        metrics={"accuracy": 0.96, "diverged": float("nan")},
    )
    assert put(api_client, report) == {"run_id": str(report.run_id), "seq": 0}
    answer = api_client.get(f"/v1/runs/{report.run_id}")
    assert answer.status_code == 200
    assert answer.text == report.model_dump_json()
    assert RunReport.model_validate_json(answer.content) == report


def test_delivering_again_changes_nothing(api_client: TestClient) -> None:
    report = make_report()
    put(api_client, report)
    for _ in range(3):
        assert put(api_client, report, 200) == {"run_id": str(report.run_id), "seq": 0}
    assert len(page(api_client).items) == 1
    assert api_client.get("/v1/summary").json()["energy_kwh"] == report.energy_kwh


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 2, 1], [0, 2, 2]])
def test_the_highest_seq_is_kept_whatever_the_order(
    api_client: TestClient, order: list[int]
) -> None:
    first = make_report(status="running")
    reports = {
        seq: first.model_copy(update={"seq": seq, "duration_s": float(seq)}) for seq in (0, 1, 2)
    }
    held = -1
    for position, seq in enumerate(order):
        held = max(held, seq)
        answer = put(api_client, reports[seq], 200 if position else 201)
        assert answer == {"run_id": str(first.run_id), "seq": held}
    stored = api_client.get(f"/v1/runs/{first.run_id}").json()
    assert (stored["seq"], stored["duration_s"]) == (2, 2.0)


def test_an_equal_seq_does_not_replace_what_is_held(api_client: TestClient) -> None:
    report = make_report(seq=3, name="first")
    put(api_client, report)
    put(api_client, report.model_copy(update={"name": "second"}), 200)
    assert api_client.get(f"/v1/runs/{report.run_id}").text == report.model_dump_json()


def test_a_higher_seq_replaces_every_field(api_client: TestClient) -> None:
    begun = make_report(status="running", ended_at=None, epochs=[], nodes=[], cpu_energy_kwh=None)
    put(api_client, begun)
    ended = make_report(
        run_id=begun.run_id,
        seq=1,
        gpu_energy_kwh=1.5,
        started_at=NOON + timedelta(seconds=1),
        project="renamed",
        country_iso_code="FRA",
    )
    put(api_client, ended, 200)
    assert api_client.get(f"/v1/runs/{begun.run_id}").text == ended.model_dump_json()


def test_an_unknown_run_is_named(api_client: TestClient) -> None:
    missing = run_id_at(NOON)
    answer = api_client.get(f"/v1/runs/{missing}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"there is no run {missing} in this ledger"


# ------------------------------------------------------------------- what is read can be put again

names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=30)
trimmed = names.map(str.strip).filter(bool)

maybe_energy = st.none() | st.floats(0, 2e6).map(lambda value: round(value, 12))
numbers = st.floats(allow_nan=False, allow_infinity=False)
metrics = st.dictionaries(trimmed, st.none() | numbers, max_size=4)
configs = st.dictionaries(
    trimmed, st.none() | st.booleans() | st.integers() | numbers | names, max_size=4
)
LATEST = datetime(2026, 1, 1, tzinfo=UTC)
moments = st.datetimes(
    datetime(1, 1, 2),
    LATEST.replace(tzinfo=None),
    timezones=st.just(UTC),
)


durations = st.timedeltas(timedelta(0), timedelta(days=10_000))


@st.composite
def reports(draw: st.DrawFn) -> RunReport:
    started_at = draw(moments)
    device = DeviceReport(uuid=draw(trimmed), energy_kwh=draw(maybe_energy), note=draw(names))
    return make_report(
        run_id=run_id_at(NOON),
        project=draw(trimmed.filter(lambda name: name not in (".", ".."))),
        study=draw(st.none() | trimmed),
        strategy=draw(st.sampled_from([None, "single", "ddp", "ray-deepspeed"])),
        status=draw(st.sampled_from(["running", "completed", "failed", "interrupted"])),
        started_at=started_at,
        # Nothing is taken that ends in the future.
        ended_at=draw(st.none() | st.just(min(started_at + draw(durations), LATEST))),
        duration_s=draw(st.floats(0, 9e9)),
        gpu_energy_kwh=draw(maybe_energy),
        cpu_energy_kwh=draw(maybe_energy),
        pue=draw(st.floats(1, 1.5)),
        energy_uncertainty=draw(st.none() | st.floats(0, 2)),
        tags=draw(st.dictionaries(trimmed, names, max_size=4)),
        config=draw(configs),
        metrics=draw(metrics),
        nodes=[NodeReport(hostname=draw(trimmed), devices=[device])],
        epochs=[EpochReport(index=0, duration_s=draw(st.floats(0, 1e6)), metrics=draw(metrics))],
    )


@pytest.fixture(scope="module")
def two_servers(module_ledgers: Ledgers) -> Iterator[tuple[TestClient, TestClient]]:
    with (
        TestClient(create_app(module_ledgers.settings("one"))) as one,
        TestClient(create_app(module_ledgers.settings("two"))) as two,
    ):
        yield one, two


@given(report=reports())
def test_any_report_moves_unchanged_from_server_to_server(
    two_servers: tuple[TestClient, TestClient], report: RunReport
) -> None:
    one, two = two_servers
    path = f"/v1/runs/{report.run_id}"
    put(one, report)
    read = one.get(path)
    assert RunReport.model_validate_json(read.content) == report
    assert two.put(path, content=read.content).status_code == 201
    assert two.get(path).content == read.content


# ---------------------------------------------------------------------------------------- listing


def test_the_list_has_every_field_but_the_parts(api_client: TestClient) -> None:
    report = make_report(config={"lr": 0.1}, tags={"a": "b"})
    put(api_client, report)
    (item,) = page(api_client).items
    assert item.model_dump() == report.model_dump(exclude={"nodes", "epochs", "reporter"})


def test_pages_are_newest_first_and_complete_where_runs_started_at_once(
    api_client: TestClient,
) -> None:
    moments = [NOON, NOON, NOON, NOON, NOON + timedelta(microseconds=1), NOON, NOON]
    kept = [make_report(started_at=moment) for moment in moments]
    for report in kept:
        put(api_client, report)
    expected = sorted(kept, key=lambda report: (report.started_at, report.run_id), reverse=True)
    for limit in range(1, len(kept) + 2):
        pages = all_pages(api_client, limit=limit)
        assert [len(each.items) for each in pages[:-1]] == [limit] * (len(pages) - 1)
        assert [run.run_id for each in pages for run in each.items] == [
            report.run_id for report in expected
        ]


def test_a_page_stands_still_while_runs_arrive(api_client: TestClient) -> None:
    for _ in range(4):
        put(api_client, make_report())
    first = page(api_client, limit=2)
    put(api_client, make_report(started_at=NOON + timedelta(days=1)))
    second = page(api_client, limit=2, cursor=first.next_cursor)
    seen = {run.run_id for run in (*first.items, *second.items)}
    assert len(seen) == 4
    assert second.next_cursor is None


FILTERED: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["a", "b", "c", "d"]),
    ({"project": "p"}, ["a", "b"]),
    ({"project": "p/q ?%\"'"}, ["c"]),
    ({"study": "s"}, ["a", "c"]),
    ({"strategy": "ddp"}, ["b", "c"]),
    ({"status": "failed"}, ["d"]),
    ({"project": "p", "study": "s", "strategy": "single", "status": "completed"}, ["a"]),
    ({"project": "p", "status": "failed"}, []),
    ({"project": "nobody's"}, []),
    ({"project": "P"}, []),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERED)
def test_filters_combine(
    api_client: TestClient, filters: dict[str, str], expected: list[str]
) -> None:
    put(api_client, make_report(name="a", project="p", study="s"))
    put(api_client, make_report(name="b", project="p", strategy="ddp"))
    put(api_client, make_report(name="c", project="p/q ?%\"'", study="s", strategy="ddp"))
    put(api_client, make_report(name="d", project="r", status="failed", strategy=None))
    pages = all_pages(api_client, limit=1, **filters)
    assert sorted(str(run.name) for each in pages for run in each.items) == expected


def test_a_hundred_runs_are_a_page_unless_told_otherwise(api_client: TestClient) -> None:
    for _ in range(101):
        put(api_client, make_report(nodes=[], epochs=[]))
    first = page(api_client)
    assert len(first.items) == 100
    assert len(page(api_client, cursor=first.next_cursor).items) == 1


def test_two_apps_can_open_one_ledger(api_app: FastAPI, ledgers: Ledgers) -> None:
    report = make_report()
    with TestClient(api_app) as one, TestClient(create_app(ledgers.settings())) as two:
        put(one, report)
        put(two, report, 200)
        assert two.get(f"/v1/runs/{report.run_id}").text == report.model_dump_json()
