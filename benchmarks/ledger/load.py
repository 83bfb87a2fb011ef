"""Clients that send as fast as they are answered, each a process with one connection.

They do no more than they must, for they share the machine with the server they load: the requests
are made before the clock starts, and of an answer only its status and its length are read.
"""

import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection

from benchmarks.ledger import empty
from benchmarks.ledger.reports import with_new_ids

_TIMEOUT_S = 60.0
_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Load:
    """What a client got done: how many requests in how long, and how long each took."""

    answered: int
    duration_s: float
    latencies_s: list[float]


class Caller:
    """One connection to a server, which is kept."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, request: bytes) -> bytes:
        """Send a request and return the body of its answer.

        Raises:
            RuntimeError: the answer is not one of success.
        """
        self._socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end].lower()
        at = head.find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0
        body = received[end + 4 :]
        while len(body) < length:
            body += self._more()
        if not head.startswith(b"http/1.1 20"):
            raise RuntimeError(f"{head.decode()}: {body[:500].decode()}")
        return body

    def stream(self, request: bytes) -> Iterator[int]:
        """Send a request for an answer in chunks; yield how many bytes came, until its end."""
        self._socket.sendall(request)
        end = b""
        while end != b"\r\n0\r\n\r\n":
            received = self._more()
            end = (end + received)[-7:]
            yield len(received)

    def _more(self) -> bytes:
        received = self._socket.recv(1 << 18)
        if not received:
            raise RuntimeError("the server closed the connection")
        return received

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return an HTTP request as it is sent."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def single(templates: list[bytes], count: int) -> list[bytes]:
    """Return requests that deliver one report each."""
    made = islice(with_new_ids(templates), count)
    return [request("PUT", f"/v1/runs/{run_id}", body) for run_id, body in made]


def plain(count: int) -> list[bytes]:
    """Return requests to the route that machines are compared by."""
    return [request("POST", empty.PLAIN_PATH, empty.PLAIN_BODY)] * count


def batched(templates: list[bytes], count: int, size: int) -> list[bytes]:
    """Return requests that deliver `size` reports each."""
    made = (body for _, body in with_new_ids(templates))
    return [
        request("POST", "/v1/runs/batch", b'{"items":[' + b",".join(islice(made, size)) + b"]}")
        for _ in range(count)
    ]


def press(
    port: int, clients: int, make: Callable[[], Sequence[bytes]], duration_s: float
) -> list[Load]:
    """Let clients send what `make` returns, one after the other, for a time; return each one's.

    A client that has nothing more to send before that stops early.
    """
    context = multiprocessing.get_context("fork")
    start = context.Barrier(clients)
    ends = []
    for _ in range(clients):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_client, args=(port, make, duration_s, start, theirs))
        process.start()
        theirs.close()
        ends.append((process, ours))
    loads = []
    for process, ours in ends:
        try:
            loads.append(ours.recv())
        except EOFError as error:
            raise RuntimeError("a client failed; it has said why") from error
        finally:
            process.join()
    return loads


def _client(
    port: int,
    make: Callable[[], Sequence[bytes]],
    duration_s: float,
    start: "multiprocessing.synchronize.Barrier",
    answer: Connection,
) -> None:
    requests = make()
    caller = Caller(port)
    start.wait(_TIMEOUT_S)
    answer.send(_call_all(caller, iter(requests), duration_s))
    caller.close()


def _call_all(caller: Caller, requests: Iterator[bytes], duration_s: float) -> Load:
    latencies_s = []
    began_s = now_s = time.perf_counter()
    for each in requests:
        caller.call(each)
        before_s, now_s = now_s, time.perf_counter()
        latencies_s.append(now_s - before_s)
        if now_s - began_s >= duration_s:
            break
    return Load(len(latencies_s), now_s - began_s, latencies_s)
