"""Webhooks lead to public machines only, and to the very address that was checked."""

import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from api.outbound import DeliveryError, IpAddress, Resolve, UrlError, check_url, post_json

TIMEOUT_S = 20.0


def standing_for(*addresses: str) -> Resolve:
    """A resolver to which every name stands for these addresses."""
    found = [ipaddress.ip_address(address) for address in addresses]
    return lambda host, port: found


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/ledger",
        "http://hooks.example:8080/a?b=c",
        "HTTPS://HOOKS.EXAMPLE",
        "https://bücher.example/",
    ],
)
def test_a_public_address_may_be_called(url: str) -> None:
    check_url(url, allow_local=False, resolve=standing_for("93.184.215.14", "2606:4700::1111"))


# As getaddrinfo reads them, many ways to write one address.
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fec0::1]",
    ],
)
def test_an_address_that_is_not_public_is_refused(host: str) -> None:
    with pytest.raises(UrlError, match="which is not"):
        check_url(f"http://{host}/", allow_local=False)


LOCAL = ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "10.0.0.1", "fd00::1"]
NOWHERE = ["224.0.0.1", "ff02::1", "0.0.0.0", "::", "::ffff:224.0.0.1"]


@pytest.mark.parametrize("address", LOCAL)
def test_a_local_address_may_be_called_where_that_is_allowed(address: str) -> None:
    resolver = standing_for(address)
    check_url("http://wiki.intern/", allow_local=True, resolve=resolver)
    with pytest.raises(UrlError, match=f"'wiki.intern' stands for {address}, which is not"):
        check_url("http://wiki.intern/", allow_local=False, resolve=resolver)


@pytest.mark.parametrize("address", NOWHERE)
def test_what_is_no_single_machine_is_never_called(address: str) -> None:
    with pytest.raises(UrlError, match="not the address of one machine"):
        check_url("http://wiki.intern/", allow_local=True, resolve=standing_for(address))


def test_one_address_that_is_not_public_is_one_too_many() -> None:
    both = standing_for("93.184.215.14", "127.0.0.1")
    with pytest.raises(UrlError, match=r"stands for 127\.0\.0\.1"):
        check_url("http://hooks.example/", allow_local=False, resolve=both)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://hooks.example/", "is not a URL of http or https"),
        ("file:///etc/passwd", "is not a URL of http or https"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "is not a URL of http or https"),
        ("hooks.example/ledger", "is not a URL of http or https"),
        ("http://", "is not a URL of http or https"),
        ("", "is not a URL of http or https"),
        ("http://0177.0.0.1/", "is not a URL: Invalid IPv4 address"),
        ("http://hooks.example:port/", "is not a URL: Invalid port"),
        ("http://hooks.example/\n", "is not a URL"),
        ("http://u:hunter22@hooks.example/", "has credentials in it"),
        ("http://u@hooks.example/", "has credentials in it"),
        ("http://hooks.example/" + "a" * 2000, "has 2000 characters at most"),
        ("http://no.such.host.invalid/", "is not a host that is known here"),
        ("http://" + "a" * 70 + ".example/", "is not a host that is known here"),
    ],
)
def test_what_is_no_address_of_a_webhook_is_refused(url: str, reason: str) -> None:
    with pytest.raises(UrlError, match=reason) as caught:
        check_url(url, allow_local=False)
    assert "hunter22" not in str(caught.value)


def test_a_name_that_is_not_known_may_be_known_another_time() -> None:
    with pytest.raises(DeliveryError, match=r"'no\.such\.host\.invalid' is not a host that is"):
        post_json("http://no.such.host.invalid/", {}, allow_local=False, timeout_s=TIMEOUT_S)


# ---------------------------------------------------------------------------------------- calling


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted to it, and answers as it is told."""

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, HookServer)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.posted.append((self.path, dict(self.headers), json.loads(body)))
        server.answer(self)

    def log_message(self, *_: Any) -> None: ...


class HookServer(HTTPServer):
    """A server on loopback, and what was posted to it."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.posted: list[tuple[str, dict[str, str], Any]] = []
        self.answer = answer

    def url(self, host: str = "hooks.example") -> str:
        return f"http://{host}:{self.server_address[1]}/a?b=c"


@contextmanager
def answering(status: int, **headers: str) -> Iterator[HookServer]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    with HookServer(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_the_document_arrives_under_the_name_that_was_given() -> None:
    with answering(204) as server:
        here = standing_for("127.0.0.1")
        document = {"budget": "größer", "spent_kwh": 1.5}
        post_json(server.url(), document, allow_local=True, timeout_s=TIMEOUT_S, resolve=here)
    ((path, headers, posted),) = server.posted
    assert (path, posted) == ("/a?b=c", document)
    assert headers["Host"] == f"hooks.example:{server.server_address[1]}"
    assert headers["Content-Type"] == "application/json"


def test_a_name_is_looked_up_once_and_that_address_called() -> None:
    """DNS rebinding: public when it is checked, loopback when it is called."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[IpAddress]:
        asked.append(host)
        return [ipaddress.ip_address("203.0.113.1" if len(asked) > 1 else "127.0.0.1")]

    with answering(200) as server:
        post_json(server.url(), {}, allow_local=True, timeout_s=TIMEOUT_S, resolve=rebinding)
        assert asked == ["hooks.example"]
        assert len(server.posted) == 1
        here = standing_for("127.0.0.1")
        with pytest.raises(UrlError, match=r"stands for 127\.0\.0\.1"):
            post_json(server.url(), {}, allow_local=False, timeout_s=TIMEOUT_S, resolve=here)
        assert len(server.posted) == 1


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    with answering(200) as server:
        two = standing_for("127.0.0.2", "127.0.0.1")
        post_json(server.url(), {}, allow_local=True, timeout_s=TIMEOUT_S, resolve=two)
        assert len(server.posted) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    with (
        answering(200) as elsewhere,
        answering(status, Location=elsewhere.url("127.0.0.1")) as hook,
    ):
        url = hook.url("127.0.0.1")
        with pytest.raises(DeliveryError, match=f"answered {status}, not with success"):
            post_json(url, {}, allow_local=True, timeout_s=TIMEOUT_S)
        assert elsewhere.posted == []


def test_a_refusal_names_the_machine_and_not_the_secret_in_its_path() -> None:
    with answering(500) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/services/T0/hunter22?key=hunter22"
        with pytest.raises(DeliveryError) as caught:
            post_json(url, {}, allow_local=True, timeout_s=TIMEOUT_S)
    port = server.server_address[1]
    assert str(caught.value) == f"http://127.0.0.1:{port} answered 500, not with success"


def test_nobody_there_is_a_failed_delivery() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeliveryError, match=f"http://127.0.0.1:{port} does not answer: "):
        post_json(f"http://127.0.0.1:{port}/", {}, allow_local=True, timeout_s=TIMEOUT_S)


def test_one_that_answers_bit_by_bit_is_not_waited_for() -> None:
    ended = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            try:
                while not ended.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        try:
            with pytest.raises(DeliveryError, match=r"does not answer: not within 0\.3 s"):
                post_json(url, {}, allow_local=True, timeout_s=0.3)
        finally:
            ended.set()
            thread.join()


def test_a_certificate_is_asked_for_by_name() -> None:
    """The connection is to an address, the greeting of TLS names the host."""
    greetings: list[bytes] = []

    def listen(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            greetings.append(connection.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen, args=(listener,))
        thread.start()
        url = f"https://hooks.example:{listener.getsockname()[1]}/"
        here = standing_for("127.0.0.1")
        with pytest.raises(DeliveryError):
            post_json(url, {}, allow_local=True, timeout_s=TIMEOUT_S, resolve=here)
        thread.join()
    assert b"hooks.example" in greetings[0]


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with answering(200) as server:
        post_json(server.url("127.0.0.1"), {}, allow_local=True, timeout_s=TIMEOUT_S)
        assert len(server.posted) == 1
