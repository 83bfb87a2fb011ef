import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from carbon.errors import ApiRejectedError, ApiUnreachableError
from carbon.rest.client import Client
from carbon.settings import Settings
from tests.factories import make_report
from tests.fixtures.api import LiveApi

Answer = Callable[[httpx.Request], httpx.Response]


def client_of(answer: Answer, **settings: Any) -> Client:
    values = Settings.model_validate({"api_url": "http://ledger.example/base/", **settings})
    return Client(values, transport=httpx.MockTransport(answer))


def test_a_report_is_put_under_its_id_with_the_key() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={"run_id": str(report.run_id), "seq": 4})

    report = make_report(seq=4)
    with client_of(answer, api_key="secret") as client:
        accepted = client.put_run(report)
    assert accepted.seq == 4
    (request,) = seen
    assert (request.method, request.url.path) == ("PUT", f"/base/v1/runs/{report.run_id}")
    assert request.headers["authorization"] == "Bearer secret"
    assert request.content.decode() == report.model_dump_json()


def test_it_asks_where_the_settings_of_the_process_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer secret"
        return httpx.Response(200, json={"items": []} if request.url.host == "here" else {})

    monkeypatch.setenv("CARBON_API_URL", "http://here")
    monkeypatch.setenv("CARBON_API_KEY", "secret")
    with Client(transport=httpx.MockTransport(answer)) as client:
        assert list(client.projects()) == []


def test_a_run_is_removed_with_the_reason(live_api: LiveApi) -> None:
    report = make_report()
    with Client(live_api.settings) as client:
        client.put_run(report)
        client.delete_run(report.run_id, "tracked by mistake")
        with pytest.raises(ApiRejectedError, match="there is no run"):
            client.run(report.run_id)
        (entry,) = client.audit(run_id=report.run_id)
    assert (entry.action, entry.reason) == ("delete", "tracked by mistake")


@pytest.mark.parametrize(
    ("project", "path"),
    [
        ("digits", "/base/v1/projects/digits/summary"),
        ("a/b c?d%#é", "/base/v1/projects/a%2Fb%20c%3Fd%25%23%C3%A9/summary"),
    ],
)
def test_a_project_of_any_name_is_asked_for(project: str, path: str) -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(404, json={"detail": "there is no project"})

    with client_of(answer) as client, pytest.raises(ApiRejectedError, match="no project"):
        client.summary(project)
    assert seen == [path.encode()]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_a_refusal_is_final_and_says_why(status: int) -> None:
    problem = {"title": "No", "status": status, "detail": "because"}
    with (
        client_of(lambda _: httpx.Response(status, json=problem)) as client,
        pytest.raises(ApiRejectedError, match="because") as caught,
    ):
        client.projects()
    assert caught.value.status == status
    assert caught.value.problem == problem


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 507])
def test_a_failure_of_the_server_may_pass(status: int) -> None:
    with (
        client_of(lambda _: httpx.Response(status, text="<html>")) as client,
        pytest.raises(ApiUnreachableError, match=str(status)),
    ):
        client.projects()


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.RemoteProtocolError("x")]
)
def test_no_answer_says_what_to_do(error: httpx.HTTPError) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    with client_of(answer) as client:
        with pytest.raises(ApiUnreachableError, match="carbon serve") as caught:
            client.runs()
        assert not client.is_healthy()
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("body", ["<html>hello</html>", "{}", '{"run_id": "x"}', ""])
def test_an_answer_of_another_service_is_no_answer(body: str) -> None:
    with (
        client_of(lambda _: httpx.Response(200, text=body)) as client,
        pytest.raises(ApiUnreachableError, match="CARBON_API_URL"),
    ):
        client.put_run(make_report())


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(params=[0, len(HEAD)], ids=["its head", "its body"])
def dripping(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that answers a byte at a time, from some byte on."""
    is_over = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(HEAD[: request.param])
        with suppress(OSError):
            for byte in (HEAD + b" " * 300)[request.param :]:
                if is_over.wait(0.1):
                    break
                connection.sendall(bytes([byte]))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        is_over.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_server_that_drips_is_not_waited_for(dripping: str) -> None:
    settings = Settings.model_validate({"api_url": dripping})
    with Client(settings, deadline_s=0.3) as client:
        with pytest.raises(ApiUnreachableError, match="not within"):
            client.put_run(make_report())
        assert not client.is_healthy()


def test_only_given_filters_are_sent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert dict(request.url.params) == {"study": "s 1", "limit": "7"}
        return httpx.Response(200, json={"items": []})

    with client_of(answer) as client:
        assert client.runs(study="s 1", limit=7).items == []
