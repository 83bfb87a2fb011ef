"""Whom an API without keys answers: programs and pages of its own machine.

Any web site can make a browser here send requests to a loopback address, under a name of its own
that it lets stand for 127.0.0.1 (DNS rebinding), or across origins. Keys would stop both.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import ProblemError, cut

_WAY_OUT = "set CARBON_API_KEY on the server or make a key with `carbon keys create`"
_LOOPBACK_NAME = re.compile(r"(.+\.)?localhost\.?", re.IGNORECASE)


class OwnHosts:
    """Refuses requests that name another host than this machine, or come from another's page."""

    def __init__(
        self, app: ASGIApp, bound_host: str, needs_keys: Callable[[], Awaitable[bool]]
    ) -> None:
        """Let pass what names `bound_host`, a loopback name or address, and all where keys do."""
        self._app = app
        self._needs_keys = needs_keys
        self._bound_host = bound_host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(Headers(scope=scope)) if scope["type"] == "http" else None
        if problem is None or await self._needs_keys():
            await self._app(scope, receive, send)
        else:
            await problem.response()(scope, receive, send)

    def _problem(self, headers: Headers) -> ProblemError | None:
        host = headers.get("host", "")
        if not self._is_own(_hostname(f"//{host}")):
            return ProblemError(
                421,
                f"an API without keys answers on this machine's own names only, not as "
                f"{cut(host)!r}; ask http://127.0.0.1, or {_WAY_OUT}",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(_hostname(origin)):
            return ProblemError(
                403,
                f"an API without keys does not answer pages of {cut(origin)!r}; {_WAY_OUT}",
            )
        return None

    def _is_own(self, name: str | None) -> bool:
        if not name:
            return False
        if name == self._bound_host or _LOOPBACK_NAME.fullmatch(name):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _hostname(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 # Raises for what is no number.
        return None if parts.username is not None or parts.path else parts.hostname
    except ValueError:
        return None
