"""Calls that the server makes to addresses that others gave it: webhooks.

Whoever may name an address could otherwise have the server call what only it can reach: itself, its
neighbours, a cloud's metadata service. So the address that a name stands for is checked, and that
very address is called: a name that stands for another one a moment later (DNS rebinding) gains
nothing. Redirects are not followed, and proxies of the environment not used.
"""

import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic_core import to_json

from api.problems import cut
from carbon.errors import CarbonError
from carbon.rest.deadline import Deadline

LONGEST_URL = 2000

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[IpAddress]]

# RFC 6052, section 2.1: the last 32 bits are an IPv4 address.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class UrlError(CarbonError):
    """A URL that the server must not or cannot call, whenever it tries."""


class _UnknownHostError(UrlError):
    """A host that is not known here, now."""


class DeliveryError(CarbonError):
    """A call that did not succeed; another time it may."""


@dataclass(frozen=True)
class _Target:
    """A URL that may be called, and the addresses that were found to be allowed."""

    url: httpx.URL
    addresses: tuple[IpAddress, ...]


def resolve(host: str, port: int) -> Sequence[IpAddress]:
    """Return the addresses that a name stands for, in the order to try them; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found)
    return [ipaddress.ip_address(text) for text in texts]


def check_url(url: str, *, allow_local: bool, resolve: Resolve = resolve) -> None:
    """Make sure that the server may call a URL; for when one is configured.

    Args:
        url: of http or https, without credentials.
        allow_local: whether loopback, link-local and private addresses may be called.
        resolve: how names are looked up.

    Raises:
        UrlError: names what is wrong with it.
    """
    _checked(url, allow_local, resolve)


def post_json(
    url: str,
    document: Mapping[str, Any],
    *,
    allow_local: bool,
    timeout_s: float,
    resolve: Resolve = resolve,
) -> None:
    """Post a document as JSON and return once it was answered with a 2xx status.

    Blocks for `timeout_s` and the time that looking up the name takes.

    Raises:
        UrlError: the URL may not be called, as `check_url` says.
        DeliveryError: nobody answered in time, or not with success.
    """
    try:
        target = _checked(url, allow_local, resolve)
    except _UnknownHostError as error:
        raise DeliveryError(str(error)) from error
    timeout = httpx.Timeout(timeout_s, connect=timeout_s / len(target.addresses))
    with Deadline(timeout_s) as deadline, httpx.Client(trust_env=False, timeout=timeout) as client:
        try:
            status = _first_answer(client, target, to_json(document), deadline)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            if deadline.has_passed or isinstance(error, httpx.TimeoutException):
                reason = f"not within {timeout_s:g} s"
            raise DeliveryError(f"{_shown(target.url)} does not answer: {reason}") from error
    if not 200 <= status < 300:
        raise DeliveryError(f"{_shown(target.url)} answered {status}, not with success")


def _first_answer(client: httpx.Client, target: _Target, body: bytes, deadline: Deadline) -> int:
    """Return the status that the first address answers with to which a connection can be made."""
    *others, last = target.addresses
    for address in others:
        with suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return _post(client, target.url, address, body, deadline)
    return _post(client, target.url, last, body, deadline)


def _post(
    client: httpx.Client, url: httpx.URL, address: IpAddress, body: bytes, deadline: Deadline
) -> int:
    headers = {"Host": url.netloc.decode("ascii"), "Content-Type": "application/json"}
    # The name is what a certificate is of, though the connection is to the address.
    extensions = {"sni_hostname": url.raw_host.decode("ascii"), "trace": deadline.trace}
    # Only the status is of interest: the body of the answer is left unread.
    with client.stream(
        "POST",
        url.copy_with(host=str(address)),
        content=body,
        headers={"User-Agent": "carbon-ledger", **headers},
        extensions=extensions,
        follow_redirects=False,
    ) as response:
        return response.status_code


def _checked(text: str, allow_local: bool, resolve: Resolve) -> _Target:
    url = _parsed(text)
    try:
        found = resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
    except (OSError, UnicodeError) as error:
        raise _UnknownHostError(
            f"{url.host!r} is not a host that is known here: {error}"
        ) from error
    if not found:
        raise _UnknownHostError(f"{url.host!r} has no address")
    for address in found:
        if reason := _why_not(address, allow_local):
            raise UrlError(f"{url.host!r} stands for {address}, {reason}")
    return _Target(url, tuple(found))


def _parsed(text: str) -> httpx.URL:
    if len(text) > LONGEST_URL:
        raise UrlError(f"a URL has {LONGEST_URL} characters at most, this one has {len(text)}")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise UrlError(f"{cut(text)!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UrlError(f"{cut(text)!r} is not a URL of http or https with a host")
    if url.userinfo:
        raise UrlError(
            f"the URL of {url.host!r} has credentials in it, which would be shown and logged; "
            "leave them out"
        )
    return url


def _why_not(address: IpAddress, allow_local: bool) -> str | None:
    """Return why an address may not be called, None if it may."""
    inner = _inner(address)
    if inner.is_multicast or inner.is_unspecified:
        return "which is not the address of one machine"
    if inner.is_global and not inner.is_reserved and not getattr(inner, "is_site_local", False):
        return None
    return None if allow_local else "which is not a public address"


def _inner(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 one leads to, if it does, else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _shown(url: httpx.URL) -> str:
    """Return the URL without what may hold a secret: webhooks often have one in path or query."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
