"""`python -m api`: serve the ledger until SIGTERM or SIGINT."""

import argparse
import ipaddress
import os
import secrets
import socket
import sys
from functools import partial

from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from api import keys, logs
from api.auth import Doors
from api.database_option import add_database_option, settings_for
from api.database_urls import shown_text
from api.db import open_database
from api.engine import WAY_OUT
from api.server import Server
from api.takeover import take_over
from api.workers import keep_serving, shared_counts
from carbon.errors import CarbonError, SettingsError
from carbon.processes import url_from_here
from carbon.settings import DEFAULT_PORT, MOST_WORKERS, Settings

DEFAULT_HOST = "127.0.0.1"

_EXIT_FAILED = 1
_EXIT_USAGE = 2

_BACKLOG = 2048


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 stopped, 1 cannot serve, 2 must not serve."""
    options = _parser().parse_args(arguments)
    try:
        configured = settings_for(options)
        doors = _doors(options.host, options.allow_anyone)
        if doors.faces_others and not doors.allows_anyone and not _has_keys(configured):
            return _fail(
                _EXIT_USAGE,
                f"{options.host} can be reached from other machines and there is no key; make one "
                "with `carbon keys create`, set CARBON_API_KEY, listen on 127.0.0.1, or let "
                "whoever comes read and write with --allow-anyone",
            )
        listener = _listen(options.host, options.port)
    except CarbonError as error:
        return _fail(_EXIT_FAILED, str(error))
    with listener:
        logs.configure(configured)
        work = partial(_work, listener, configured, doors)
        if options.workers == 1:
            return work(0)
        try:
            # Once for all of them, that it can be used and has its tables.
            open_database(configured.database_url).dispose()
        except CarbonError as error:
            return _fail(_EXIT_FAILED, str(error))
        with shared_counts():
            return keep_serving(options.workers, work)


def _work(listener: socket.socket, configured: Settings, doors: Doors, worker: int) -> int:
    # In the worker: what counts requests finds out as it is loaded whether the counts are shared.
    from api.app import create_app

    try:
        app = create_app(configured, doors)
    except CarbonError as error:
        return _fail(_EXIT_FAILED, str(error))
    # What waits on this machine gets in whether or not whoever set the server up has a key here.
    as_own = configured.model_copy(update={"api_key": SecretStr(doors.own_key or "")})
    _serve(app, listener, as_own, worker)
    return 0


def _doors(host: str, allows_anyone: bool) -> Doors:
    is_loopback = _is_loopback(host)
    return Doors(
        bound_host=host if is_loopback and not allows_anyone else None,
        faces_others=allows_anyone or not is_loopback,
        allows_anyone=allows_anyone,
        own_key=secrets.token_urlsafe(32),
    )


def _has_keys(configured: Settings) -> bool:
    if configured.api_key_text is not None:
        return True
    try:
        return keys.are_asked_for(configured.database_url)
    except DBAPIError as error:
        named = shown_text(configured.database_url)
        raise SettingsError(f"{named} cannot be the ledger: {error.orig}; {WAY_OUT}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api",
        description="Serve the ledger: the REST API that stores run reports and sums them up.",
        epilog="Other settings come from CARBON_* variables or the [tool.carbon] table of "
        "pyproject.toml. Without CARBON_API_KEY and keys of `carbon keys create` only this machine "
        "is served.",
    )
    parser.add_argument(
        "--host", default=DEFAULT_HOST, help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="port to listen on, 0 for any free one (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=_count,
        default=1,
        help="processes that answer, for more than one core (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-anyone",
        action="store_true",
        help="let whoever reaches the address read and write as long as there are no keys",
    )
    add_database_option(parser)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_WORKERS}")
    return int(text)


def _is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`: every address it stands for is loopback."""
    return all(
        ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
        for _, address in _addresses(host, 0)
    )


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SettingsError(f"--host {host!r} is not an address: {error.strerror}") from error
    return [(family, (str(address[0]), port)) for family, *_, address in found]


def _listen(host: str, port: int) -> socket.socket:
    family, address = _addresses(host, port)[0]
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is, and with
    # it on every answer waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise SettingsError(
            f"cannot listen on {host} port {port}: {reason}; stop what is there or choose another "
            "with --host and --port"
        ) from error
    return listener


def _serve(app: FastAPI, listener: socket.socket, configured: Settings, worker: int) -> None:
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if listener.family == socket.AF_INET6 else host
    ledger = shown_text(configured.database_url)

    def when_ready() -> None:
        if worker:
            return
        url = f"http://{name}:{port}"
        print(f"Carbon Ledger API on {url} (docs at /docs), ledger in {ledger}", flush=True)  # noqa: T201
        take_over(configured, url_from_here(host, port))

    Server(app, when_ready).serve_on(listener)


def _fail(status: int, message: str) -> int:
    print(f"carbon serve: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return status


if __name__ == "__main__":
    sys.exit(main())
